"""`deedlog projections`: what moves read models, and how far each is; building one anew is in `rebuild`."""

import asyncio
from datetime import UTC, datetime
from typing import Literal

import click
import msgspec

from deedlog.app import App
from deedlog.messages.envelope import from_micros
from deedlog.ops.exits import LAGGING
from deedlog.ops.output import hint, write_json, write_rows
from deedlog.ops.source import JSON, Source, reading, with_source
from deedlog.projections.projection import Projection
from deedlog.reads.port import Checkpoint, Projected
from deedlog.store.port import EventStore
from deedlog.types import Position

State = Literal["current", "behind", "building", "skipped", "outdated", "never built"]


class ProjectionOut(msgspec.Struct, frozen=True):
    """A projection's declaration as --json shows it."""

    name: str
    read_models: list[str]
    tables: list[str]
    events: list[str]


class StatusOut(msgspec.Struct, frozen=True):
    """How far a projection is, as --json shows it. `events` is how many it consumed: less than `position` is a loss."""

    name: str
    state: State
    position: int
    head: int
    behind_events: int
    behind_seconds: float
    generation: int
    events: int
    building_to: int
    updated_at: datetime | None


@click.group()
def projections() -> None:
    """List, watch and rebuild what keeps read models."""


@projections.command("list")
@with_source
@JSON
def list_projections(source: Source, as_json: bool) -> None:
    """List the projections that the app declares.

    Read models that look each other up move together, under one name.

    In a pipe, one line per projection: name, read_models, tables, events; tabs between. --json prints
    {"projections": […]} with these keys.

    \b
    Example: deedlog projections list --app shop:app
    """
    found = [_declared(projection) for projection in source.app().build().projections]
    if as_json:
        write_json({"projections": found})
        return
    write_rows(ProjectionOut.__struct_fields__, [msgspec.structs.astuple(one) for one in found])
    if not found:
        hint("the app declares no read models")


def _declared(projection: Projection) -> ProjectionOut:
    models = projection.projected.models
    return ProjectionOut(projection.name, [m.name for m in models], [m.table for m in models], sorted(projection.names))


@projections.command()
@with_source
@click.option("--max-lag", type=click.IntRange(0), metavar="N", help="Exit with 3 when one is more than N events behind.")
@JSON
def status(source: Source, max_lag: int | None, as_json: bool) -> None:
    """Say how far each projection is.

    In a pipe, one line per projection, tabs between: name, state, position (of the last event in it), head (of the log),
    behind_events, behind_seconds, generation, events (how many it consumed), building_to, updated_at (when its last event
    was stored). --json prints {"head": …, "projections": […]} with these keys.

    States: current, behind, building (queries are refused), never built, skipped (events are missing from it: rebuild it),
    outdated (built for another version of the app: start this one).
    Exit code 3 for the last three, and for one that is more than --max-lag behind.

    \b
    Example: deedlog projections status --max-lag 1000 || notify "read models lag"
    """
    app = source.app()
    head, found = asyncio.run(_status(app))
    if as_json:
        write_json({"head": head, "projections": found})
    else:
        write_rows(StatusOut.__struct_fields__, [msgspec.structs.astuple(one) for one in found], shown=6)
    if any(_alarming(one, max_lag) for one in found):
        raise click.exceptions.Exit(LAGGING)


def _alarming(one: StatusOut, max_lag: int | None) -> bool:
    if one.state not in ("current", "behind"):
        return True
    return max_lag is not None and one.behind_events > max_lag


async def _status(app: App) -> tuple[Position, list[StatusOut]]:
    async with reading(app.url) as (store, reads):
        wanted = [projection.projected for projection in app.build().projections]
        checkpoints = [await reads.checkpoint(projected.name) for projected in wanted]
        head = await store.head()
        found = [await _status_of(store, projected, at, head) for projected, at in zip(wanted, checkpoints, strict=True)]
        return head, found


async def _status_of(store: EventStore, projected: Projected, at: Checkpoint | None, head: Position) -> StatusOut:
    done = at or Checkpoint(generation=0)
    pending = await store.read_all(done.position, 1)
    waiting = (datetime.now(UTC) - pending[0].time).total_seconds() if pending else 0.0
    return StatusOut(
        projected.name,
        _state(projected, at, head),
        done.position,
        head,
        max(0, head - done.position),
        round(max(0.0, waiting), 3),
        done.generation,
        done.events,
        done.building_to,
        from_micros(done.updated_at) if done.updated_at else None,
    )


def _state(projected: Projected, at: Checkpoint | None, head: Position) -> State:
    if at is None:
        return "never built"
    if at.definition != projected.definition:
        return "outdated"
    if at.position < at.building_to:
        return "building"
    if at.events != at.position:
        return "skipped"
    return "behind" if at.position < head else "current"
