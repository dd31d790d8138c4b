"""The event store on one SQLite file: any number of readers, one writing thread per process, one file lock between them."""

import heapq
import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

from deedlog.errors import Corrupt, DeedlogError, Misuse
from deedlog.ids import new_id
from deedlog.messages.envelope import RecordedEvent, to_micros
from deedlog.sqlite.bulk import insert_many
from deedlog.sqlite.database import Database, Writer
from deedlog.sqlite.errors import translate, translated
from deedlog.sqlite.pool import ReaderPool
from deedlog.sqlite.thread import WorkerThread
from deedlog.store.batch import Outcome, command_ids_of, settle, streams_of, tips_of
from deedlog.store.coalescer import MAX_WAITING, Coalescer
from deedlog.store.port import (
    PAGE,
    Appended,
    CommandKey,
    EventStore,
    StoredCommand,
    StreamSummary,
    StreamWrite,
    Submission,
)
from deedlog.store.signal import Signal
from deedlog.store.sqlite import statements as sql
from deedlog.types import Clock, Position, StreamName, Version

POLL_SECONDS = 0.02
_REFUSED = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.ProgrammingError, OverflowError, UnicodeEncodeError)
LAST_CHARACTER = "\U0010ffff"


class SqliteEventStore(EventStore):
    """Appends run on a thread of their own; reads by key run on the event loop (microseconds), pages on a second thread."""

    def __init__(self, database: Database, clock: Clock, *, max_waiting: int = MAX_WAITING) -> None:
        self._database = database
        self._clock = clock
        self._coalescer = Coalescer(self._write_on_thread, max_waiting)
        self._signal = Signal()
        self._opened = False

    async def open(self) -> None:
        writer = self._database.writer("FULL")
        try:
            self.id = ensure_schema(writer)
        except BaseException:
            writer.close()
            raise
        self._writer = writer
        self._by_key = self._database.reader()
        self._streams = ReaderPool(self._database, size=1)
        self._pages = self._database.reader()
        self._writing = WorkerThread("deedlog-append")
        self._reading = WorkerThread("deedlog-read")
        self._opened = True

    async def close(self) -> None:
        try:
            await self._coalescer.close()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if not self._opened:
            return
        self._opened = False
        self._writing.stop()
        self._reading.stop()
        self._by_key.close()
        self._streams.close()
        self._pages.close()
        self._writer.close()

    async def append(self, writes: Sequence[StreamWrite], command: CommandKey | None = None) -> Appended:
        return await self._coalescer.submit(Submission(tuple(writes), command))

    async def _write_on_thread(self, batch: list[Submission]) -> Sequence[Outcome]:
        outcomes = await self._writing.submit(lambda: self._write(batch))
        self._signal.wake()
        return outcomes

    def _write(self, batch: list[Submission]) -> Sequence[Outcome]:
        """One transaction for the batch. Where SQLite refuses a value, each submission alone, so that one caller fails."""
        try:
            return self._commit(batch)
        except _REFUSED as error:
            if len(batch) == 1:
                return [Misuse(f"SQLite can't store this append: {error}")]
            return [self._write_alone(submission) for submission in batch]
        except sqlite3.Error as error:
            raise translate(error, self._database.path) from error

    def _write_alone(self, submission: Submission) -> Outcome:
        """One caller's answer, whatever becomes of the next."""
        try:
            return self._write([submission])[0]
        except DeedlogError as error:
            return error

    def _commit(self, batch: list[Submission]) -> Sequence[Outcome]:
        with self._writer.transaction("append") as connection:
            *found, (_, head) = connection.execute(sql.VERSIONS, (json.dumps(streams_of(batch)),)).fetchall()
            versions = {stream: version for stream, version in found if version is not None}
            tips = self._tips(connection, tips_of(batch))
            now = to_micros(self._clock.now())
            settled = settle(batch, head or 0, versions, tips, self._done(connection, command_ids_of(batch)), now)
            if settled.events:
                insert_many(connection, sql.INSERT_EVENTS, settled.events)
            if settled.tags:
                insert_many(connection, sql.INSERT_TAGS, settled.tags)
            if settled.commands:
                insert_many(connection, sql.INSERT_COMMANDS, [_command_row(done, now) for done in settled.commands])
        return settled.outcomes

    @staticmethod
    def _tips(connection: sqlite3.Connection, streams: list[StreamName]) -> dict[StreamName, str]:
        if not streams:
            return {}
        return {stream: id for stream, id in connection.execute(sql.TIPS, (json.dumps(streams),)) if id is not None}

    def _done(self, connection: sqlite3.Connection, ids: list[str]) -> dict[str, StoredCommand]:
        if not ids:
            return {}
        rows = connection.execute(sql.COMMANDS, (json.dumps(ids),))
        return {
            id: StoredCommand(CommandKey(id, digest), Appended(stream, version, position, count))
            for id, digest, stream, version, position, count in rows
        }

    async def read_stream(self, stream: StreamName, after: Version = 0, limit: int = PAGE) -> Sequence[RecordedEvent]:
        lease = await self._streams.take()  # callers of one moment share a read transaction
        try:
            return _events(lease.connection.execute(sql.READ_STREAM, (stream, after, limit)))
        except sqlite3.Error as error:
            raise translate(error, self._database.path) from error
        finally:
            self._streams.give(lease)

    async def read_all(
        self,
        after: Position = 0,
        limit: int = PAGE,
        *,
        categories: Collection[str] = (),
        names: Collection[str] = (),
    ) -> Sequence[RecordedEvent]:
        return await self._reading.submit(lambda: self._page(after, limit, categories, names))

    def _page(self, after: Position, limit: int, categories: Collection[str], names: Collection[str]) -> Sequence[RecordedEvent]:
        with translated(self._database.path):
            read = self._pages.execute
            if categories and names:
                wanted = json.dumps(list(names))
                pages = [_events(read(sql.READ_CATEGORY_NAMES, (c, after, wanted, limit))) for c in set(categories)]
            elif categories:
                pages = [_events(read(sql.READ_CATEGORY, (c, after, limit))) for c in set(categories)]
            elif names:
                pages = [_events(read(sql.READ_NAME, (name, after, limit))) for name in set(names)]
            else:
                return _events(read(sql.READ_ALL, (after, limit)))
            return list(islice(heapq.merge(*pages, key=attrgetter("position")), limit))

    async def head(self) -> Position:
        with translated(self._database.path):
            (head,) = self._by_key.execute(sql.HEAD).fetchone()
        return int(head)

    async def command(self, command_id: str) -> StoredCommand | None:
        with translated(self._database.path):
            return self._done(self._by_key, [command_id]).get(command_id)

    async def streams(self, prefix: str = "", after: str = "", limit: int = PAGE) -> Sequence[StreamSummary]:
        bounds = (after, prefix, prefix + LAST_CHARACTER, limit)

        def page() -> Sequence[StreamSummary]:
            with translated(self._database.path):
                return [StreamSummary(*row) for row in self._pages.execute(sql.STREAMS, bounds)]

        return await self._reading.submit(page)

    async def wait(self, after: Position, timeout: float) -> None:
        """Woken at once by this process, within `POLL_SECONDS` by another."""
        while timeout > 0 and await self.head() <= after:
            if await self._signal.wait(min(timeout, POLL_SECONDS)):
                return
            timeout -= POLL_SECONDS


def ensure_schema(writer: Writer) -> str:
    """The store's id; makes the tables in an empty file. Two processes may do it at once."""
    try:
        with writer.transaction("schema") as connection:
            if connection.execute(sql.HAS_SCHEMA).fetchone() is None:
                if writer.read_only:
                    raise Misuse(
                        f"{writer.path}: there is no event store in it", fix="check the address, or run `deedlog db init`"
                    )
                for statement in sql.SCHEMA:
                    connection.execute(statement)
                connection.execute(sql.WRITE_STORE, (new_id()[-8:], sql.SCHEMA_VERSION))
            row = connection.execute(sql.READ_STORE).fetchone()
    except sqlite3.Error as error:
        raise translate(error, writer.path) from error
    if row is None:
        raise Corrupt(f"{writer.path}: the table deedlog_store is empty", fix="restore a backup")
    store_id, version = row
    if version != sql.SCHEMA_VERSION:
        raise _wrong_schema(writer.path, version)
    return str(store_id)


def _wrong_schema(path: str, version: int) -> DeedlogError:
    return Misuse(
        f"{path}: its schema is version {version}, this deedlog knows version {sql.SCHEMA_VERSION}",
        fix="run the deedlog that made the file, or a newer one",
    )


def _events(rows: Iterable[Any]) -> list[RecordedEvent]:
    return [RecordedEvent(*row) for row in rows]


def _command_row(done: StoredCommand, now: int) -> tuple[str, str, str, int, int, int, int]:
    appended = done.appended
    return (done.key.id, done.key.digest, appended.stream, appended.version, appended.position, appended.count, now)
