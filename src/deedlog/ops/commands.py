"""`deedlog commands`: the stored receipts of commands that were sent with an id."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click
import msgspec

from deedlog.errors import Misuse
from deedlog.messages.envelope import RecordedEvent, to_micros
from deedlog.ops.consent import DRY_RUN, YES, confirm
from deedlog.ops.events import TITLES, EventOut, out, row
from deedlog.ops.moments import OLDER_THAN
from deedlog.ops.output import hint, text_of, write_json, write_rows
from deedlog.ops.source import JSON, Source, reading, with_source, writing
from deedlog.store.port import StoredCommand
from deedlog.types import SystemClock

STEP = 1_000


class CommandOut(msgspec.Struct, frozen=True):
    """A stored receipt as --json shows it."""

    id: str
    digest: str
    stream: str
    version: int
    position: int
    count: int
    events: list[EventOut]


@click.group()
def commands() -> None:
    """Look at stored receipts of commands, forget old ones."""


@commands.command("show")
@with_source
@click.argument("id")
@JSON
def show_command(source: Source, id: str, as_json: bool) -> None:
    """Show the receipt of a command that was sent with this id, and the events it stored.

    Lines as in `events read`. --json prints {"id": …, "digest": …, "stream": …, "version": …, "position": …, "count": …,
    "events": […]}: the digest is of the command's name and content; version and position are those of its last event; the
    events are as `events read` has them.

    \b
    Example: deedlog commands show 0198f2c4-order-17
    """
    found, events = asyncio.run(_command(source.url(), id))
    if found is None:
        raise Misuse(f"no receipt of command '{id}'", fix="it was not done, was sent without an id, or its receipt was forgotten")
    done = found.appended
    if as_json:
        shown = [out(event) for event in events]
        write_json(CommandOut(id, found.key.digest, done.stream, done.version, done.position, done.count, shown))
        return
    write_rows(TITLES, [row(event) for event in events])
    where = f"stream {text_of(done.stream)} at version {done.version}, position {done.position}"
    hint(f"{done.count} events; {where}" if done.count else f"it stored no event; the log was at position {done.position}")


async def _command(url: str, id: str) -> tuple[StoredCommand | None, Sequence[RecordedEvent]]:
    async with reading(url) as (store, _):
        found = await store.command(id)
        if found is None or not found.appended.count:
            return found, []
        return found, await store.read_all(found.appended.position - found.appended.count, found.appended.count)


@commands.command()
@with_source
@OLDER_THAN
@YES
@DRY_RUN
def forget(source: Source, age: timedelta, yes: bool, dry_run: bool) -> None:
    """Remove receipts that are older than an age: their commands are done again when they are sent again.

    An app with keep_receipts= does so by itself.

    \b
    Example: deedlog commands forget --older-than 30d
    """
    url = source.url()
    before = SystemClock().now() - age
    words = f"forgets the receipts of commands done before {text_of(before)} in {url}"
    if dry_run:
        asyncio.run(_command(url, ""))  # says what is wrong with the store
        click.echo(f"this {words}")
        return
    if not yes:
        confirm("forget", words)
    click.echo(f"{asyncio.run(_forget(url, before))} receipts are forgotten")


async def _forget(url: str, before: datetime) -> int:
    total = 0
    async with writing(url) as (store, _):
        while gone := await store.forget_commands(to_micros(before.astimezone(UTC)), STEP):
            total += gone
    return total
