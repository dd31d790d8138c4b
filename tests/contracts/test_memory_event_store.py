"""The reference event store passes the contract."""

from pathlib import Path

from deedlog.store.memory import MemoryEventStore
from deedlog.store.port import EventStore
from deedlog.testing.contracts import EventStoreContract
from deedlog.types import Clock


class TestMemoryEventStore(EventStoreContract):
    async def make_store(self, folder: Path, clock: Clock, max_waiting: int) -> EventStore:
        return MemoryEventStore(clock, max_waiting=max_waiting)
