"""The read store on SQLite passes the contract."""

from pathlib import Path

from deedlog.reads.port import ReadStore
from deedlog.reads.sqlite import SqliteReadStore
from deedlog.sqlite.database import Database
from deedlog.testing.contracts import ReadStoreContract


class TestSqliteReadStore(ReadStoreContract):
    capabilities = frozenset({"sql", "typed", "reopen", "shared"})

    async def make_store(self, folder: Path) -> ReadStore:
        return SqliteReadStore(Database(folder / "rows.db"))
