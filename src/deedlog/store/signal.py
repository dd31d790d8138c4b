"""A hint inside one process that something has moved. A lost one costs latency, never an event."""

import asyncio
from collections.abc import Sequence


class Signal:
    """Wakes all who wait, on one event loop."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[bool]] = set()

    def wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(True)
        self._waiters.clear()

    async def wait(self, timeout: float) -> bool:
        """True when woken, False after `timeout` seconds."""
        return await wait_for_any((self,), timeout)


async def wait_for_any(signals: Sequence[Signal], timeout: float) -> bool:
    """True when one of `signals` woke, False after `timeout` seconds."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[bool] = loop.create_future()
    for signal in signals:
        signal._waiters.add(waiter)
    timer = loop.call_later(timeout, _expire, waiter)
    try:
        return await waiter
    finally:
        timer.cancel()
        for signal in signals:
            signal._waiters.discard(waiter)


def _expire(waiter: "asyncio.Future[bool]") -> None:
    if not waiter.done():
        waiter.set_result(False)
