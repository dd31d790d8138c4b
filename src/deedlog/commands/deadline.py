"""How long a command's caller waits, and what is known of its effect when that time is over."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from deedlog.errors import Conflict, DeadlineExceeded

T = TypeVar("T")


class Deadline:
    """Counts the appends of one command (and of those it sends) that are stored, or may be.

    An append that still waits for its turn when the time is over is taken back by the store; but only the store knows that.
    """

    def __init__(self) -> None:
        self._at_large = 0

    @property
    def stored(self) -> bool | None:
        """False: nothing is stored. None: something may be."""
        return None if self._at_large else False

    async def watch(self, append: Awaitable[T]) -> T:
        """What `append` gives; a Conflict is known to have stored nothing."""
        self._at_large += 1
        try:
            return await append
        except Conflict:
            self._at_large -= 1
            raise

    async def within(self, timeout: float, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives within `timeout` seconds; then it is cancelled and DeadlineExceeded raised."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        if not timeout > 0:
            raise DeadlineExceeded(timeout, 0.0, stored=False)
        try:
            async with asyncio.timeout(timeout) as scope:
                return await work()
        except TimeoutError as error:
            if not scope.expired():
                raise  # one of the handler's own
            raise DeadlineExceeded(timeout, loop.time() - start, stored=self.stored) from error
