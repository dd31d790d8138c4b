"""One database file: how it is opened, and who may write.

WAL, so that readers never wait. Writers of all threads and processes queue at a file lock before BEGIN IMMEDIATE:
SQLite's own busy handler starves them (p99 4–31 times higher, measured; ADR 0002).
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote

from deedlog import faults
from deedlog.errors import Corrupt, Misuse
from deedlog.sqlite.errors import translated
from deedlog.sqlite.lock import FileLock

Durability: TypeAlias = Literal["FULL", "NORMAL"]
BUSY_SECONDS = 10.0
READ_CACHE_KIB = 16_384
CHECKPOINT_PAGES = 4_000  # 16 MB of WAL: fewer, larger moves into the file than with SQLite's 1,000


class Database:
    """A path, and connections to it. Nothing is opened before the first call.

    `read_only`: the file must be there, and stays as it is.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = str(path)
        self.read_only = read_only
        if self.path in ("", ":memory:"):
            raise Misuse("a SQLite store needs a file", fix="use store='memory://' for a store without one")
        self.file: tuple[int, int] | None = None  # what the first writer found under this path
        self.commits = 0  # by the writers of this process; counted behind the file lock
        self.on_connect: list[Callable[[sqlite3.Connection], None]] = []

    def reader(self) -> sqlite3.Connection:
        """A connection that can't write; its thread may change, its users may not overlap."""
        self.refuse_another_file()
        connection = self._connect()
        connection.execute("pragma query_only = on")
        return connection

    def refuse_another_file(self) -> None:
        """Raises Corrupt where the file that was opened is no more, or another has taken its name."""
        if self.file is not None and self.file != file_id(self.path):
            raise Corrupt(
                f"{self.path} was deleted or replaced while it was open: what is written now would be lost",
                fix="stop this process; then start it on the file you want",
            )

    def writer(self, durability: Durability) -> "Writer":
        """A connection for write transactions. FULL: on disk at commit. NORMAL: after a power cut the last may be gone."""
        connection = self.reader() if self.read_only else self._connect()
        with translated(self.path):
            connection.execute(f"pragma synchronous = {durability}")
        try:
            return Writer(connection, self)
        except BaseException:
            connection.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        if self.read_only and not Path(self.path).exists():
            raise Misuse(f"{self.path}: there is no such file", fix="check the address; `deedlog db init` makes a new store")
        with translated(self.path):
            connection = sqlite3.connect(
                f"file:{quote(self.path)}?mode=rw" if self.read_only else self.path,
                uri=self.read_only,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=512,
            )
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        self._refuse_a_cut_file(connection)
        (mode,) = connection.execute("pragma journal_mode").fetchone()
        if mode != "wal" and not self.read_only:
            mode = self._to_wal(connection)
        if mode != "wal" and not self.read_only:
            raise Misuse(f"{self.path}: this file system allows no WAL (mode {mode})", fix="use a local disk")
        connection.execute(f"pragma cache_size = -{READ_CACHE_KIB}")
        connection.execute("pragma temp_store = memory")  # a statement of many rows journals itself: not in a file
        connection.execute(f"pragma wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute("pragma foreign_keys = on")
        for hook in self.on_connect:
            hook(connection)

    def _to_wal(self, connection: sqlite3.Connection) -> str:
        """One process at a time: of several that do it at once on a new file, SQLite says to some that it is locked."""
        lock = FileLock(f"{self.path}-lock")
        try:
            with lock:
                (mode,) = connection.execute("pragma journal_mode = wal").fetchone()
        finally:
            lock.close()
        return str(mode)

    def _refuse_a_cut_file(self, connection: sqlite3.Connection) -> None:
        """SQLite reads zeros where the last page was cut. While there is a WAL the page may be in it, and the file half written.

        By `stat` alone: to open and close the file would drop the locks that this process holds on it.
        """
        if size_of(f"{self.path}-wal"):
            return
        (page,) = connection.execute("pragma page_size").fetchone()
        size = size_of(self.path)
        if size > page and size % page:  # of one that is smaller, SQLite says itself that it is no database
            raise Corrupt(f"{self.path}: {size} bytes are no whole pages, its end is missing", fix="keep it, restore a backup")


def size_of(path: str) -> int:
    """In bytes; 0 where there is no such file."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def file_id(path: str) -> tuple[int, int] | None:
    """What tells one file from another that took its name; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  # at every commit: a Path costs more than the call
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Writer:
    """A connection that writes, one transaction at a time, behind the file lock. Of a read-only database: one that only reads."""

    def __init__(self, connection: sqlite3.Connection, database: Database) -> None:
        self.connection = connection
        self.path = database.path
        self._database = database
        self.read_only = database.read_only
        self._lock = None if database.read_only else FileLock(f"{database.path}-lock")
        if database.file is None:
            database.file = file_id(database.path)

    @contextmanager
    def transaction(self, work: str) -> Iterator[sqlite3.Connection]:
        """Commits at the end, rolls back on any error. SQLite's errors leave as they are: the caller may look at them.

        `work` names its fault points.
        """
        if faults.armed:
            faults.hit(work, "begin")
        with self._lock or nullcontext():
            self._database.refuse_another_file()
            self.connection.execute("begin immediate" if self._lock else "begin")
            try:
                yield self.connection
                if faults.armed:
                    faults.hit(work, "commit")
                self.connection.execute("commit")
                self._database.commits += 1
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("rollback")
                raise
        if faults.armed:
            faults.hit(work, "done")

    def close(self) -> None:
        self.connection.close()
        if self._lock is not None:
            self._lock.close()
