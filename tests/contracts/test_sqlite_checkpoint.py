"""Checkpoints on SQLite pass the contract."""

from pathlib import Path

from deedlog.reads.port import ReadStore
from deedlog.reads.sqlite import SqliteReadStore
from deedlog.sqlite.database import Database
from deedlog.store.port import EventStore
from deedlog.store.sqlite import SqliteEventStore
from deedlog.testing import TestClock
from deedlog.testing.contracts import CheckpointContract


class TestSqliteCheckpoint(CheckpointContract):
    capabilities = frozenset({"typed", "shared"})

    async def make_stores(self, folder: Path) -> tuple[EventStore, ReadStore]:
        database = Database(folder / "shop.db")
        return SqliteEventStore(database, TestClock()), SqliteReadStore(database)
