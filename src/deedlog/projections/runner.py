"""What moves a projection: read a page, find keys, load rows, fold, write rows and checkpoint in one commit; again.

A failure stops the projection before the event that failed; all before it is written. Nothing is checkpointed past a failure.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec

from deedlog.errors import Conflict, Misuse
from deedlog.messages.codec import Codec
from deedlog.messages.envelope import RecordedEvent
from deedlog.projections.fold import BatchFold, Folded, FoldFailed, plan
from deedlog.projections.pages import SLICE, Pages
from deedlog.projections.projection import Projection
from deedlog.reads.port import Changes, Checkpoint, ReadStore
from deedlog.store.port import EventStore
from deedlog.store.signal import Signal

logger = logging.getLogger("deedlog.projections")

MAX_PAGE = 5_000
SMALL_PAGE = 500
PAUSE, LONGEST_PAUSE = 4, 0.02
"""The pause after a small page: as a multiple of its time, and at most so many seconds."""
IDLE_SECONDS = 1.0
FIRST_RETRY, LAST_RETRY = 0.1, 10.0


class Failure(msgspec.Struct, frozen=True):
    """Why a projection stands still. `position` is the event that could not be folded, None when it was not an event's fault."""

    error: str
    position: int | None
    attempts: int


class Runner:
    """Moves one projection along the log, until it is stopped."""

    def __init__(self, projection: Projection, store: EventStore, reads: ReadStore, codec: Codec) -> None:
        self.projection = projection
        self.moved = Signal()
        self.failure: Failure | None = None
        self.checkpoint = Checkpoint()
        self._store = store
        self._reads = reads
        self._pages = Pages(projection, store, codec)
        self._limit = MAX_PAGE
        self._hurry = Signal()
        self._hurried = False

    async def run(self) -> None:
        """For ever: catch up, then wait for more. Cancel to stop; what is half done is not written."""
        while True:
            try:
                while await self._paced_step():
                    pass
                await self._store.wait(self.checkpoint.position, IDLE_SECONDS)
            except asyncio.CancelledError:
                self._pages.drop()
                raise
            except Exception as error:
                await self._retry_later(error)

    async def _retry_later(self, error: Exception) -> None:
        attempts = self.failure.attempts + 1 if self.failure else 1
        cause = error.__cause__ if isinstance(error, FoldFailed) and error.__cause__ is not None else error
        position = error.recorded.position if isinstance(error, FoldFailed) else None
        where = f"{error}: " if cause is not error else ""
        self.failure = Failure(f"{where}{type(cause).__name__}: {cause}", position, attempts)
        delay = min(LAST_RETRY, FIRST_RETRY * 2 ** min(attempts - 1, 10))
        logger.error(
            "projection %s stands at %d: %s (attempt %d, again in %.1f s)",
            self.projection.name,
            self.checkpoint.position,
            self.failure.error,
            attempts,
            delay,
            exc_info=error if attempts == 1 else None,
        )
        await asyncio.sleep(delay)

    async def _paced_step(self) -> int:
        """A step, and after a small one a pause: a page costs much the same with ten events as with one.

        So a busy log takes a fifth of the time for its projections, and a lone event waits for nothing.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        self._hurried = False
        count = await self.step()
        if 0 < count < SMALL_PAGE and not self._hurried:
            await self._hurry.wait(min(LONGEST_PAUSE, PAUSE * (loop.time() - started)))
        return count

    def hurry(self) -> None:
        """Somebody waits for this projection: no pause before the next page."""
        self._hurried = True
        self._hurry.wake()

    async def catch_up(self) -> int:
        """Folds all that is in the log now; how many events that were. Raises what a handler raises."""
        start = self.checkpoint.position
        while await self.step():
            pass
        return self.checkpoint.position - start

    async def step(self) -> int:
        """Folds one page; how many events it had. 0: caught up."""
        before = await self._reads.checkpoint(self.projection.name)
        if before is None or before.definition != self.projection.projected.definition:
            raise Misuse(
                f"another version of this app has taken over the tables of {self.projection.name}",
                fix="restart this process with that version",
            )
        try:
            return await self.advance(before)
        except Exception:
            now = await self._reads.checkpoint(self.projection.name)
            if now == before or now is None:
                raise
            return 1  # another worker moved it, or a rebuild took its place: go on from there

    async def advance(self, before: Checkpoint) -> int:
        """Folds the page after `before` and writes it; used by the live run and by a rebuild.

        Raises FoldFailed for the first event that can't be folded, after writing all before it.
        """
        try:
            return await self._advance(before)
        except BaseException:
            self._pages.drop()
            raise

    async def _advance(self, before: Checkpoint) -> int:
        self.checkpoint = before
        page = await self._pages.read(before.position, self._limit)
        count = len(page.recorded)
        if not count:
            self.failure = None
            return 0
        try:
            if page.failed is not None:
                raise page.failed
            changes = await self._fold(page.batch, before)
            next_limit = min(MAX_PAGE, self._limit * 2)
            if count == self._limit:
                self._pages.read_ahead(page.recorded[-1].position, next_limit)
            await self._write(page.recorded, changes, before)
        except FoldFailed as error:
            last = error.recorded.position - 1
            while self.checkpoint.position < last:  # raises for one before, where the read store refuses that one's rows
                self._limit = last - self.checkpoint.position
                await self.advance(self.checkpoint)
            raise
        except Misuse as error:  # the read store refused a value: find out whose
            if count == 1:
                raise FoldFailed("writing its rows", page.recorded[0]) from error
            self._limit = count // 2
            return await self._advance(before)
        self._limit = next_limit
        self.failure = None
        return count

    async def _write(self, page: Sequence[RecordedEvent], changes: Changes, before: Checkpoint) -> None:
        last = page[-1]
        after = msgspec.structs.replace(
            before,
            position=last.position,
            events=before.events + len(page),
            building_to=before.building_to if last.position < before.building_to else 0,
            updated_at=last.recorded_at,
        )
        await self._reads.write(self.projection.projected, changes, before, after)
        self.checkpoint = after
        self.moved.wake()

    async def _fold(self, batch: Sequence[Folded], before: Checkpoint) -> Changes:
        if not batch:
            return Changes({}, {})
        steps, wanted = plan(self.projection, batch)
        fold = BatchFold(self.projection, await self._reads.load(self.projection.projected, before, wanted))
        for start in range(0, len(steps), SLICE):
            fold.apply(steps[start : start + SLICE])
            await asyncio.sleep(0)
        return fold.changes()


async def rebuild(
    runner: Runner, reads: ReadStore, store: EventStore, report: Callable[[int, int], None] | None = None
) -> Checkpoint:
    """Folds the whole log into new tables beside the live ones, then switches in one step.

    `report(position, head)` is called after each page. The live tables answer queries until the switch.
    """
    built = await reads.begin_rebuild(runner.projection.projected)
    while True:
        try:
            while await runner.advance(built):
                built = runner.checkpoint
                if report is not None:
                    report(built.position, await store.head())
        except Conflict as error:  # its tables are gone, or were never its own
            raise Conflict(f"{runner.projection.name}: another rebuild replaced this one", fix="start it again") from error
        try:
            await reads.switch(runner.projection.projected, built)
        except Conflict:
            if not await runner.advance(built):
                raise
            built = runner.checkpoint
            continue
        return built
