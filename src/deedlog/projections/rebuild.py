"""A projection built anew in tables of its own, beside the live ones: to take their place, or to be compared with them."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from deedlog.errors import Conflict, Misuse, Unavailable
from deedlog.projections.comparing import compare_with_live
from deedlog.projections.runner import Runner
from deedlog.reads.port import ReadStore
from deedlog.reads.values import ALL, Checkpoint, Comparison, Projected
from deedlog.store.port import EventStore

Report: TypeAlias = Callable[[int, int], None]
"""Called with (position, head) after each page."""
ATTEMPTS = 200


class Verified(msgspec.Struct, frozen=True):
    """What a rebuild says about the live rows at `position`: `mine` in its examples is the live row, `other` the rebuilt one."""

    projection: str
    position: int
    comparison: Comparison


async def rebuild(runner: Runner, reads: ReadStore, store: EventStore, report: Report | None = None) -> Checkpoint:
    """Folds the whole log into new tables beside the live ones, then switches in one step; the old ones are kept for a rollback.

    The live tables answer queries until the switch. Where they stand still for so long, the log says which rows differ.
    Raises Misuse, and switches to nothing, when it parks keys that the live rows have: then it is the fold that is bad.
    """
    projected = runner.projection.projected
    built = await reads.begin_rebuild(projected)
    live = await reads.current(projected)
    if live is not None:
        built = await _fold(runner, built, store, report, until=live.position)
        await compare_with_live(reads, projected, built)
    while True:
        built = await _fold(runner, built, store, report)
        try:
            await _refuse_parked(reads, projected, built)
        except Misuse:
            await reads.discard(projected, built)
            raise
        try:
            return await reads.switch(projected, built)
        except Conflict:
            if not await runner.advance(built):
                raise
            built = runner.checkpoint


async def _refuse_parked(reads: ReadStore, projected: Projected, built: Checkpoint) -> None:
    """Raises Misuse where an event is parked that the live rows have: then the fold is bad, and the live rows are better."""
    live = await reads.current(projected)
    if live is None:
        return
    parked = (await reads.parked(projected, live)).places
    failed = await reads.letters(projected, built, failed=True, limit=ALL)
    new = [letter for letter in failed if letter.position <= live.position and letter.place not in parked]
    if new:
        raise Misuse(
            f"a rebuild of {projected.name} parks {len(new)} keys that the live rows have; "
            f"the first: {new[0].event} at {new[0].position}: {new[0].error}",
            fix="mend the fold, or the class of that event; the live rows are as they were",
        )


async def verify(
    runner: Runner, reads: ReadStore, store: EventStore, report: Report | None = None, *, limit: int = 100
) -> Verified:
    """Compares the live rows, at the position they are at, with rows folded anew; those are dropped again.

    Raises Misuse where those would park keys that the live rows have: they are no measure then.
    """
    projected = runner.projection.projected
    built = await reads.begin_rebuild(projected)
    try:
        for _ in range(ATTEMPTS):
            live = await reads.current(projected)
            if live is None:
                raise Conflict(f"{projected.name} is gone", fix="start the app that declares it")
            if built.position > live.position:  # rolled back meanwhile, to a generation that is not so far
                built = await reads.begin_rebuild(projected)
            built = await _fold(runner, built, store, report, until=live.position)
            await _refuse_parked(reads, projected, built)
            try:
                comparison = await reads.compare(projected, live, built, limit)
            except Conflict:  # it moved meanwhile: fold what is new, and look again
                continue
            return Verified(projected.name, live.position, comparison)
        raise Unavailable(f"{projected.name} never stood still long enough to be compared", fix="pause it, or try again")
    finally:
        await reads.discard(projected, built)


async def _fold(
    runner: Runner, built: Checkpoint, store: EventStore, report: Report | None, until: int | None = None
) -> Checkpoint:
    try:
        while await runner.advance(built, until):
            built = runner.checkpoint
            if report is not None:
                report(built.position, until if until is not None else await store.head())
    except Conflict as error:  # its tables are gone, or were never its own
        raise Conflict(f"{runner.projection.name}: another rebuild replaced this one", fix="start it again") from error
    return built
