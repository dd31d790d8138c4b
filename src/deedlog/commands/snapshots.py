"""Saves snapshots beside the command path: what is due waits here, and a task writes one after the other.

A snapshot is only ever a shorter way to a state. So a failure to save one is logged, once, and nothing else happens.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from deedlog.store.port import EventStore, StoredState
from deedlog.types import StreamName

logger = logging.getLogger("deedlog.snapshots")
MAX_WAITING = 1_000

Job: TypeAlias = Callable[[], Awaitable[StoredState | None]]


class Snapshotter:
    """The snapshots that wait to be saved: the newest of each stream, at most `MAX_WAITING`; beyond that they are let go."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._waiting: dict[StreamName, Job] = {}
        self._task: asyncio.Task[None] | None = None
        self._complained = False

    def soon(self, stream: StreamName, make: Callable[[], StoredState | None]) -> None:
        """Makes a snapshot now, of a state that is about to change, and saves it later."""
        try:
            made = make()
        except Exception as error:
            self._complain(stream, error)
        else:
            self.later(stream, lambda: _known(made))

    def later(self, stream: StreamName, job: Job) -> None:
        """Saves what `job` will give, after what waits already."""
        if len(self._waiting) >= MAX_WAITING and stream not in self._waiting:
            return
        self._waiting[stream] = job
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="deedlog snapshots")

    async def settle(self) -> None:
        """Returns when nothing waits."""
        while self._task is not None:
            await asyncio.wait([self._task])

    def close(self) -> None:
        """Lets go of what still waits."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while self._waiting:
                stream = next(iter(self._waiting))
                job = self._waiting.pop(stream)
                try:
                    state = await job()
                    if state is not None:
                        await self._store.save_state(state)
                except Exception as error:
                    self._complain(stream, error)
        finally:
            self._task = None

    def _complain(self, stream: StreamName, error: Exception) -> None:
        level = logging.DEBUG if self._complained else logging.WARNING
        self._complained = True
        logger.log(level, "no snapshot of %s is saved (it is loaded from its events): %s", stream, error)


async def _known(made: StoredState | None) -> StoredState | None:
    return made
