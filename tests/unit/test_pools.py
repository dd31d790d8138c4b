"""Read connections that are closed, or given up, while a thread reads on them."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from deedlog.errors import Unavailable
from deedlog.reads.sqlite import SqliteReadStore
from deedlog.sqlite.database import Database

WAIT = 10.0
LONG = "with recursive n(i) as (select begun() union all select i + 1 from n) select max(i) from n"


class LongReads:
    """A read that never ends by itself; `begun` is set when it runs in SQLite."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    def __call__(self, connection: sqlite3.Connection) -> object:
        connection.create_function("begun", 0, self._begin)
        return connection.execute(LONG).fetchone()

    def _begin(self) -> int:
        self.begun.set()
        return 1


async def reading(store: SqliteReadStore) -> "asyncio.Task[object]":
    """A long read that has begun."""
    long = LongReads()
    task = asyncio.create_task(store._look(long))
    assert await asyncio.to_thread(long.begun.wait, WAIT)
    return task


async def test_a_store_that_is_closed_while_a_thread_reads_ends_the_read(tmp_path: Path) -> None:
    store = SqliteReadStore(Database(tmp_path / "shop.db"))
    await store.open()
    tasks = [await reading(store) for _ in range(3)]
    await store.close()
    for task in tasks:
        with pytest.raises(Unavailable):
            await asyncio.wait_for(task, WAIT)


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_a_cancelled_read_ends_and_gives_its_connection_back(tmp_path: Path, times: int) -> None:
    store = SqliteReadStore(Database(tmp_path / "shop.db"))
    await store.open()
    for _ in range(20):  # more than there are connections
        task = await reading(store)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, WAIT)
    await store.close()
