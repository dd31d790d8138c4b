"""The ledger of the contracts in memory and on SQLite, for tests that need more than one shape of it."""

from pathlib import Path

from deedlog.reads.memory import MemoryReadStore
from deedlog.reads.port import ReadStore
from deedlog.reads.sqlite import SqliteReadStore
from deedlog.sqlite.database import Database
from deedlog.store.memory import MemoryEventStore
from deedlog.store.port import EventStore
from deedlog.store.sqlite import SqliteEventStore
from deedlog.testing import TestClock
from deedlog.testing.contracts.ledger_stores import LedgerTests


class MemoryLedger(LedgerTests):
    async def make_stores(self, folder: Path) -> tuple[EventStore, ReadStore]:
        return MemoryEventStore(TestClock()), MemoryReadStore()


class SqliteLedger(LedgerTests):
    capabilities = frozenset({"typed", "shared"})

    async def make_stores(self, folder: Path) -> tuple[EventStore, ReadStore]:
        database = Database(folder / "ledger.db")
        return SqliteEventStore(database, TestClock()), SqliteReadStore(database)


LEDGERS: dict[str, LedgerTests] = {"memory": MemoryLedger(), "sqlite": SqliteLedger()}
