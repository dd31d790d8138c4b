"""The event store on one SQLite file: any number of readers, one writing thread per process, one file lock between them."""

import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

from deedlog.messages.envelope import RecordedEvent
from deedlog.messages.streams import check_stream
from deedlog.sqlite.database import Database
from deedlog.sqlite.errors import translate, translated
from deedlog.sqlite.pool import ReaderPool
from deedlog.sqlite.thread import WorkerThread
from deedlog.store.batch import Outcome
from deedlog.store.coalescer import MAX_WAITING, Answer, Coalescer
from deedlog.store.port import (
    ANY,
    PAGE,
    Appended,
    CommandKey,
    EventStore,
    ImportedEvent,
    Matching,
    StoredCommand,
    StoredState,
    StreamClosing,
    StreamSummary,
    StreamWrite,
    Submission,
    Unless,
)
from deedlog.store.signal import Signal
from deedlog.store.sqlite import statements as sql
from deedlog.store.sqlite import states
from deedlog.store.sqlite.appends import Appends, closings, commands_done
from deedlog.store.sqlite.pages import Pages, events
from deedlog.store.sqlite.schema import ensure_schema
from deedlog.types import Clock, ExpectedVersion, Position, StreamName, Version

POLL_SECONDS = 0.02
T = TypeVar("T")


class SqliteEventStore(EventStore):
    """Writes run on a thread of their own; reads by key run on the event loop (microseconds), pages on a second thread."""

    def __init__(self, database: Database, clock: Clock, *, max_waiting: int = MAX_WAITING) -> None:
        self._database = database
        self._clock = clock
        self._coalescer = Coalescer(self._write_on_thread, max_waiting)
        self._signal = Signal()
        self._opened = ExitStack()

    async def open(self) -> None:
        with ExitStack() as opened:  # lets go of what is open already when the next can't be opened
            self._writer = self._database.writer("FULL")
            opened.callback(self._writer.close)
            self.id = ensure_schema(self._writer)
            self._appends = Appends(self._writer, self._clock, self.inline)
            pages = self._database.reader()
            opened.callback(pages.close)
            self._pages = Pages(pages)
            self._streams = ReaderPool(self._database, size=1)
            opened.callback(self._streams.close)
            self._by_key = self._database.reader()
            opened.callback(self._by_key.close)
            self._reading = WorkerThread("deedlog-read")
            opened.callback(self._reading.stop)
            self._writing = WorkerThread("deedlog-append")
            opened.callback(self._writing.stop)
            self._opened = opened.pop_all()

    async def close(self) -> None:
        try:
            await self._coalescer.close()
        finally:
            self._opened.close()

    async def append(
        self, writes: Sequence[StreamWrite], command: CommandKey | None = None, conditions: Sequence[Unless] = ()
    ) -> Appended:
        return await self._coalescer.submit(Submission(tuple(writes), command, tuple(conditions)))

    def _write_on_thread(self, batch: list[Submission], answer: Answer) -> None:
        def done(outcomes: Sequence[Outcome], error: BaseException | None) -> None:
            if error is None:
                self._signal.wake()
            answer(() if error is not None else outcomes, error)

        self._writing.run(partial(self._appends.write, batch), done)

    async def import_events(self, events: Sequence[ImportedEvent], *, expected_head: Position | None = None) -> Appended:
        imported = await self._writing.submit(lambda: self._appends.import_events(events, expected_head))
        self._signal.wake()
        return imported

    async def close_stream(self, stream: StreamName, expected: ExpectedVersion = ANY, *, by: str, why: str) -> StreamClosing:
        check_stream(stream)
        return await self._writing.submit(lambda: self._appends.close_stream(stream, expected, by, why))

    async def closing(self, stream: StreamName) -> StreamClosing | None:
        with translated(self._database.path):
            return closings(self._by_key, [stream]).get(stream)

    async def read_stream(self, stream: StreamName, after: Version = 0, limit: int = PAGE) -> Sequence[RecordedEvent]:
        lease = await self._streams.take()  # callers of one moment share a read transaction
        try:
            return events(lease.connection.execute(sql.READ_STREAM, (stream, after, limit)))
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
        return await self._read(lambda: self._pages.log(after, limit, categories, names))

    async def read_matching(
        self, matching: Sequence[Matching], after: Position = 0, limit: int = PAGE
    ) -> Sequence[RecordedEvent]:
        return await self._read(lambda: self._pages.matching(matching, after, limit))

    async def position_at(self, time_micros: int) -> Position:
        return await self._read(lambda: self._pages.position_at(time_micros))

    async def version_at(self, stream: StreamName, position: Position) -> Version:
        return await self._read(lambda: self._pages.version_at(stream, position))

    async def streams(self, prefix: str = "", after: str = "", limit: int = PAGE) -> Sequence[StreamSummary]:
        return await self._read(lambda: self._pages.streams(prefix, after, limit))

    async def _read(self, page: Callable[[], T]) -> T:
        def read() -> T:
            with translated(self._database.path):
                return page()

        return await self._reading.submit(read)

    async def head(self) -> Position:
        with translated(self._database.path):
            (head,) = self._by_key.execute(sql.HEAD).fetchone()
        return int(head)

    async def command(self, command_id: str) -> StoredCommand | None:
        with translated(self._database.path):
            return commands_done(self._by_key, [command_id]).get(command_id)

    async def forget_commands(self, before: int, limit: int = 1_000) -> int:
        return await self._writing.submit(lambda: states.forget_commands(self._writer, before, limit))

    async def state(self, stream: StreamName) -> StoredState | None:
        with translated(self._database.path):
            return states.read_state(self._by_key, stream)

    async def save_state(self, state: StoredState) -> None:
        await self._writing.submit(lambda: states.save_state(self._writer, state))

    async def drop_states(self, stream: StreamName | None = None) -> int:
        return await self._writing.submit(lambda: states.drop_states(self._writer, stream))

    async def wait(self, after: Position, timeout: float) -> None:
        """Woken at once by this process, within `POLL_SECONDS` by another."""
        while timeout > 0 and await self.head() <= after:
            if await self._signal.wait(min(timeout, POLL_SECONDS)):
                return
            timeout -= POLL_SECONDS
