"""A hint inside one process that something was committed. A lost one costs latency, never an event."""

import asyncio


class Signal:
    """Wakes all who wait, on one event loop."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self, timeout: float) -> bool:
        """True when woken, False after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.add(waiter)
        timer = loop.call_later(timeout, _expire, waiter)
        try:
            await waiter
        except _Expired:
            return False
        finally:
            timer.cancel()
            self._waiters.discard(waiter)
        return True


class _Expired(Exception):
    """Inside this module: the time is over."""


def _expire(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_exception(_Expired())
