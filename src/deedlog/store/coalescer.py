"""The coalescing writer: the appends of all concurrent callers in one transaction, each answered separately.

While one batch commits, the next gathers. A lone caller waits for nobody: its batch has one member. The queue is bounded:
an overloaded store says Unavailable, it does not grow. Source: ADR 0002.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from deedlog.errors import DeedlogError, Unavailable
from deedlog.store.batch import Outcome
from deedlog.store.port import Appended, Submission

MAX_WAITING = 10_000
MAX_BATCH = 1_000
MAX_BATCH_EVENTS = 5_000

_Caller = tuple[Submission, "asyncio.Future[Appended]"]


class Coalescer:
    """Gathers submissions on one event loop and hands them to `write` in batches, one batch at a time."""

    def __init__(self, write: Callable[[list[Submission]], Awaitable[Sequence[Outcome]]], max_waiting: int = MAX_WAITING) -> None:
        self._write = write
        self._max_waiting = max_waiting
        self._waiting: deque[_Caller] = deque()
        self._running: asyncio.Task[None] | None = None
        self._closed = False

    def submit(self, submission: Submission) -> "asyncio.Future[Appended]":
        """A future of the answer. Raises Unavailable when `max_waiting` callers wait already, or after `close`."""
        self.check_open()
        if len(self._waiting) >= self._max_waiting:
            raise Unavailable(
                f"{len(self._waiting)} appends are waiting to be stored", fix="try again later, or send less at once"
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Appended] = loop.create_future()
        self._waiting.append((submission, future))
        if self._running is None:
            self._running = loop.create_task(self._run())
        return future

    def check_open(self) -> None:
        """Raises Unavailable after `close`."""
        if self._closed:
            raise Unavailable("the event store is closed", fix="start the app again")

    async def close(self) -> None:
        """Refuses new appends and returns when the waiting ones are stored."""
        self._closed = True
        if self._running is not None:
            await asyncio.shield(self._running)  # who closes may be cancelled; who waits for an answer still gets one

    async def _run(self) -> None:
        """Until nobody waits: take a batch, write it, answer its callers, let them submit again."""
        try:
            while batch := self._take():
                try:
                    outcomes = await self._write([submission for submission, _ in batch])
                except BaseException as error:
                    self._fail(batch, error)
                    if not isinstance(error, Exception):
                        raise
                else:
                    for (_, future), outcome in zip(batch, outcomes, strict=True):
                        self._answer(future, outcome)
                await asyncio.sleep(0)  # the answered callers run now, and share the next batch
        finally:
            self._running = None

    def _take(self) -> list[_Caller]:
        batch: list[_Caller] = []
        events = 0
        while self._waiting and len(batch) < MAX_BATCH and events < MAX_BATCH_EVENTS:
            caller = self._waiting.popleft()
            if not caller[1].cancelled():
                batch.append(caller)
                events += sum(len(write.events) for write in caller[0].writes)
        return batch

    @staticmethod
    def _answer(future: "asyncio.Future[Appended]", outcome: Outcome) -> None:
        if future.done():  # the caller was cancelled; what it asked for is stored all the same
            return
        if isinstance(outcome, DeedlogError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def _fail(self, batch: list[_Caller], error: BaseException) -> None:
        """One error for each caller of the batch; each gets an object of its own, so that tracebacks don't mix."""
        for _, future in batch:
            if future.done():
                continue
            if isinstance(error, DeedlogError):
                future.set_exception(_copy(error))
            else:
                future.set_exception(Unavailable(f"the store failed: {error!r}"))


def _copy(error: DeedlogError) -> DeedlogError:
    twin = type(error).__new__(type(error))
    twin.__dict__.update(error.__dict__)
    twin.args = error.args
    twin.__cause__ = error.__cause__
    return twin
