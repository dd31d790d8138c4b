"""Read connections for one event loop: each has one user at a time, the oldest waiter gets the next.

A connection comes with a read transaction open. It stays open between users for up to `SHARED_SECONDS` as long as this process
commits nothing: beginning one costs as much as a read by key.
"""

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from deedlog.sqlite.database import Database
from deedlog.sqlite.errors import closed

MAX_CONNECTIONS = 16
SHARED_SECONDS = 0.001
INTERRUPT_SECONDS = 0.02

T = TypeVar("T")


class Lease:
    """A connection inside a read transaction. `memo` is for what its user read there; it empties with the transaction."""

    __slots__ = ("_reading", "_until", "commits", "connection", "memo")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.memo: dict[Any, Any] = {}
        self.commits = -1
        self._until = 0.0
        self._reading = threading.Lock()

    def renew(self, commits: int, now: float) -> None:
        """A new transaction, unless the open one is as good."""
        if commits == self.commits and now < self._until:
            return
        self.end()
        self.connection.execute("begin")
        self.commits = commits
        self._until = now + SHARED_SECONDS

    def read(self, read: Callable[[], T]) -> T:
        """Runs `read` on a thread: the connection is not closed under it."""
        with self._reading:
            return read()

    async def over(self, *reading: "asyncio.Future[Any]") -> None:
        """Ends what threads read on it, and returns when none does any more, also when cancelled meanwhile."""
        cancelled: asyncio.CancelledError | None = None
        while running := [one for one in reading if not one.done()]:
            self.connection.interrupt()  # again and again: it does nothing for a statement that is only about to start
            try:
                await asyncio.wait(running, timeout=INTERRUPT_SECONDS)
            except asyncio.CancelledError as error:
                cancelled = error
        for one in reading:
            if not one.cancelled():
                one.exception()  # looked at: whoever waited for it has it, or is gone
        if cancelled is not None:
            raise cancelled

    def close(self) -> None:
        """Closes the connection; what a thread reads there is interrupted first, for SQLite does not survive it otherwise."""
        while not self._reading.acquire(timeout=INTERRUPT_SECONDS):
            self.connection.interrupt()
        self.connection.close()
        self._reading.release()

    def end(self) -> None:
        """Lets go of the transaction: SQLite may then reuse what it kept for it."""
        self.commits = -1
        self.memo.clear()
        if self.connection.in_transaction:
            self.connection.execute("rollback")


class ReaderPool:
    """Opens connections as they are needed, up to `size`."""

    def __init__(self, database: Database, size: int = MAX_CONNECTIONS) -> None:
        self._database = database
        self._size = size
        self._free: list[Lease] = []
        self._all: list[Lease] = []
        self._waiters: deque[asyncio.Future[Lease]] = deque()
        self._ending: asyncio.TimerHandle | None = None
        self._closed = False

    async def take(self) -> Lease:
        """A connection for this caller alone; waits its turn when all are in use."""
        return self._renewed(self._free.pop() if self._free else await self._another())

    def take_now(self) -> Lease | None:
        """What `take` gives, when one is free; else None."""
        return self._renewed(self._free.pop()) if self._free else None

    def _renewed(self, lease: Lease) -> Lease:
        try:
            lease.renew(self._database.commits, asyncio.get_running_loop().time())
        except BaseException:
            self.give(lease)
            raise
        return lease

    async def _another(self) -> Lease:
        if self._closed:
            raise closed(self._database.path)
        if len(self._all) < self._size:
            lease = Lease(self._database.reader())
            self._all.append(lease)
            return lease
        waiter: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give(waiter.result())
            raise

    def give(self, lease: Lease) -> None:
        """Returns a connection, straight to the oldest waiter if there is one."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(lease)
                return
        if self._closed:
            return
        self._free.append(lease)
        if self._ending is None:
            self._ending = asyncio.get_running_loop().call_later(SHARED_SECONDS, self._end_idle)

    def _end_idle(self) -> None:
        """No transaction stays open because nobody asks any more."""
        self._ending = None
        for lease in self._free:
            lease.end()

    def close(self) -> None:
        """Closes all connections, also those in use. Who waits for one, and who still reads, gets Unavailable."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(closed(self._database.path))
        self._waiters.clear()
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        for lease in self._all:
            lease.close()
        self._all.clear()
        self._free.clear()
