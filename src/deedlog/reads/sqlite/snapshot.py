"""One query's view of a SQLite file: a read transaction on a connection of its own for so long."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast

from deedlog.errors import Misuse
from deedlog.reads.model import Key, RowType
from deedlog.reads.port import Snapshot, readable
from deedlog.reads.sqlite import builds
from deedlog.reads.sqlite import statements as sql
from deedlog.reads.sqlite.columns import RowCodec
from deedlog.reads.values import Checkpoint, Condition, Find, Projected
from deedlog.sqlite.errors import translate, translated
from deedlog.sqlite.pool import ReaderPool
from deedlog.types import Position, StreamName

T = TypeVar("T")


class _Over:
    """Stands in for the connection of a snapshot that has ended."""

    def execute(self, *words: Any) -> Any:
        raise Misuse(
            "a Reader was used after its query was answered", fix="read inside the query handler, and return what you read"
        )


class SqliteSnapshot(Snapshot):
    """A read transaction. Reads by key run on the event loop (microseconds), all others on a thread."""

    def __init__(
        self,
        codec_of: Callable[[RowType], RowCodec],
        pool: ReaderPool,
        path: str,
        projections: Collection[Projected],
        *,
        by_name: bool,
        has_log: bool,
    ) -> None:
        self._statement = sql.GENERATIONS_AND_HEAD if has_log else sql.GENERATIONS
        self._codec_of = codec_of
        self._pool = pool
        self._path = path
        self._projections = projections
        self._by_name = by_name
        self.checkpoints: dict[str, Checkpoint] = {}
        self._generations: dict[str, int] = {}
        self._reading: list[asyncio.Future[Any]] = []

    async def __aenter__(self) -> "SqliteSnapshot":
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
        try:
            await self._lease.over(*self._reading)
        finally:
            self._reading.clear()

    def _see(self, projected: Projected) -> None:
        memo = self._lease.memo
        what = (projected.name, projected.definition, self._by_name)
        seen = memo.get(what)
        if seen is None:
            seen = memo[what] = self._choose(projected)
        checkpoint, self.head = seen
        self.checkpoints[projected.name] = checkpoint
        for model in projected.models:
            self._generations[model.name] = checkpoint.generation

    def _choose(self, projected: Projected) -> tuple[Checkpoint, Position | None]:
        try:
            rows = self._connection.execute(self._statement, (projected.name,)).fetchall()
        except sqlite3.Error as error:
            raise translate(error, self._path) from error
        chosen = readable(projected, [builds.checkpoint_of(row) for row in rows], by_name=self._by_name)
        return chosen, (rows[0][builds.WIDTH] or 0) if len(rows[0]) > builds.WIDTH else None

    def has(self, model: RowType) -> bool:
        return model.name in self._generations

    async def is_parked(self, projected: Projected, stream: StreamName, until: Position) -> bool:
        generation = self.checkpoints[projected.name].generation
        return await self._on_thread(lambda: self._rows(sql.IS_PARKED, (generation, stream, until)).fetchone() is not None)

    async def get(self, model: RowType, key: Key) -> Any | None:
        codec = self._codec_of(model)
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
        codec, generation = self._codec_of(model), self._generations[model.name]
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
        load = self._codec_of(model).load
        return await self._on_thread(lambda: [load(values) for values in self._rows(statement, parameters)])

    async def count(self, model: RowType, where: tuple[Condition, ...]) -> int:
        statement, parameters = sql.count(model, self._generations[model.name], where)
        return await self._on_thread(lambda: int(next(self._rows(statement, parameters))[0]))

    async def search(self, model: RowType, words: Sequence[str], limit: int) -> list[Any]:
        statement = sql.search(model, self._generations[model.name])
        match = " ".join(f'"{word}"*' for word in words)
        load = self._codec_of(model).load
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
                return self._lease.read(read)

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
