"""Ending on SIGINT or SIGTERM as if the work were over; a second signal ends at once."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopped_by(stop: Callable[[], Any]) -> Iterator[None]:
    """Calls `stop` on the running loop at the first signal. The second has its usual effect."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        forget()
        stop()

    def forget() -> None:
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    try:
        for number in SIGNALS:
            loop.add_signal_handler(number, first)
    except NotImplementedError:  # Windows: Ctrl-C cancels the main task, then arrives as KeyboardInterrupt
        yield
        return
    try:
        yield
    finally:
        forget()


def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Runs `work` to its end; a signal cancels it, and that is a good end too. Raises what `work` raises."""
    with suppress(KeyboardInterrupt):  # where there are no signal handlers, and before they are set
        asyncio.run(_run(work))


async def _run(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    with stopped_by(task.cancel):
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()
