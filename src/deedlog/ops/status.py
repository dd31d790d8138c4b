"""`deedlog projections status`: how far each projection is, in one word and in numbers."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import click
import msgspec

from deedlog.app import App
from deedlog.messages.envelope import from_micros, to_micros
from deedlog.ops.exits import ALARM
from deedlog.ops.named import stored
from deedlog.ops.output import hint, text_of, write_json, write_rows
from deedlog.ops.source import JSON, Source, reading, with_source
from deedlog.reads.values import Checkpoint, Projected
from deedlog.store.port import EventStore
from deedlog.types import Position

State = Literal[
    "current", "behind", "parked", "rolled back", "paused", "building", "skipped", "retired", "outdated", "never built"
]
QUIET: tuple[State, ...] = ("current", "behind", "parked", "rolled back")
SHOWN = ("name", "state", "position", "head", "behind_events", "behind_seconds", "parked", "leased_by")


class StatusOut(msgspec.Struct, frozen=True):
    """How far a projection is, as --json shows it: of the generation that this app's definition moves.

    `events` is how many it consumed: less than `position` is a loss. `live_generation` is what the tables' plain names show.
    """

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
    live_generation: int
    parked: int
    leased_by: str | None
    leased_until: datetime | None
    paused: str | None
    audited: int


@click.command()
@with_source
@click.option("--max-lag", type=click.IntRange(0), metavar="N", help="Exit with 3 when one is more than N events behind.")
@click.option("--max-parked", type=click.IntRange(0), metavar="N", help="Exit with 3 when one has more than N keys parked.")
@JSON
def status(source: Source, max_lag: int | None, max_parked: int | None, as_json: bool) -> None:
    """Say how far each projection is.

    In a pipe, one line per projection, tabs between: name, state, position (of the last event in it), head (of the log),
    behind_events, behind_seconds, generation (the one that this version of the app moves), events (how many it consumed),
    building_to, updated_at (when its last event was stored), live_generation (what the tables' plain names show), parked (keys
    in the dead letters), leased_by and leased_until (the worker that moves it now), paused (by whom and why), audited (up to
    where the auditor agrees). --json prints {"head": …, "projections": […]} with these keys.

    \b
    current      has all that is in the log
    behind       is catching up
    parked       as current or behind, but some keys wait in the dead letters: `deedlog dlq list`
    rolled back  moves, but a newer generation was put aside by `projections rollback`
    paused       stands until `projections resume`
    building     is not complete yet, and queries by this version of the app may be refused
    skipped      events are missing from it: rebuild it
    retired      was rolled back to another version of the app: nothing moves it. Start that version, or rebuild
    outdated     is there for another version of the app only: start this one, and it is built beside
    never built  is not there at all

    Exit code 3 for those from paused on, and for one above --max-lag or --max-parked.

    \b
    Example: deedlog projections status --max-lag 1000 || notify "read models lag"
    """
    app = source.app()
    head, found = asyncio.run(_status(app))
    if as_json:
        write_json({"head": head, "projections": found})
    else:
        write_rows(StatusOut.__struct_fields__, [msgspec.structs.astuple(one) for one in found], shown=SHOWN)
        for one in found:
            if one.paused is not None:
                hint(f"{one.name} is paused by {text_of(one.paused)}")
    if any(_alarming(one, max_lag, max_parked) for one in found):
        raise click.exceptions.Exit(ALARM)


def _alarming(one: StatusOut, max_lag: int | None, max_parked: int | None) -> bool:
    if one.state not in QUIET:
        return True
    lags = max_lag is not None and one.behind_events > max_lag
    return lags or (max_parked is not None and one.parked > max_parked)


async def _status(app: App) -> tuple[Position, list[StatusOut]]:
    async with reading(app.url) as (store, reads):
        wanted = [projection.projected for projection in stored(app)]
        found = [(one, await reads.current(one), await reads.generations(one.name)) for one in wanted]
        head = await store.head()  # read last: a position is never above it
        now = app.clock.now()
        return head, [await _status_of(store, one, own, all_of_it, head, now) for one, own, all_of_it in found]


async def _status_of(
    store: EventStore, projected: Projected, own: Checkpoint | None, found: Sequence[Checkpoint], head: Position, now: datetime
) -> StatusOut:
    live = next((one for one in found if one.live), None)
    done = own or Checkpoint(generation=0)
    pending = await store.read_all(done.position, 1)
    waiting = (now - pending[0].time).total_seconds() if pending else 0.0
    leased = bool(done.owner) and done.leased_until > to_micros(now)
    return StatusOut(
        projected.name,
        _state(own, found, head),
        done.position,
        head,
        max(0, head - done.position),
        round(max(0.0, waiting), 3),
        done.generation,
        done.events,
        done.building_to,
        from_micros(done.updated_at) if done.updated_at else None,
        live.generation if live else 0,
        done.parked,
        done.owner if leased else None,
        from_micros(done.leased_until) if leased else None,
        done.paused or None,
        done.audited,
    )


def _state(own: Checkpoint | None, found: Sequence[Checkpoint], head: Position) -> State:
    if own is None:
        return "outdated" if found else "never built"
    table: tuple[tuple[bool, State], ...] = (
        (own.state == "retired", "retired"),
        (bool(own.paused), "paused"),
        (not own.complete, "building"),
        (own.events != own.position, "skipped"),
        (any(one.state == "retired" and one.generation > own.generation for one in found), "rolled back"),
        (own.parked > 0, "parked"),
        (own.position < head, "behind"),
    )
    return next((state for holds, state in table if holds), "current")
