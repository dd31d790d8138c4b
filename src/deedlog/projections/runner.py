"""What moves a projection: read a page, find keys, load rows, fold, write rows and checkpoint in one commit; again.

An event that fails goes into the dead letters with that commit, and parks its key (ADR 0009). Other failures stop the
projection where it is: nothing is checkpointed past a failure that is not in the dead letters.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from deedlog.errors import Corrupt, Misuse, Unavailable
from deedlog.messages.codec import Codec
from deedlog.messages.envelope import RecordedEvent, to_micros
from deedlog.projections.auditor import moved
from deedlog.projections.comparing import compare_with_live
from deedlog.projections.fold import BatchFold, Spoilt, Watch
from deedlog.projections.pages import SLICE, Page, Pages
from deedlog.projections.plan import NOTHING, Folded, Plan, Selected, plan
from deedlog.projections.projection import Projection
from deedlog.projections.worker import Worker, is_gone
from deedlog.reads.port import ReadStore
from deedlog.reads.values import Changes, Checkpoint, Letter, Parked
from deedlog.store.port import EventStore
from deedlog.store.signal import Signal
from deedlog.types import Position

logger = logging.getLogger("deedlog.projections")

MAX_PAGE = 5_000
SMALL_PAGE = 500
PAUSE, LONGEST_PAUSE = 4, 0.02
"""The pause after a small page: as a multiple of its time, and at most so many seconds."""
IDLE_SECONDS = 1.0
FIRST_RETRY, LAST_RETRY = 0.1, 10.0
MAX_PARKED = 1_000
"""With more keys parked than this it is the fold that is bad, not an event: the projection stands still."""
LEASE = 10_000_000
"""Microseconds. Prolonged by a third; a worker that hangs or dies is followed by another after this time."""


Fence: TypeAlias = tuple[int, int, int, int]


class Failure(msgspec.Struct, frozen=True):
    """Why a projection stands still. `lasting`: trying again will not help, somebody has to do something."""

    error: str
    attempts: int
    lasting: bool


class Runner:
    """Moves one projection along the log, until it is stopped.

    `worker` None: nobody else can reach these tables, nothing is leased. `selected` folds some keys only, `watch` hears of each
    change, `quiet` says nothing of what it can't fold: it looks, and parks nothing for good.
    """

    has_effects = False
    """Whether moving it does what can't be taken back: then no query moves it, it could give up half-way."""

    def __init__(
        self,
        projection: Projection,
        store: EventStore,
        reads: ReadStore,
        codec: Codec,
        worker: Worker | None = None,
        *,
        selected: Selected | None = None,
        watch: Watch | None = None,
        quiet: bool = False,
    ) -> None:
        self._quiet = quiet
        self.projection = projection
        self.moved = Signal()
        self.failure: Failure | None = None
        self.holds = False  # whether it may have the lease
        self.checkpoint = Checkpoint()
        self._store = store
        self._reads = reads
        self._worker = worker
        self._selected = selected
        self._watch = watch
        self._pages = Pages(projection, store, codec)
        self._parked: tuple[int, int, Parked] = (-1, -1, NOTHING)
        self._rows: tuple[Fence, BatchFold] | None = None
        self._limit = MAX_PAGE
        self._stepping = asyncio.Lock()
        self._runs = False
        self._hurry = Signal()
        self._hurried = False

    async def run(self) -> None:
        """For ever: catch up, then wait for more. Cancel to stop; what is half done is not written."""
        self._runs = True
        while True:
            try:
                while await self._paced_step():
                    pass
                await self._wait()
            except asyncio.CancelledError:
                self._pages.drop()
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise
                await self._retry_later(RuntimeError("what a handler waited for was cancelled"))  # not this runner
            except Exception as error:
                await self._retry_later(error)

    async def _wait(self) -> None:
        """Until there may be something to do: new events, or, where another worker or nobody moves it, a while."""
        at = self.checkpoint
        mine = self._worker is None or at.owner == self._worker.name
        if mine and not at.paused and at.state == "current":
            await self._store.wait(at.position, IDLE_SECONDS)
        else:
            await self._hurry.wait(IDLE_SECONDS)

    async def _retry_later(self, error: Exception) -> None:
        attempts = self.failure.attempts + 1 if self.failure else 1
        self.failure = Failure(f"{type(error).__name__}: {error}", attempts, not isinstance(error, Unavailable))
        self.moved.wake()  # who waits for it learns that it stands
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

    async def catch_up(self, until: Position | None = None) -> int:
        """Folds until nothing is new, or up to `until`; how many events that were. Where another worker moves it: 0, at once."""
        start = self.checkpoint.position
        try:
            while await self.step() and (until is None or self.checkpoint.position < until):
                pass
        finally:
            if self._worker is not None and self.holds and not self._runs:  # nobody would prolong the lease here
                self.holds = False
                await self._reads.release(self._worker.name)
        return self.checkpoint.position - start

    async def step(self) -> int:
        """Folds one page; how many events it had. 0: caught up, paused, or another worker moves it."""
        async with self._stepping:  # the live run, and queries that want it folded now
            before = await self._held()
            if before is None:
                return 0
            try:
                return await self._advance_beside(before) if _is_beside(before) else await self.advance(before)
            except Exception:
                now = await self._reads.current(self.projection.projected)
                if now is None or (fence_of(now), now.state, now.paused) == (fence_of(before), before.state, before.paused):
                    raise
                return 1  # another worker moved it, or a rebuild took its place: go on from there

    async def _advance_beside(self, before: Checkpoint) -> int:
        """A page of a generation that is built beside the live one: having come so far, it is compared, and follows it."""
        live = await self._reads.checkpoint(self.projection.name)
        behind = live is not None and before.position < live.position
        count = await self.advance(before, live.position if live is not None and behind else None)
        at = self.checkpoint
        if live is not None and behind and at.position == live.position:
            await compare_with_live(self._reads, self.projection.projected, at)
        if at.complete and (live is None or at.position >= live.position):
            self.checkpoint = await self._reads.go_live(self.projection.projected, at)
            self.moved.wake()
        return count

    async def _held(self) -> Checkpoint | None:
        """The checkpoint that this worker may move; None where it may not now."""
        found = await self._reads.current(self.projection.projected)
        if found is None:
            raise Misuse(f"projection {self.projection.name} was never prepared", fix="start the app first")
        if found.position != self.checkpoint.position:  # moved by an append's own commit, or by another worker
            self.moved.wake()
        self.checkpoint = found
        if found.paused or found.state == "retired":
            self.failure = None
            return None
        if found.complete and not found.live and not found.building_to:
            found = await self._shown_again(found)
        if self._worker is None:
            return found
        now = to_micros(self._worker.clock.now())
        if found.owner == self._worker.name and LEASE // 3 < found.leased_until - now <= LEASE:
            return found
        if found.owner and is_gone(found.owner):
            await self._reads.release(found.owner)
            found = msgspec.structs.replace(found, owner="", leased_until=0)
        self.holds = True  # cancelled before the answer is there, it may have the lease
        held = await self._reads.lease(self.projection.projected, found, self._worker.name, now, now + LEASE)
        self.holds = held is not None
        if held is None:
            self.failure = None  # another worker moves it: that this one could not says nothing any more
        return held

    async def _shown_again(self, mine: Checkpoint) -> Checkpoint:
        """Another version was started after this one, so its rows are live; where it has ended, this one's are again."""
        live = await self._reads.checkpoint(self.projection.name)
        if live is None or live.position >= mine.position or (live.owner and not is_gone(live.owner)):
            return mine
        return await self._reads.prepare(self.projection.projected, 0)

    async def advance(self, before: Checkpoint, until: Position | None = None) -> int:
        """Folds the page after `before`, up to `until`, and writes it; used by the live run, rebuilds and looks into the past."""
        try:
            return await self._advance(before, until)
        except BaseException:
            self._pages.drop()
            raise

    async def _advance(self, before: Checkpoint, until: Position | None) -> int:
        self.checkpoint = before
        limit = self._limit if until is None else min(self._limit, until - before.position)
        page = await self._pages.read(before.position, limit) if limit > 0 else None
        if page is None or not page.recorded:
            self.failure = None
            if until is None and (head := await self._store.head()) < before.position:
                raise Corrupt(
                    f"{self.projection.name} is at {before.position}, but the log ends at {head}: it is another log",
                    fix="restore the log, or rebuild the projection",
                )
            return 0
        count = len(page.recorded)
        next_limit = min(MAX_PAGE, self._limit * 2)
        ahead = next_limit if count == self._limit and until is None else 0
        await self._take(page, before, await self._parked_of(before), ahead)
        self._limit = next_limit
        self.failure = None
        return count

    async def _take(self, page: Page, before: Checkpoint, parked: Parked, ahead: int) -> None:
        """Folds and writes one page; while it is written, the next `ahead` events are read."""
        fold = self._rows_at(before, parked)
        try:
            changes = await self._fold(page.batch, before, parked, fold)
        except Spoilt:
            fold = self._new_fold(parked, careful=True)
            changes = await self._fold(page.batch, before, parked, fold)
        if ahead:
            self._pages.read_ahead(page.recorded[-1].position, ahead)
        self._refuse_too_many(changes.letters, before)
        try:
            await self._write(page.recorded, changes, before)
        except Misuse:  # a value that only the store refuses: the careful way looks at each row, and finds whose
            fold = self._new_fold(parked, careful=True)
            changes = await self._fold(page.batch, before, parked, fold)
            await self._write(page.recorded, changes, before)
        self._say(changes.letters)
        if not fold.careful:
            self._rows = (fence_of(self.checkpoint), fold)

    def _rows_at(self, before: Checkpoint, parked: Parked) -> BatchFold:
        """The rows that the page before has left, unless somebody else wrote since; whoever takes them has them alone."""
        kept, self._rows = self._rows, None
        if kept is not None and kept[0] == fence_of(before) and kept[1].go_on(parked):
            return kept[1]
        return self._new_fold(parked)

    def _new_fold(self, parked: Parked, *, careful: bool = False) -> BatchFold:
        return BatchFold(self.projection, {}, parked, careful=careful, watch=self._watch, selected=self._selected)

    async def _parked_of(self, checkpoint: Checkpoint) -> Parked:
        """What this generation's dead letters hold back; read again when somebody else may have changed them."""
        if not checkpoint.parked and not checkpoint.revision:
            return NOTHING
        generation, revision, parked = self._parked
        if (generation, revision) != (checkpoint.generation, checkpoint.revision):
            parked = await self._reads.parked(self.projection.projected, checkpoint)
            self._parked = (checkpoint.generation, checkpoint.revision, parked)
        return parked

    async def _write(self, page: Sequence[RecordedEvent], changes: Changes, before: Checkpoint) -> None:
        after = moved(before, page, changes)
        await self._reads.write(self.projection.projected, changes, before, after)
        self.checkpoint = after
        self.moved.wake()

    def _refuse_too_many(self, letters: Sequence[Letter], before: Checkpoint) -> None:
        """Raises Misuse when so much is parked that the fold must be bad. In memory nothing is parked for good."""
        if letters and before.parked > MAX_PARKED and not self._quiet:
            first = next((letter for letter in letters if letter.error), letters[0])
            raise Misuse(
                f"more than {MAX_PARKED} keys are parked, now also for {first.event} at {first.position}: {first.error}",
                fix="mend the fold and start again, then `deedlog dlq retry`",
            )

    def _say(self, letters: Sequence[Letter]) -> None:
        if not self._quiet:
            say_parked(self.projection.name, letters)

    async def _fold(self, batch: Sequence[Folded], before: Checkpoint, parked: Parked, fold: BatchFold) -> Changes:
        if not batch:
            return Changes()
        planned = plan(self.projection, batch, parked, self._selected)
        fold.add(await self._reads.load(self.projection.projected, before, fold.missing(planned.wanted)))
        await self._apply(fold, planned)
        return fold.changes(planned.letters)

    @staticmethod
    async def _apply(fold: BatchFold, planned: Plan) -> None:
        for start in range(0, len(planned.steps), SLICE):
            fold.apply(planned.steps[start : start + SLICE])
            await asyncio.sleep(0)


def say_parked(projection: str, letters: Sequence[Letter]) -> None:
    """Says in the log what is parked and why; what only follows is not worth a line."""
    for letter in letters:
        if letter.error is not None:
            logger.error(
                "%s: %s at position %d goes to the dead letters and parks %s: %s",
                projection,
                letter.event,
                letter.position,
                f"{letter.model} {letter.key!r}" if letter.model else f"stream {letter.key}",
                letter.error,
            )


def _is_beside(checkpoint: Checkpoint) -> bool:
    return not checkpoint.live and checkpoint.building_to > 0


def fence_of(checkpoint: Checkpoint) -> Fence:
    """What somebody else's write would have changed."""
    return (checkpoint.position, checkpoint.epoch, checkpoint.revision, checkpoint.generation)
