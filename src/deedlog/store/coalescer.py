"""The coalescing writer: the appends of all concurrent callers in one transaction, each answered separately.

While one batch commits, the next gathers. A lone caller waits for nobody: its batch has one member. The queue is bounded:
an overloaded store says Unavailable, it does not grow. Source: ADR 0002.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeAlias

from deedlog.errors import DeedlogError, Unavailable
from deedlog.store.batch import Outcome
from deedlog.store.port import Appended, Submission

MAX_WAITING = 10_000
MAX_BATCH = 1_000
MAX_BATCH_EVENTS = 5_000

Answer: TypeAlias = Callable[[Sequence[Outcome], BaseException | None], None]
"""Gets the outcomes of a batch, or the error that the whole batch met."""
Write: TypeAlias = Callable[[list[Submission], Answer], None]
"""Starts to write a batch; the answer is called once, on the event loop, after it has returned."""
_Caller = tuple[Submission, "asyncio.Future[Appended]"]


def by_task(write: Callable[[list[Submission]], Coroutine[Any, Any, Sequence[Outcome]]]) -> Write:
    """A coroutine function as `Write`."""

    def start(batch: list[Submission], answer: Answer) -> None:
        def done(task: "asyncio.Task[Sequence[Outcome]]") -> None:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            answer(() if error is not None else task.result(), error)

        asyncio.get_running_loop().create_task(write(batch)).add_done_callback(done)

    return start


class Coalescer:
    """Gathers submissions on one event loop and hands them to `write` in batches, one batch at a time."""

    def __init__(self, write: Write, max_waiting: int = MAX_WAITING) -> None:
        self._write = write
        self._max_waiting = max_waiting
        self._waiting: deque[_Caller] = deque()
        self._busy = False
        self._idle: asyncio.Future[None] | None = None
        self._closed = False

    def submit(self, submission: Submission) -> "asyncio.Future[Appended]":
        """A future of the answer. Raises Unavailable when `max_waiting` callers wait already, or after `close`."""
        if self._closed:
            self.check_open()
        if len(self._waiting) >= self._max_waiting:
            raise Unavailable(
                f"{len(self._waiting)} appends are waiting to be stored", fix="try again later, or send less at once"
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Appended] = loop.create_future()
        self._waiting.append((submission, future))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._next)
        return future

    def check_open(self) -> None:
        """Raises Unavailable after `close`."""
        if self._closed:
            raise Unavailable("the event store is closed", fix="start the app again")

    async def close(self) -> None:
        """Refuses new appends and returns when the waiting ones are stored."""
        self._closed = True
        if self._busy:
            if self._idle is None:
                self._idle = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._idle)  # who closes may be cancelled; who waits for an answer still gets one

    def _next(self) -> None:
        """Hands the next batch over, or rests when nobody waits."""
        batch = self._take()
        if not batch:
            self._busy = False
            if self._idle is not None:
                self._idle.set_result(None)
                self._idle = None
            return
        answer = partial(self._answer, batch)
        try:
            self._write([submission for submission, _ in batch], answer)
        except Exception as error:  # it could not even be started
            answer((), error)

    def _take(self) -> list[_Caller]:
        batch: list[_Caller] = []
        events = 0
        waiting = self._waiting
        while waiting and len(batch) < MAX_BATCH and events < MAX_BATCH_EVENTS:
            caller = waiting.popleft()
            if not caller[1].cancelled():
                batch.append(caller)
                for write in caller[0].writes:
                    events += len(write.events)
        return batch

    def _answer(self, batch: list[_Caller], outcomes: Sequence[Outcome], error: BaseException | None) -> None:
        try:
            if error is not None:
                self._fail(batch, error)
                return
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if future.done():  # the caller was cancelled; what it asked for is stored all the same
                    continue
                if isinstance(outcome, Appended):
                    future.set_result(outcome)
                else:
                    future.set_exception(outcome)
        finally:
            asyncio.get_running_loop().call_soon(self._next)  # behind the callers just answered: they share the next batch

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
