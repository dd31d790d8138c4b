"""`deedlog projections generations`, `rollback` and `switch`: which builds are kept, going back to one, and forth again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import click
import msgspec

from deedlog.app import App
from deedlog.messages.envelope import from_micros
from deedlog.ops.consent import DRY_RUN, YES, confirm
from deedlog.ops.named import NAME, find_projection
from deedlog.ops.output import hint, write_json, write_rows
from deedlog.ops.source import JSON, Source, reading, with_source, writing
from deedlog.projections.projection import Projection
from deedlog.reads.port import ReadStore, earlier_than_live, later_than_live
from deedlog.reads.values import Checkpoint


class GenerationOut(msgspec.Struct, frozen=True):
    """One generation as --json shows it. `own`: it is made for the definition in this version of the app."""

    generation: int
    definition: str
    own: bool
    live: bool
    state: str
    position: int
    building_to: int
    parked: int
    leased_by: str | None
    leased_until: datetime | None
    paused: str | None


@click.command()
@with_source
@NAME
@JSON
def generations(source: Source, name: str, as_json: bool) -> None:
    """List the generations of a projection's tables, oldest first.

    The live one is what the tables' plain names show. State current: moved by the service or worker of its definition. State
    aside: being built by a rebuild. State retired: kept for a rollback, moved by nobody.

    In a pipe, one line per generation: generation, definition, own (made for this version of the app), live, state, position,
    building_to, parked, leased_by, leased_until, paused; tabs between. --json prints {"name": …, "generations": […]} with these
    keys.

    \b
    Example: deedlog projections generations ProductView
    """
    app = source.app()
    projection = find_projection(app, name)
    found = [_out(projection, one) for one in asyncio.run(_generations(app, projection))]
    if as_json:
        write_json({"name": projection.name, "generations": found})
        return
    write_rows(GenerationOut.__struct_fields__, [msgspec.structs.astuple(one) for one in found])
    if not found:
        hint("none: `deedlog db init`, a service or a worker makes the first")


async def _generations(app: App, projection: Projection) -> Sequence[Checkpoint]:
    async with reading(app.url) as (_, reads):
        return await reads.generations(projection.name)


def _out(projection: Projection, one: Checkpoint) -> GenerationOut:
    return GenerationOut(
        one.generation,
        one.definition,
        one.definition == projection.projected.definition,
        one.live,
        one.state,
        one.position,
        one.building_to,
        one.parked,
        one.owner or None,
        from_micros(one.leased_until) if one.owner else None,
        one.paused or None,
    )


@click.command()
@with_source
@NAME
@YES
@DRY_RUN
def rollback(source: Source, name: str, yes: bool, dry_run: bool) -> None:
    """Make the generation before the live one live again.

    One step, no folding: for a new version whose rows turn out to be wrong. The generation that was live is retired, kept,
    and moved by nobody; `projections switch` takes it again.

    \b
    Example: deedlog projections rollback ProductView
    """
    app = source.app()
    projection = find_projection(app, name)
    live, before = earlier_than_live(projection.name, asyncio.run(_generations(app, projection)))
    for warning in _warnings(projection, live, before):
        click.echo(f"note: {warning}", err=True)
    words = f"generation {before.generation} at position {before.position} live, in place of {live.generation} at {live.position}"
    _exchange(app, projection, words, lambda reads, name: reads.rollback(name), yes=yes, dry_run=dry_run)


@click.command()
@with_source
@NAME
@YES
@DRY_RUN
def switch(source: Source, name: str, yes: bool, dry_run: bool) -> None:
    """Take a rollback back: make the generation that was rolled back live again.

    One step, no folding. The generation that was live meanwhile is retired and kept. To switch to a new build, use
    `projections rebuild`, which switches when it is complete.

    \b
    Example: deedlog projections switch ProductView
    """
    app = source.app()
    projection = find_projection(app, name)
    live, later = later_than_live(projection.name, asyncio.run(_generations(app, projection)))
    words = f"generation {later.generation} at position {later.position} live, in place of {live.generation}"
    _exchange(app, projection, words, lambda reads, name: reads.reinstate(name), yes=yes, dry_run=dry_run)


def _exchange(
    app: App,
    projection: Projection,
    words: str,
    change: Callable[[ReadStore, str], Awaitable[Checkpoint]],
    *,
    yes: bool,
    dry_run: bool,
) -> None:
    """Makes another generation live, after a question, or only says so."""
    if dry_run:
        click.echo(f"would make {projection.name}: {words}")
        return
    if not yes:
        confirm(projection.name, f"makes {projection.name}: {words}")

    async def run() -> Checkpoint:
        async with writing(app.url) as (_, reads):
            return await change(reads, projection.name)

    now = asyncio.run(run())
    click.echo(f"{projection.name}: generation {now.generation} is live again, at position {now.position}")


def _warnings(projection: Projection, live: Checkpoint, before: Checkpoint) -> Sequence[str]:
    behind = live.position - before.position
    found = [f"it is {behind} events behind the live one, until a worker has folded them"] if behind > 0 else []
    if before.definition != projection.projected.definition:
        found.append(
            f"generation {before.generation} is of another definition: only a service or worker with that version of the app "
            "moves it; this version's queries read it where its rows have the same fields, else they are refused"
        )
    return found
