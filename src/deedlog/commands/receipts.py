"""Forgets the receipts of commands that nobody will repeat any more, in small steps beside the work."""

import asyncio
import logging
from datetime import timedelta

from deedlog.errors import DeedlogError
from deedlog.messages.envelope import to_micros
from deedlog.store.port import EventStore
from deedlog.types import Clock

logger = logging.getLogger("deedlog.receipts")
STEP = 1_000
SWEEP_SECONDS = 60.0


class ReceiptSweep:
    """Removes receipts older than `keep`, by the app's clock; a command repeated after that is done again."""

    def __init__(self, store: EventStore, clock: Clock, keep: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._keep = keep

    async def run(self) -> None:
        """Sweeps at once and then every `SWEEP_SECONDS`, until it is cancelled. A failure is logged, and tried again then."""
        while True:
            try:
                await self.sweep()
            except DeedlogError as error:
                logger.warning("old receipts are not forgotten yet: %s", error)
            except Exception:
                logger.exception("old receipts are not forgotten yet")
            await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self) -> int:
        """How many were forgotten. Each step is a short transaction of at most `STEP`; appends come between."""
        before = to_micros(self._clock.now() - self._keep)
        forgotten = step = await self._store.forget_commands(before, STEP)
        while step == STEP:
            await asyncio.sleep(0)
            step = await self._store.forget_commands(before, STEP)
            forgotten += step
        return forgotten
