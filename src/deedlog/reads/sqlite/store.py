"""Read models on one SQLite file: a batch's rows and its checkpoint in one commit, queries in one read transaction."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar, cast

from deedlog.errors import Conflict, Misuse
from deedlog.reads.model import RowType
from deedlog.reads.port import ReadStore, Within, Work, is_free
from deedlog.reads.sqlite import builds, letters
from deedlog.reads.sqlite import statements as sql
from deedlog.reads.sqlite.columns import register
from deedlog.reads.sqlite.rows import RowTables, SqliteWithin
from deedlog.reads.sqlite.snapshot import SqliteSnapshot
from deedlog.reads.sqlite.writer import SqliteSqlWriter
from deedlog.reads.values import (
    Changes,
    Checkpoint,
    Comparison,
    Difference,
    Letter,
    Parked,
    Place,
    Projected,
    Skip,
    Stored,
    Wanted,
)
from deedlog.sqlite.database import Database
from deedlog.sqlite.errors import translate, translated
from deedlog.sqlite.pool import ReaderPool
from deedlog.sqlite.thread import WorkerThread
from deedlog.types import Position

T = TypeVar("T")


class SqliteReadStore(ReadStore):
    """Writes run on a thread of their own.

    They commit without waiting for the disk: after a power cut the newest rows and their checkpoint are gone together, and
    are folded again from the log, which is on disk (ADR 0002).
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._opened = ExitStack()
        self._rows = RowTables()
        if register not in database.on_connect:
            database.on_connect.append(register)

    async def open(self) -> None:
        with ExitStack() as opened:  # lets go of what is open already when the next can't be opened
            self._writer = self._database.writer("NORMAL")
            opened.callback(self._writer.close)
            self._checkpoints = self._database.reader()  # of its own: queries that take long hold up no projection
            opened.callback(self._checkpoints.close)
            self._pool = ReaderPool(self._database)
            opened.callback(self._pool.close)
            self._thread = WorkerThread("deedlog-project")
            opened.callback(self._thread.stop)
            if not self._database.read_only:
                await self._write("schema", lambda connection: builds.run(connection, sql.SCHEMA))
            with translated(self._database.path):
                self.has_log = self._writer.connection.execute(sql.HAS_LOG).fetchone() is not None
            self._opened = opened.pop_all()

    async def close(self) -> None:
        self._opened.close()

    async def _write(self, work: str, change: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `change` in one write transaction, on the writing thread."""

        def run() -> T:
            try:
                with self._writer.transaction(work) as connection:
                    return change(connection)
            except sqlite3.Error as error:
                raise translate(error, self._database.path) from error

        return await self._thread.submit(run)

    async def _look(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `read` in a read transaction, on a thread of the pool: long ones hold up no projection."""
        lease = await self._pool.take()

        def run() -> T:
            with translated(self._database.path):
                return lease.read(lambda: read(lease.connection))

        reading = asyncio.ensure_future(asyncio.to_thread(run))
        try:
            return await asyncio.shield(reading)
        finally:
            try:
                await lease.over(reading)
            finally:
                self._pool.give(lease)

    async def prepare(self, projected: Projected, head: Position) -> Checkpoint:
        return await self._write("prepare", lambda connection: builds.prepare(connection, projected, head))

    async def current(self, projected: Projected) -> Checkpoint | None:
        return builds.own(await self.generations(projected.name), projected.definition)

    async def generations(self, name: str) -> list[Checkpoint]:
        with translated(self._database.path):  # no transaction is open here: never older than the question
            return builds.generations(self._checkpoints, name)

    async def load(self, projected: Projected, checkpoint: Checkpoint, wanted: Wanted) -> dict[str, list[Stored]]:
        def load() -> dict[str, list[Stored]]:
            with translated(self._database.path):
                return self._rows.load(self._writer.connection, projected, checkpoint, wanted)

        return await self._thread.submit(load)

    async def write(self, projected: Projected, changes: Changes, before: Checkpoint, after: Checkpoint) -> None:
        await self._write("project", lambda connection: self._rows.write(connection, projected, changes, before, after))

    async def transact(self, projected: Projected, before: Checkpoint, work: Work) -> Checkpoint:
        def run(connection: sqlite3.Connection) -> Checkpoint:
            after, changes = work(SqliteSqlWriter(connection))
            self._rows.write(connection, projected, changes, before, after)
            return after

        return await self._write("project", run)

    async def restart(self, projected: Projected, head: Position, statements: Sequence[str]) -> Checkpoint:
        def run(connection: sqlite3.Connection) -> Checkpoint:
            writer = SqliteSqlWriter(connection)
            for statement in statements:
                writer.execute(statement)
            return builds.restart(connection, projected, head)

        return await self._write("rebuild", run)

    def within(self, transaction: object) -> Within:
        return SqliteWithin(self._rows, cast(sqlite3.Connection, transaction))

    async def begin_rebuild(self, projected: Projected) -> Checkpoint:
        return await self._write("rebuild", lambda connection: builds.begin_rebuild(connection, projected))

    async def switch(self, projected: Projected, built: Checkpoint) -> Checkpoint:
        return await self._write("switch", lambda connection: builds.switch(connection, projected, built))

    async def go_live(self, projected: Projected, checkpoint: Checkpoint) -> Checkpoint:
        return await self._write("switch", lambda connection: builds.go_live(connection, projected, checkpoint))

    async def rollback(self, name: str) -> Checkpoint:
        return await self._write("switch", lambda connection: builds.rollback(connection, name))

    async def reinstate(self, name: str) -> Checkpoint:
        return await self._write("switch", lambda connection: builds.reinstate(connection, name))

    async def discard(self, projected: Projected, built: Checkpoint) -> None:
        await self._write("rebuild", lambda connection: builds.drop(connection, projected.name, built.generation))

    async def compare(self, projected: Projected, mine: Checkpoint, other: Checkpoint, limit: int = 100) -> Comparison:
        return await self._look(lambda connection: self._compare(connection, projected, mine, other, limit))

    def _compare(
        self, connection: sqlite3.Connection, projected: Projected, mine: Checkpoint, other: Checkpoint, limit: int
    ) -> Comparison:
        at = {c.generation: c.position for c in builds.generations(connection, projected.name)}
        if any(at.get(c.generation) != c.position for c in (mine, other)):
            raise Conflict(f"{projected.name} has moved", fix="compare again")
        same, different = 0, 0
        examples: list[Difference] = []
        for model in projected.models:
            pair = (model, mine.generation, other.generation)
            same += int(connection.execute(sql.same(*pair)).fetchone()[0])
            rows = connection.execute(sql.differing(*pair), (max(1, limit - len(examples)),)).fetchall()
            different += int(rows[0][1]) if rows else 0
            examples += [self._difference(connection, *pair, key) for key, _ in rows][: limit - len(examples)]
        return Comparison(same, different, examples)

    def _difference(self, connection: sqlite3.Connection, model: RowType, mine: int, other: int, key: Any) -> Difference:
        codec = self._rows.codec(model)
        found = [connection.execute(sql.select_by_key(model, g), (key,)).fetchone() for g in (mine, other)]
        left, right = (None if values is None else codec.load(values) for values in found)
        return Difference(model.name, model.key_of(left if left is not None else right), left, right)

    async def parked(self, projected: Projected, checkpoint: Checkpoint) -> Parked:
        return await self._look(lambda connection: letters.parked(connection, projected, checkpoint.generation))

    async def letters(
        self,
        projected: Projected,
        at: Checkpoint,
        *,
        place: Place | None = None,
        failed: bool = False,
        limit: int = 1_000,
    ) -> list[Letter]:
        generation = at.generation
        return await self._look(lambda c: letters.letters(c, projected, generation, place, failed=failed, limit=limit))

    async def skips(self, projected: Projected) -> list[Skip]:
        return await self._look(lambda connection: letters.skips(connection, projected))

    async def pause(self, name: str, words: str) -> None:
        if not await self._write("lease", lambda connection: connection.execute(sql.PAUSE, (words, name)).rowcount):
            raise Misuse(f"there is no projection '{name}' in this store", fix="`deedlog projections list` names them")

    async def lease(self, projected: Projected, checkpoint: Checkpoint, owner: str, now: int, until: int) -> Checkpoint | None:
        if not is_free(checkpoint, owner, now, until):
            return None  # seen without a write: who only stands by disturbs nobody

        def take(connection: sqlite3.Connection) -> Checkpoint | None:
            connection.execute(sql.LEASE, (owner, now, until, projected.name, checkpoint.generation))
            found = [c for c in builds.generations(connection, projected.name) if c.generation == checkpoint.generation]
            return next((c for c in found if c.owner == owner), None)

        return await self._write("lease", take)

    async def renew(self, owner: str, until: int) -> None:
        await self._write("lease", lambda connection: connection.execute(sql.RENEW, (until, owner)))

    async def release(self, owner: str) -> None:
        await self._write("lease", lambda connection: connection.execute(sql.RELEASE, (owner,)))

    async def audited(self, projected: Projected, checkpoint: Checkpoint, position: Position, digest: int) -> None:
        where = (projected.name, checkpoint.generation)
        await self._write("lease", lambda connection: connection.execute(sql.AUDITED, (position, digest, *where)))

    def snapshot(self, projections: Collection[Projected], *, by_name: bool = False) -> SqliteSnapshot:
        return SqliteSnapshot(
            self._rows.codec, self._pool, self._database.path, projections, by_name=by_name, has_log=self.has_log
        )
