"""`deedlog db`: the store's schema and the tables of read models."""

import asyncio

import click
import msgspec

from deedlog.app import App, open_stores
from deedlog.errors import Misuse
from deedlog.ops.exits import Usage
from deedlog.ops.named import Opened, stored
from deedlog.ops.output import text_of, write_json
from deedlog.ops.source import JSON, Source, reading, with_source
from deedlog.projections.projection import Projection
from deedlog.reads.port import ReadStore
from deedlog.types import Position, SystemClock


class InitOut(msgspec.Struct, frozen=True):
    """What `db init` did, as --json shows it. `changed` are those that have to be built anew, up to `head`."""

    store: str
    made_store: bool
    made_tables: list[str]
    changed_tables: list[str]
    kept_tables: list[str]
    head: int


@click.group("db")
def database() -> None:
    """Make the store and its tables."""


@database.command()
@with_source
@JSON
def init(source: Source, as_json: bool) -> None:
    """Make what is missing: the event store, and a table for each read model of the app.

    What is there stays, so twice is fine. Without an app, --store alone makes an empty event store. `serve` and `worker` do
    the same when they start; this is for deployments that want it as a step of its own.

    --json prints {"store": …, "made_store": …, "made_tables": […], "changed_tables": […], "kept_tables": […], "head": …}.

    \b
    Example: deedlog db init --app shop:app --store sqlite:////var/lib/shop/shop.db
    """
    url = source.url()
    if url.startswith("memory:"):
        raise Usage("a memory:// store is made by its service, and gone with it", fix="use sqlite:///file.db")
    done = asyncio.run(_init(url, source.app() if source.names_app() else None))
    if as_json:
        write_json(done)
        return
    for line in _said(done):
        click.echo(line)


async def _init(url: str, app: App | None) -> InitOut:
    made_store = not await _is_there(url)
    store, reads = open_stores(url, SystemClock())
    try:
        await store.open()
        await reads.open()
        head = await store.head()
        prepared = [await _prepare(reads, projection, head) for projection in (stored(app) if app else ())]
        if app is not None:
            there = Opened(app, store, reads)
            await there.projecting.prepare()  # what free-form projections set up
            there.projecting.worker.end()
    finally:
        await reads.close()
        await store.close()
    made, changed, kept = (sorted(table for tables in prepared for table in tables[i]) for i in range(3))
    return InitOut(url, made_store, made, changed, kept, head)


async def _is_there(url: str) -> bool:
    try:
        async with reading(url):
            return True
    except Misuse:  # not there, or something that opening it for real will complain about
        return False


async def _prepare(reads: ReadStore, projection: Projection, head: Position) -> tuple[list[str], list[str], list[str]]:
    """The projection's tables: those made, those whose definition has changed, those kept."""
    before = await reads.generations(projection.name)
    after = await reads.prepare(projection.projected, head)
    tables = [model.table for model in projection.projected.models]
    if not before:
        return tables, [], []
    return ([], [], tables) if any(one.generation == after.generation for one in before) else ([], tables, [])


def _said(done: InitOut) -> list[str]:
    lines = [f"{done.store}: {'made an event store' if done.made_store else f'has an event store, {done.head} events'}"]
    if done.made_tables:
        lines.append(f"made tables: {text_of(done.made_tables)}")
    if done.changed_tables:
        words = "changed, so made anew beside the old ones, live when a service or worker has folded the log"
        lines.append(f"{words}: {text_of(done.changed_tables)}")
    if done.kept_tables:
        lines.append(f"kept tables: {text_of(done.kept_tables)}")
    return lines
