"""A thread that runs calls one after the other and answers an event loop."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from deedlog.errors import Unavailable

T = TypeVar("T")
_Job = tuple[Callable[[], Any], Callable[[Any, BaseException | None], None], asyncio.AbstractEventLoop]


class WorkerThread:
    """Runs one call at a time, in the order of `submit`. Half the cost of an executor per hop."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        """A future of the running loop. Cancelling it does not stop the call. Raises Unavailable after `stop`."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.run(call, partial(_settle, future))
        return future

    def run(self, call: Callable[[], T], answer: Callable[[T, BaseException | None], None]) -> None:
        """Has `answer` called on the running loop, with the result, or with None and the error. Raises as `submit`."""
        if self._stopped:
            raise Unavailable("the store is closed", fix="start the app again")
        self._jobs.put((call, answer, asyncio.get_running_loop()))

    def stop(self) -> None:
        """Ends the thread after the calls already submitted."""
        self._stopped = True
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, answer, loop = job
            result, failure = None, None
            try:
                result = call()
            except BaseException as error:  # handed to the caller, whatever it is
                failure = error
            self._hand_back(loop, answer, result, failure)
            del job, call, answer, loop, result, failure

    @staticmethod
    def _hand_back(
        loop: asyncio.AbstractEventLoop,
        answer: Callable[[Any, BaseException | None], None],
        result: Any,
        failure: BaseException | None,
    ) -> None:
        try:
            loop.call_soon_threadsafe(answer, result, failure)
        except RuntimeError:  # the loop was closed meanwhile; nobody waits any more
            return


def _settle(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
