"""The event store on SQLite passes the contract; what only SQLite has is below."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deedlog import faults
from deedlog.errors import Misuse, Unavailable
from deedlog.sqlite.database import Database
from deedlog.store.port import EventStore, ImportedEvent
from deedlog.store.sqlite import SqliteEventStore
from deedlog.store.sqlite.statements import SCHEMA_VERSION
from deedlog.testing import TestClock
from deedlog.testing.contracts import EventStoreContract
from deedlog.testing.contracts.event_samples import append, event, events
from deedlog.testing.contracts.keeping import state_of
from deedlog.types import Clock


@pytest.fixture
def disarmed() -> Iterator[None]:
    yield
    faults.arm("")


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

    @pytest.mark.parametrize("step", ["begin", "commit"])
    async def test_a_write_that_fails_at_its_fault_point_has_changed_nothing(
        self, tmp_path: Path, step: str, disarmed: None
    ) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", *events(2))
            kept, newer = await state_of(store, "a-1", 1), await state_of(store, "a-1", 2)
            await store.save_state(kept)
            wishes: dict[str, Callable[[], Awaitable[object]]] = {
                "import": lambda: store.import_events([ImportedEvent("a-1", event())]),
                "close": lambda: store.close_stream("a-1", by="Ann", why="done"),
                "snapshot": lambda: store.save_state(newer),
                "forget": lambda: store.forget_commands(2**60),
            }
            for work, wish in wishes.items():
                faults.arm(f"{work}.{step}=fail")
                with pytest.raises(Unavailable, match=f"{work}.{step}"):
                    await wish()
            faults.arm(f"snapshot.{step}=fail")
            with pytest.raises(Unavailable):
                await store.drop_states()
            assert await store.head() == 2
            assert await store.closing("a-1") is None
            assert await store.state("a-1") == kept
            assert (await append(store, "a-1", event())).version == 3

    async def test_a_store_that_fails_to_open_lets_go_of_all_that_it_opened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database = Database(tmp_path / "events.db")
        opened: list[sqlite3.Connection] = []
        connect = database.reader

        def third_fails() -> sqlite3.Connection:
            if len(opened) == 1:
                raise Unavailable("no more files")
            opened.append(connect())
            return opened[-1]

        monkeypatch.setattr(database, "reader", third_fails)
        threads = threading.active_count()
        store = SqliteEventStore(database, TestClock())
        with pytest.raises(Unavailable, match="no more files"):
            await store.open()
        assert threading.active_count() == threads
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            opened[0].execute("select 1")
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            store._writer.connection.execute("select 1")
        await store.close()

    @pytest.mark.parametrize(
        ("version", "words"),
        [(SCHEMA_VERSION - 1, "older than .*run the deedlog that made"), (99, "newer than .* or a newer one")],
    )
    async def test_a_file_of_another_schema_is_refused(self, tmp_path: Path, version: int, words: str) -> None:
        async with self.opened(tmp_path):
            pass
        with closing(sqlite3.connect(tmp_path / "events.db", isolation_level=None)) as connection:
            connection.execute("update deedlog_store set schema_version = ?", (version,))
        with pytest.raises(Misuse, match=f"version {version}, {words}"):
            async with self.opened(tmp_path):
                pass

    async def test_text_that_sqlite_cannot_store_closes_and_keeps_nothing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            with pytest.raises(Misuse):
                await store.close_stream("a-1", by="\ud800", why="done")
            assert await store.closing("a-1") is None

    async def test_another_process_sees_a_closing_before_its_next_append(self, tmp_path: Path) -> None:
        """Two stores on one file stand for two processes: whichever comes first behind the lock, the streams agree."""
        async with self.opened(tmp_path) as one, self.opened(tmp_path) as two:
            callers = [asyncio.ensure_future(append(two, "a-1", event())) for _ in range(50)]
            closed = await one.close_stream("a-1", by="Ann", why="done")
            await asyncio.gather(*callers, return_exceptions=True)
            assert await two.version_at("a-1", await two.head()) == closed.version
