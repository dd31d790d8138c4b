"""Rows of read models in their tables: loaded for a batch, written with their checkpoint. Inside a caller's transaction."""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from deedlog.errors import Conflict, Misuse
from deedlog.reads.model import Key, RowType
from deedlog.reads.port import Within
from deedlog.reads.sqlite import builds, letters
from deedlog.reads.sqlite import statements as sql
from deedlog.reads.sqlite.columns import RowCodec, dumper
from deedlog.reads.values import MOVED, Changes, Checkpoint, Parked, Projected, Stored, Wanted
from deedlog.sqlite.bulk import insert_many


class RowTables:
    """Reads and writes rows on whatever connection it is given."""

    def __init__(self) -> None:
        self._codecs: dict[str, RowCodec] = {}

    def codec(self, model: RowType) -> RowCodec:
        found = self._codecs.get(model.name)
        if found is None:
            found = self._codecs[model.name] = RowCodec(model)
        return found

    def load(
        self, connection: sqlite3.Connection, projected: Projected, checkpoint: Checkpoint, wanted: Wanted
    ) -> dict[str, list[Stored]]:
        try:
            return {m.name: self._load(connection, m, checkpoint.generation, wanted) for m in projected.models}
        except sqlite3.OperationalError as error:
            if any(c.generation == checkpoint.generation for c in builds.generations(connection, projected.name)):
                raise
            gone = f"generation {checkpoint.generation} of {projected.name} is gone"  # dropped by another rebuild or version
            raise Conflict(gone, fix="read its checkpoint again") from error

    def _load(self, connection: sqlite3.Connection, model: RowType, generation: int, wanted: Wanted) -> list[Stored]:
        rows: dict[Key, Stored] = {}
        codec = self.codec(model)
        keys = [codec.dump_key(key) for key in wanted.keys.get(model.name, ())]
        if keys:
            rows.update(self._rows(connection, model, generation, model.key, keys))
        for (name, column), values in wanted.where.items():
            if name == model.name:
                rows.update(self._rows(connection, model, generation, column, _dumped(model, column, values)))
        return list(rows.values())

    def _rows(
        self, connection: sqlite3.Connection, model: RowType, generation: int, column: str, values: list[Any]
    ) -> Iterator[tuple[Key, Stored]]:
        codec, width = self.codec(model), self.codec(model).width
        for found in connection.execute(*sql.select_in(model, generation, column, values)):
            row = codec.load(found)
            yield model.key_of(row), Stored(row, found[width], found[width + 1])

    def write(
        self, connection: sqlite3.Connection, projected: Projected, changes: Changes, before: Checkpoint, after: Checkpoint
    ) -> None:
        moving = [getattr(after, name) for name in MOVED]
        fence = (before.generation, before.position, before.epoch, before.revision)
        if connection.execute(sql.ADVANCE, (*moving, projected.name, *fence, after.position)).rowcount != 1:
            raise Conflict(f"{projected.name} was moved by another worker", fix="read its checkpoint again")
        for model in projected.models:
            try:
                self._change(connection, model, before.generation, changes)
            except (AttributeError, TypeError, ValueError, OverflowError) as error:
                raise Misuse(f"a row of {model.name} can't be stored: {error}", fix="give each field its type") from error
        if changes.letters or changes.released or changes.skips:
            letters.park(connection, projected, before.generation, changes)

    def _change(self, connection: sqlite3.Connection, model: RowType, generation: int, changes: Changes) -> None:
        codec = self.codec(model)
        if upserts := changes.upserts.get(model.name):
            rows = [codec.dump(s.row, s.position, s.updated_at) for s in upserts]
            head, tail = sql.upsert(model, generation)
            insert_many(connection, head, rows, tail)
        if deletes := changes.deletes.get(model.name):
            connection.executemany(sql.delete(model, generation), [(codec.dump_key(key),) for key in deletes])


class SqliteWithin(Within):
    """The rows in a transaction that somebody else commits: the append's. What fails in a write is undone here."""

    def __init__(self, rows: RowTables, connection: sqlite3.Connection) -> None:
        self._rows = rows
        self._connection = connection

    def current(self, projected: Projected) -> Checkpoint | None:
        return builds.own(builds.generations(self._connection, projected.name), projected.definition)

    def load(self, projected: Projected, checkpoint: Checkpoint, wanted: Wanted) -> dict[str, list[Stored]]:
        return self._rows.load(self._connection, projected, checkpoint, wanted)

    def parked(self, projected: Projected, checkpoint: Checkpoint) -> Parked:
        return letters.parked(self._connection, projected, checkpoint.generation)

    def write(self, projected: Projected, changes: Changes, before: Checkpoint, after: Checkpoint) -> None:
        self._connection.execute("savepoint deedlog_inline")
        try:
            self._rows.write(self._connection, projected, changes, before, after)
        except BaseException as error:
            if self._connection.in_transaction:  # a full disk has ended it already
                self._connection.execute("rollback to deedlog_inline")
                self._connection.execute("release deedlog_inline")
            if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError):
                raise Misuse(f"a row of {projected.name} can't be stored: {error}", fix="give each field its type") from error
            raise
        self._connection.execute("release deedlog_inline")


def _dumped(model: RowType, column: str, values: Iterable[Any]) -> list[Any]:
    """Values to look for in a column. Raises Misuse for one that the column can't have."""
    dump = dumper(model.columns[column])
    try:
        return [value if dump is None or value is None else dump(value) for value in values]
    except (AttributeError, TypeError, ValueError) as error:
        raise Misuse(f"{model.name}.{column} can't have such a value: {error}", fix="find by a field of its type") from error
