"""Cancelling a call at its first await, its second, and so on: as a client that hangs up at any moment."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
ENOUGH = 500
"""No call awaits that often."""


TURNS = (0, 1, 3, 8)
"""So many turns of the event loop lie between the await and the cancelling: what is awaited has then come to another place."""


class CancelledAt(Awaitable[T]):
    """Runs a coroutine in the current task and cancels that task `turns` after it has begun to wait for the `at`-th time."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], at: int, turns: int) -> None:
        self._coroutine = coroutine
        self._at = at
        self._turns = turns
        self.waited = 0

    def _cancel_later(self, task: "asyncio.Task[Any]", turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._cancel_later, task, turns - 1)
        else:
            task.cancel()

    def __await__(self) -> Generator[Any, Any, T]:
        step = partial(self._coroutine.send, None)
        while True:
            try:
                waiting = step()
            except StopIteration as end:
                result: T = end.value
                return result
            self.waited += 1
            task = asyncio.current_task()
            if self.waited == self._at and task is not None:
                self._cancel_later(task, self._turns)
            try:
                yield waiting
            except BaseException as error:
                step = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, None)


class Complaints:
    """What asyncio tells nobody in particular: exceptions that were never retrieved, tasks that were destroyed."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.heard.append(str(context)))

    def none(self) -> None:
        gc.collect()
        assert self.heard == []


async def at_each_await(call: Callable[[], Coroutine[Any, Any, Any]], afterwards: Callable[[bool], Awaitable[None]]) -> int:
    """Makes the call again and again, cancelled one await later each time, until it is over before.

    `afterwards` is awaited each time, with whether the call was cancelled. Says how often the call awaits.
    """
    return max([await _at_each_await(call, afterwards, turns) for turns in TURNS])


async def _at_each_await(
    call: Callable[[], Coroutine[Any, Any, Any]], afterwards: Callable[[bool], Awaitable[None]], turns: int
) -> int:
    complaints = Complaints()
    for at in range(1, ENOUGH):
        cancelling = CancelledAt(call(), at, turns)
        task = asyncio.ensure_future(_run(cancelling))
        await asyncio.wait([task])
        cancelled = task.cancelled()
        if not cancelled and (error := task.exception()) is not None:
            raise AssertionError(f"cancelled {turns} turns after await {at} it raised something else") from error
        await afterwards(cancelled)
        del task
        complaints.none()
        if cancelling.waited < at:
            return cancelling.waited
    raise AssertionError(f"{ENOUGH} awaits, and not done")


async def _run(cancelling: CancelledAt[T]) -> T:
    return await cancelling
