"""Checkpoints in memory pass the contract."""

from pathlib import Path

from deedlog.reads.memory import MemoryReadStore
from deedlog.reads.port import ReadStore
from deedlog.store.memory import MemoryEventStore
from deedlog.store.port import EventStore
from deedlog.testing import TestClock
from deedlog.testing.contracts import CheckpointContract


class TestMemoryCheckpoint(CheckpointContract):
    async def make_stores(self, folder: Path) -> tuple[EventStore, ReadStore]:
        return MemoryEventStore(TestClock()), MemoryReadStore()
