"""Statements of free-form projections, inside the commit of their checkpoint."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deedlog.errors import Misuse
from deedlog.reads.port import SqlWriter

_OURS = (sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.DataError, sqlite3.Warning)
_NOT_ITS = ("begin", "commit", "rollback", "savepoint", "release", "end", "pragma", "attach", "detach")
_PASSING = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR")


class SqliteSqlWriter(SqlWriter):
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> int:
        return self._run(statement, parameters).rowcount

    def all(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[dict[str, Any]]:
        cursor = self._run(statement, parameters)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, values, strict=True)) for values in cursor]

    def _run(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any]) -> sqlite3.Cursor:
        if statement.lstrip().lower().startswith(_NOT_ITS):
            raise Misuse(f"SQL: {statement.split()[0]} is not a projection's to say", fix="its commit is the checkpoint's")
        try:
            return self._connection.execute(statement, parameters)
        except _OURS as error:
            if (getattr(error, "sqlite_errorname", None) or "").startswith(_PASSING):
                raise  # nobody's fault here: the whole step is tried again
            raise Misuse(f"SQL: {error}", fix="one statement of SQLite's dialect, a value for each parameter") from error

    def attempt(self, work: Callable[[], None]) -> None:
        self._connection.execute("savepoint deedlog_event")
        try:
            work()
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("rollback to deedlog_event")
                self._connection.execute("release deedlog_event")
            raise
        self._connection.execute("release deedlog_event")
