"""The event store on SQLite passes the contract; what only SQLite has is below."""

import sqlite3
from pathlib import Path

from deedlog.sqlite.database import Database
from deedlog.store.port import EventStore
from deedlog.store.sqlite import SqliteEventStore
from deedlog.testing.contracts import EventStoreContract
from deedlog.testing.contracts.event_samples import append, event
from deedlog.types import Clock


class TestSqliteEventStore(EventStoreContract):
    capabilities = frozenset({"reopen", "shared"})

    async def make_store(self, folder: Path, clock: Clock, max_waiting: int) -> EventStore:
        return SqliteEventStore(Database(folder / "events.db"), clock, max_waiting=max_waiting)

    async def test_tags_are_stored_beside_the_events(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", event(tags=("order:1", "order:1", "kunde:é")), event(), event(tags=("order:1",)))
        with sqlite3.connect(tmp_path / "events.db") as connection:
            rows = connection.execute("select tag, position from deedlog_tags order by tag, position").fetchall()
        connection.close()
        assert rows == [("kunde:é", 1), ("order:1", 1), ("order:1", 3)]
