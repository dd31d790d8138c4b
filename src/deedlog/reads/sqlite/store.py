"""Read models on one SQLite file: a batch's rows and its checkpoint in one commit, queries in one read transaction."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast

from deedlog.errors import Conflict, Misuse
from deedlog.reads.model import Key, RowType
from deedlog.reads.port import (
    Changes,
    Checkpoint,
    Condition,
    Find,
    Projected,
    ReadStore,
    Snapshot,
    Stored,
    Wanted,
    refuse_unready,
)
from deedlog.reads.sqlite import statements as sql
from deedlog.reads.sqlite.columns import RowCodec, dumper, register
from deedlog.sqlite.bulk import insert_many
from deedlog.sqlite.database import Database
from deedlog.sqlite.errors import translate, translated
from deedlog.sqlite.pool import ReaderPool
from deedlog.sqlite.thread import WorkerThread
from deedlog.types import Position

T = TypeVar("T")
INTERRUPT_SECONDS = 0.02


class SqliteReadStore(ReadStore):
    """Writes run on a thread of their own.

    They commit without waiting for the disk: after a power cut the newest rows and their checkpoint are gone together, and
    are folded again from the log, which is on disk (ADR 0002).
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._opened = False
        self._codecs: dict[str, RowCodec] = {}
        if register not in database.on_connect:
            database.on_connect.append(register)

    async def open(self) -> None:
        self._writer = self._database.writer("NORMAL")
        self._thread = WorkerThread("deedlog-project")
        self._pool = ReaderPool(self._database)
        self._checkpoints = self._database.reader()  # of its own: queries that take long hold up no projection
        self._opened = True
        if not self._database.read_only:
            await self._write("schema", lambda connection: connection.execute(sql.SCHEMA))
        with translated(self._database.path):
            self.has_log = self._writer.connection.execute(sql.HAS_LOG).fetchone() is not None

    async def close(self) -> None:
        if self._opened:
            self._opened = False
            self._thread.stop()
            self._writer.close()
            self._pool.close()
            self._checkpoints.close()

    async def _write(self, work: str, change: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `change` in one write transaction, on the writing thread."""

        def run() -> T:
            try:
                with self._writer.transaction(work) as connection:
                    return change(connection)
            except sqlite3.Error as error:
                raise translate(error, self._database.path) from error

        return await self._thread.submit(run)

    def codec(self, model: RowType) -> RowCodec:
        found = self._codecs.get(model.name)
        if found is None:
            found = self._codecs[model.name] = RowCodec(model)
        return found

    async def prepare(self, projected: Projected, head: Position) -> Checkpoint:
        return await self._write("prepare", lambda connection: self._prepare(connection, projected, head))

    def _prepare(self, connection: sqlite3.Connection, projected: Projected, head: Position) -> Checkpoint:
        live = connection.execute(sql.LIVE, (projected.name,)).fetchone()
        if live is None or live[1] != projected.definition:
            tables = json.dumps([model.table for model in projected.models])
            before = connection.execute(sql.HOLDERS, (tables,)).fetchall()
            generation = self._create(connection, projected, live=True, building_to=head)
            for name, old, held in before:
                self._drop(connection, name, old, held, views=True)
            self._show(connection, projected, generation)
        return self._checkpoint(connection, projected.name)

    def _create(self, connection: sqlite3.Connection, projected: Projected, *, live: bool, building_to: int) -> int:
        (newest,) = connection.execute(sql.NEWEST).fetchone()
        generation = int(newest) + 1
        _run(connection, (s for model in projected.models for s in sql.create(model, generation)))
        tables = json.dumps([model.table for model in projected.models])
        row = (projected.name, generation, int(live), building_to, projected.definition, tables)
        connection.execute(sql.ADD, row)
        return generation

    @staticmethod
    def _drop(connection: sqlite3.Connection, name: str, generation: int, tables: str, *, views: bool = False) -> None:
        for table in json.loads(tables):
            if views:
                connection.execute(sql.drop_view(table))
            _run(connection, sql.drop(table, generation))
        connection.execute(sql.RETIRE, (name, generation))

    @staticmethod
    def _show(connection: sqlite3.Connection, projected: Projected, generation: int) -> None:
        _run(connection, (s for model in projected.models for s in sql.view(model.table, generation)))

    @staticmethod
    def _checkpoint(connection: sqlite3.Connection, name: str) -> Checkpoint:
        row = connection.execute(sql.CHECKPOINT, (name,)).fetchone()
        if row is None:
            raise Misuse(f"projection {name} was never prepared", fix="start the app, or run `deedlog db init`")
        return Checkpoint(*row)

    async def checkpoint(self, name: str) -> Checkpoint | None:
        with translated(self._database.path):  # no transaction is open here: never older than the question
            row = self._checkpoints.execute(sql.CHECKPOINT, (name,)).fetchone()
        return Checkpoint(*row) if row else None

    async def load(self, projected: Projected, checkpoint: Checkpoint, wanted: Wanted) -> dict[str, list[Stored]]:
        def load() -> dict[str, list[Stored]]:
            with translated(self._database.path):
                try:
                    return {m.name: self._load(m, checkpoint.generation, wanted) for m in projected.models}
                except sqlite3.OperationalError as error:
                    self._refuse_gone(projected.name, checkpoint.generation, error)
                    raise

        return await self._thread.submit(load)

    def _load(self, model: RowType, generation: int, wanted: Wanted) -> list[Stored]:
        rows: dict[Key, Stored] = {}
        codec = self.codec(model)
        keys = [codec.dump_key(key) for key in wanted.keys.get(model.name, ())]
        if keys:
            rows.update(self._rows(model, generation, model.key, keys))
        for (name, column), values in wanted.where.items():
            if name == model.name:
                rows.update(self._rows(model, generation, column, _dumped(model, column, values)))
        return list(rows.values())

    def _refuse_gone(self, name: str, generation: int, error: sqlite3.Error) -> None:
        """Its tables are not there because another rebuild or another version of the app has dropped them: say so."""
        if self._writer.connection.execute(sql.GENERATION, (name, generation)).fetchone() is None:
            raise Conflict(f"generation {generation} of {name} is gone", fix="read its checkpoint again") from error

    def _rows(self, model: RowType, generation: int, column: str, values: list[Any]) -> Iterator[tuple[Key, Stored]]:
        codec, width = self.codec(model), self.codec(model).width
        for values_read in self._writer.connection.execute(*sql.select_in(model, generation, column, values)):
            row = codec.load(values_read)
            yield model.key_of(row), Stored(row, values_read[width], values_read[width + 1])

    async def write(self, projected: Projected, changes: Changes, before: Checkpoint, after: Checkpoint) -> None:
        await self._write("project", lambda connection: self._apply(connection, projected, changes, before, after))

    def _apply(
        self,
        connection: sqlite3.Connection,
        projected: Projected,
        changes: Changes,
        before: Checkpoint,
        after: Checkpoint,
    ) -> None:
        reached = (after.position, after.events, after.building_to, after.updated_at)
        moved = connection.execute(sql.ADVANCE, (*reached, projected.name, before.generation, before.position))
        if moved.rowcount != 1:
            raise Conflict(f"{projected.name} was moved by another worker", fix="read its checkpoint again")
        for model in projected.models:
            try:
                self._change(connection, model, before.generation, changes)
            except (AttributeError, TypeError, ValueError, OverflowError) as error:
                raise Misuse(f"a row of {model.name} can't be stored: {error}", fix="give each field its type") from error

    def _change(self, connection: sqlite3.Connection, model: RowType, generation: int, changes: Changes) -> None:
        codec = self.codec(model)
        if upserts := changes.upserts.get(model.name):
            rows = [(*codec.dump(s.row), s.position, s.updated_at) for s in upserts]
            head, tail = sql.upsert(model, generation)
            insert_many(connection, head, rows, tail)
        if deletes := changes.deletes.get(model.name):
            connection.executemany(sql.delete(model, generation), [(codec.dump_key(key),) for key in deletes])

    async def begin_rebuild(self, projected: Projected) -> Checkpoint:
        def begin(connection: sqlite3.Connection) -> Checkpoint:
            dead = connection.execute(sql.DEAD, (projected.name,)).fetchall()
            generation = self._create(connection, projected, live=False, building_to=0)
            for old, tables in dead:  # after the new one has its number: a number is never given twice
                self._drop(connection, projected.name, old, tables)
            return Checkpoint(generation=generation, definition=projected.definition)

        return await self._write("rebuild", begin)

    async def switch(self, projected: Projected, built: Checkpoint) -> None:
        def switch(connection: sqlite3.Connection) -> None:
            live = connection.execute(sql.LIVE, (projected.name,)).fetchone()
            if live is None or live[1] != projected.definition:
                raise Misuse(f"{projected.name} belongs to another version of this app by now", fix="restart with it")
            (position,) = connection.execute(sql.POSITION, (projected.name,)).fetchone()
            if position > built.position:
                raise Conflict(f"{projected.name}: the live build is ahead of the new one", fix="fold the rest, then switch")
            self._show(connection, projected, built.generation)
            self._drop(connection, projected.name, live[0], live[2])
            if connection.execute(sql.PROMOTE, (projected.name, built.generation, built.position)).rowcount != 1:
                raise Conflict(f"{projected.name}: another rebuild replaced this one", fix="start it again")

        await self._write("switch", switch)

    def snapshot(self, projections: Collection[Projected]) -> "_SqliteSnapshot":
        return _SqliteSnapshot(self, self._pool, self._database.path, projections, has_log=self.has_log)


class _Over:
    """Stands in for the connection of a snapshot that has ended."""

    def execute(self, *words: Any) -> Any:
        raise Misuse(
            "a Reader was used after its query was answered", fix="read inside the query handler, and return what you read"
        )


class _SqliteSnapshot(Snapshot):
    """A read transaction. Reads by key run on the event loop (microseconds), all others on a thread."""

    def __init__(
        self, store: SqliteReadStore, pool: ReaderPool, path: str, projections: Collection[Projected], *, has_log: bool
    ) -> None:
        self._statement = sql.CHECKPOINT_AND_HEAD if has_log else sql.CHECKPOINT
        self._store = store
        self._pool = pool
        self._path = path
        self._projections = projections
        self.checkpoints: dict[str, Checkpoint] = {}
        self._generations: dict[str, int] = {}
        self._reading: list[asyncio.Future[Any]] = []

    async def __aenter__(self) -> "_SqliteSnapshot":
        try:
            self._lease = self._pool.take_now() or await self._pool.take()
        except sqlite3.Error as error:
            raise translate(error, self._path) from error
        self._connection = self._lease.connection
        try:
            for projected in self._projections:
                self._see(projected)
        except BaseException:
            self._pool.give(self._lease)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await self._end_reads()
        finally:
            self._connection = cast(sqlite3.Connection, _Over())
            self._pool.give(self._lease)

    async def _end_reads(self) -> None:
        """Returns when no thread uses the connection any more, also when cancelled meanwhile."""
        cancelled: asyncio.CancelledError | None = None
        while running := [reading for reading in self._reading if not reading.done()]:
            self._connection.interrupt()  # again and again: it does nothing for a statement that is only about to start
            try:
                await asyncio.wait(running, timeout=INTERRUPT_SECONDS)
            except asyncio.CancelledError as error:
                cancelled = error
        for reading in self._reading:
            reading.exception()  # looked at: whoever waited for it has it, or is gone
        self._reading.clear()
        if cancelled is not None:
            raise cancelled

    def _see(self, projected: Projected) -> None:
        memo = self._lease.memo
        seen = memo.get(projected.name)
        if seen is None:
            seen = memo[projected.name] = self._read_checkpoint(projected.name)
        checkpoint, self.head = seen
        self.checkpoints[projected.name] = checkpoint
        if checkpoint.building_to or checkpoint.definition != projected.definition:
            refuse_unready(projected, checkpoint)
        for model in projected.models:
            self._generations[model.name] = checkpoint.generation

    def _read_checkpoint(self, name: str) -> tuple[Checkpoint, Position | None]:
        try:
            row = self._connection.execute(self._statement, (name,)).fetchone()
        except sqlite3.Error as error:
            raise translate(error, self._path) from error
        if row is None:
            raise Misuse(f"projection {name} was never prepared", fix="start the app first")
        return Checkpoint(*row[:6]), (row[6] or 0) if len(row) > 6 else None

    async def get(self, model: RowType, key: Key) -> Any | None:
        codec = self._store.codec(model)
        statement = sql.select_by_key(model, self._generations[model.name])
        parameters = (codec.dump_key(key),)
        if self._reading:  # the connection is busy: wait for it on a thread, not on the event loop
            values = await self._on_thread(lambda: self._rows(statement, parameters).fetchone())
        else:
            try:
                values = self._connection.execute(statement, parameters).fetchone()
            except sqlite3.Error as error:
                raise translate(error, self._path) from error
        return None if values is None else codec.load(values)

    async def get_many(self, model: RowType, keys: Collection[Key]) -> dict[Key, Any]:
        codec, generation = self._store.codec(model), self._generations[model.name]
        dumped = [codec.dump_key(key) for key in keys]

        def read() -> dict[Key, Any]:
            rows = [codec.load(values) for values in self._rows(*sql.select_in(model, generation, model.key, dumped))]
            return {model.key_of(row): row for row in rows}

        if self._reading:
            return await self._on_thread(read)
        with translated(self._path):
            return read()

    async def find(self, model: RowType, find: Find) -> list[Any]:
        statement, parameters = sql.find(model, self._generations[model.name], find)
        load = self._store.codec(model).load
        return await self._on_thread(lambda: [load(values) for values in self._rows(statement, parameters)])

    async def count(self, model: RowType, where: tuple[Condition, ...]) -> int:
        statement, parameters = sql.count(model, self._generations[model.name], where)
        return await self._on_thread(lambda: int(next(self._rows(statement, parameters))[0]))

    async def search(self, model: RowType, words: Sequence[str], limit: int) -> list[Any]:
        statement = sql.search(model, self._generations[model.name])
        match = " ".join(f'"{word}"*' for word in words)
        load = self._store.codec(model).load
        return await self._on_thread(lambda: [load(values) for values in self._rows(statement, (match, limit))])

    async def sql(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[dict[str, Any]]:
        def run() -> list[dict[str, Any]]:
            try:
                cursor = self._rows(statement, parameters)
                names = [column[0] for column in cursor.description or ()]
                return [dict(zip(names, values, strict=True)) for values in cursor]
            except (sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.Warning) as error:
                if getattr(error, "sqlite_errorname", "") in ("SQLITE_BUSY", "SQLITE_INTERRUPT"):
                    raise
                raise Misuse(f"SQL: {error}", fix="one SELECT; read models are views of their snake-case names") from error

        return await self._on_thread(run)

    def _rows(self, statement: str, parameters: Any) -> sqlite3.Cursor:
        return self._connection.execute(statement, parameters)

    async def _on_thread(self, read: Callable[[], T]) -> T:
        """Not abandoned when the caller is cancelled: the connection goes back to the pool only when the read is over."""

        def run() -> T:
            with translated(self._path):
                return read()

        reading = asyncio.ensure_future(asyncio.to_thread(run))
        self._reading.append(reading)
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await self._end_reads()
            raise
        finally:
            if reading in self._reading and reading.done():
                self._reading.remove(reading)


def _dumped(model: RowType, column: str, values: Iterable[Any]) -> list[Any]:
    """Values to look for in a column. Raises Misuse for one that the column can't have."""
    dump = dumper(model.columns[column])
    try:
        return [value if dump is None or value is None else dump(value) for value in values]
    except (AttributeError, TypeError, ValueError) as error:
        raise Misuse(f"{model.name}.{column} can't have such a value: {error}", fix="find by a field of its type") from error


def _run(connection: sqlite3.Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.execute(statement)
