"""`deedlog projections rebuild`: a projection built anew beside the live one, after a typed confirmation."""

import asyncio

import click

from deedlog.app import App
from deedlog.ops.consent import DRY_RUN, YES, confirm
from deedlog.ops.exits import ALARM, FAILED
from deedlog.ops.named import NAME, find_projection
from deedlog.ops.output import progress
from deedlog.ops.source import Source, reading, with_source
from deedlog.projections.projection import Projection
from deedlog.reads.values import Checkpoint
from deedlog.types import Position


@click.command()
@with_source
@NAME
@YES
@DRY_RUN
def rebuild(source: Source, name: str, yes: bool, dry_run: bool) -> None:
    """Build a projection anew from the log, then put it in the place of the live one.

    NAME is a projection or one of its read models. The live tables answer queries until the new ones are complete; the
    switch is one step, and the old ones are kept for `projections rollback`. A running service or worker goes on with the new
    ones by itself. Stopped half-way, nothing changes. Exit code 3 when some keys are parked in the new tables.

    \b
    Example: deedlog projections rebuild ProductView --yes
    """
    app = source.app()
    projection = find_projection(app, name)
    at, head = asyncio.run(_before(app, projection))
    words = f"{projection.name}: {head} events into {_tables(projection)}"
    if dry_run:
        live = f"generation {at.generation} at position {at.position}" if at else "there is none yet"
        click.echo(f"would fold {words}; live now: {live}")
        return
    if not yes:
        confirm(projection.name, f"folds {words}, and replaces what is there")
    try:
        built = asyncio.run(_rebuild(app, projection.name))
    except KeyboardInterrupt:
        click.echo("\nstopped half-way: the live tables are as they were", err=True)
        raise click.exceptions.Exit(FAILED) from None
    click.echo(f"{projection.name}: generation {built.generation} is live, at position {built.position}")
    if built.parked:
        click.echo(f"{built.parked} keys are parked, since an event of theirs failed: `deedlog dlq list` says why", err=True)
        raise click.exceptions.Exit(ALARM)


def _tables(projection: Projection) -> str:
    tables = ", ".join(model.table for model in projection.projected.models)
    return f"new tables for {tables}" if tables else "what it keeps, which is emptied first"


async def _before(app: App, projection: Projection) -> tuple[Checkpoint | None, Position]:
    async with reading(app.url) as (store, reads):
        return await reads.checkpoint(projection.name), await store.head()


async def _rebuild(app: App, name: str) -> Checkpoint:
    await app.start(projections=False)
    try:
        with progress(f"rebuilding {name}") as report:
            return await app.rebuild(name, report)
    finally:
        await app.stop()
