"""The event log as a careful engineer writes it by hand for one service: sqlite3, one thread, one commit for all who wait."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import TypeAlias
from zlib import crc32

import msgspec

from deedlog.store.sqlite.statements import SCHEMA

Wish: TypeAlias = tuple[str, int, str, str, str, str]
"""Stream, expected version, event name, data, metadata, event id."""
Row: TypeAlias = tuple[int, str, int, str, int, str, int, str, str, int, str]
_Waiting: TypeAlias = "tuple[Wish, asyncio.Future[int]]"

HEAD = "select coalesce(max(position), 0) from deedlog_events"
VERSIONS = "select value, (select max(version) from deedlog_events where stream = value) from json_each(?)"
ONE = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INTO = (
    "insert or rollback into deedlog_events (position, stream, version, category, bucket, name, name_version, data, metadata, "
    "recorded_at, id) values "
)
INSERT = INTO + ONE
MANY = {size: INTO + ", ".join([ONE] * size) for size in (64, 32, 16, 8, 4, 2, 1)}


class Conflict(Exception):
    """The stream is not at the expected version."""


def connect(path: Path, synchronous: str = "full") -> sqlite3.Connection:
    """WAL and the durability asked for; cache, checkpoints and temporary storage are as deedlog's."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    connection.execute("pragma journal_mode = wal")
    connection.execute(f"pragma synchronous = {synchronous}")
    connection.execute("pragma cache_size = -16384")
    connection.execute("pragma wal_autocheckpoint = 4000")
    connection.execute("pragma temp_store = memory")
    return connection


def create(connection: sqlite3.Connection) -> None:
    """The same tables and indexes as deedlog's."""
    connection.execute("begin immediate")
    for statement in SCHEMA:
        connection.execute(statement)
    connection.execute("commit")


def row_of(wish: Wish, position: int, version: int, now: int) -> Row:
    stream, _, name, data, metadata, id = wish
    bucket = crc32(stream.encode()) % 1024
    return (position, stream, version, stream.partition("-")[0], bucket, name, 1, data, metadata, now, id)


def commit(connection: sqlite3.Connection, wishes: Sequence[Wish]) -> list[int | Conflict]:
    """One transaction for all: versions in one query, checks in Python, few inserts. Positions, in order."""
    connection.execute("begin immediate")
    try:
        (position,) = connection.execute(HEAD).fetchone()
        streams = msgspec.json.encode([wish[0] for wish in wishes]).decode()
        versions = dict(connection.execute(VERSIONS, (streams,)))
        now = time.time_ns() // 1000
        answers: list[int | Conflict] = []
        rows: list[Row] = []
        for wish in wishes:
            stream, expected = wish[0], wish[1]
            version = versions[stream] or 0
            if version != expected:
                answers.append(Conflict(stream))
                continue
            position += 1
            versions[stream] = version + 1
            rows.append(row_of(wish, position, version + 1, now))
            answers.append(position)
        insert(connection, rows)
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise
    return answers


def insert(connection: sqlite3.Connection, rows: list[Row]) -> None:
    """Up to 64 rows a statement: each call asks for Python's lock once, behind a busy event loop."""
    done = 0
    while done < len(rows):
        size = next(size for size in MANY if size <= len(rows) - done)
        connection.execute(MANY[size], list(chain.from_iterable(rows[done : done + size])))
        done += size


class RawLog:
    """Coalesces the appends of one event loop: while a batch commits on the thread, the next gathers."""

    def __init__(self, path: Path) -> None:
        self.connection = connect(path)
        create(self.connection)
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Waiting] = []
        self._busy = False
        self._jobs: SimpleQueue[list[_Waiting] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def append(self, wish: Wish) -> "asyncio.Future[int]":
        """A future of the event's position."""
        future: asyncio.Future[int] = self._loop.create_future()
        self._waiting.append((wish, future))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._hand_over)
        return future

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()
        self.connection.close()

    def _hand_over(self) -> None:
        batch, self._waiting = self._waiting, []
        self._busy = bool(batch)
        if batch:
            self._jobs.put(batch)

    def _run(self) -> None:
        while (batch := self._jobs.get()) is not None:
            try:
                answers: Sequence[int | BaseException] = commit(self.connection, [wish for wish, _ in batch])
            except Exception as error:
                answers = [error] * len(batch)
            self._loop.call_soon_threadsafe(self._answer, batch, answers)

    def _answer(self, batch: list[_Waiting], answers: Sequence[int | BaseException]) -> None:
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, int):
                future.set_result(answer)
            else:
                future.set_exception(answer)
        self._loop.call_soon(self._hand_over)  # behind the callers just answered, so that they share the next batch
