"""Read connections for one event loop: each has one user at a time, the oldest waiter gets the next."""

import asyncio
import sqlite3
from collections import deque

from deedlog.sqlite.database import Database

MAX_CONNECTIONS = 16


class ReaderPool:
    """Opens connections as they are needed, up to `size`."""

    def __init__(self, database: Database, size: int = MAX_CONNECTIONS) -> None:
        self._database = database
        self._size = size
        self._free: list[sqlite3.Connection] = []
        self._all: list[sqlite3.Connection] = []
        self._waiters: deque[asyncio.Future[sqlite3.Connection]] = deque()

    async def take(self) -> sqlite3.Connection:
        """A connection for this caller alone; waits its turn when all are in use."""
        if self._free:
            return self._free.pop()
        if len(self._all) < self._size:
            connection = self._database.reader()
            self._all.append(connection)
            return connection
        waiter: asyncio.Future[sqlite3.Connection] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give(waiter.result())
            raise

    def give(self, connection: sqlite3.Connection) -> None:
        """Returns a connection, straight to the oldest waiter if there is one."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._free.append(connection)

    def close(self) -> None:
        for connection in self._all:
            connection.close()
        self._all.clear()
        self._free.clear()
