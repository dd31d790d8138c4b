"""`deedlog projections rebuild`: a projection built anew beside the live one, after a typed confirmation."""

import asyncio

import click

from deedlog.app import App
from deedlog.errors import Misuse
from deedlog.ops.exits import FAILED
from deedlog.ops.output import progress, text_of
from deedlog.ops.source import Source, reading, with_source
from deedlog.projections.projection import Projection
from deedlog.reads.port import Checkpoint
from deedlog.types import Position


@click.command()
@with_source
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def rebuild(source: Source, name: str, yes: bool, dry_run: bool) -> None:
    """Build a projection anew from the log, then put it in the place of the live one.

    NAME is a projection or one of its read models. The live tables answer queries until the new ones are complete; the
    switch is one step. A running service or worker goes on with the new ones by itself. Stopped half-way, nothing changes.

    \b
    Example: deedlog projections rebuild ProductView --yes
    """
    app = source.app()
    projection = _find(app, name)
    at, head = asyncio.run(_before(app, projection))
    tables = ", ".join(model.table for model in projection.projected.models)
    words = f"{projection.name}: {head} events into new tables for {tables}"
    if dry_run:
        live = f"generation {at.generation} at position {at.position}" if at else "there is none yet"
        click.echo(f"would fold {words}; live now: {live}")
        return
    if not yes:
        _confirm(projection.name, words)
    try:
        built = asyncio.run(_rebuild(app, projection.name))
    except KeyboardInterrupt:
        click.echo("\nstopped half-way: the live tables are as they were", err=True)
        raise click.exceptions.Exit(FAILED) from None
    click.echo(f"{projection.name}: generation {built.generation} is live, at position {built.position}")


def _find(app: App, name: str) -> Projection:
    declared = app.build().projections
    for projection in declared:
        if name == projection.name or name in (fold.model.name for fold in projection.folds):
            return projection
    known = ", ".join(projection.name for projection in declared)
    raise Misuse(f"there is no projection '{name}'", fix=f"there are: {known}" if known else "the app declares no read models")


async def _before(app: App, projection: Projection) -> tuple[Checkpoint | None, Position]:
    async with reading(app.url) as (store, reads):
        return await reads.checkpoint(projection.name), await store.head()


def _confirm(name: str, words: str) -> None:
    click.echo(f"this folds {words}, and replaces what is there.", err=True)
    try:
        typed = click.prompt(f"Type {name} to go on", default="", show_default=False, err=True)
    except click.Abort:
        click.echo(err=True)
        raise Misuse("not confirmed, so nothing was changed", fix="type the name, or say --yes in a script") from None
    if typed.strip() != name:
        raise Misuse(f"'{text_of(typed)}' is not {name}, so nothing was changed", fix=f"type {name}, or say --yes in a script")


async def _rebuild(app: App, name: str) -> Checkpoint:
    await app.start(projections=False)
    try:
        with progress(f"rebuilding {name}") as report:
            return await app.rebuild(name, report)
    finally:
        await app.stop()
