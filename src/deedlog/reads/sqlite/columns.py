"""Values of rows as SQLite keeps them: exact, comparable, and readable with any client.

Decimals are text (exact) and compare by the collation `deedlog_decimal`; aware times are text in UTC with microseconds.
"""

import datetime as dt
import sqlite3
import uuid
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec

from deedlog.errors import Misuse
from deedlog.reads.model import Column, ColumnKind, RowType

Convert: TypeAlias = Callable[[Any], Any]

TYPES: dict[ColumnKind, str] = {
    "text": "text",
    "int": "integer",
    "bool": "integer",
    "float": "real",
    "decimal": "text",
    "datetime": "text",
    "date": "text",
    "time": "text",
    "uuid": "text",
    "enum": "any",
    "json": "text",
}
DECIMAL_COLLATION = "deedlog_decimal"


def register(connection: sqlite3.Connection) -> None:
    """Teaches a connection to compare decimals."""
    connection.create_collation(DECIMAL_COLLATION, _compare_decimals)


def dumper(column: Column) -> Convert | None:
    """Row value → SQLite value; None where they are the same."""
    match column.kind:
        case "text" | "int" | "float":
            return None
        case "bool":
            return int
        case "decimal" | "uuid":
            return str
        case "datetime":
            return _dump_datetime
        case "date" | "time":
            return _isoformat
        case "enum":
            return _enum_value
        case "json":
            return _dump_json


def loader(column: Column) -> Convert | None:
    """SQLite value → row value; None where they are the same."""
    match column.kind:
        case "text" | "int" | "float":
            return None
        case "bool":
            return bool
        case "decimal":
            return Decimal
        case "uuid":
            return uuid.UUID
        case "datetime":
            return dt.datetime.fromisoformat
        case "date":
            return dt.date.fromisoformat
        case "time":
            return dt.time.fromisoformat
        case "enum":
            return column.type  # type: ignore[no-any-return]
        case "json":
            return msgspec.json.Decoder(column.type).decode


class RowCodec:
    """Rows of one model to tuples of SQLite values and back."""

    def __init__(self, model: RowType) -> None:
        columns = list(model.columns.values())
        self._cls = model.cls
        self._values = attrgetter(*(column.name for column in columns)) if len(columns) > 1 else None
        self._only = columns[0].name
        self._dumps = [(index, dump) for index, c in enumerate(columns) if (dump := dumper(c)) is not None]
        self._loads = [(index, load) for index, c in enumerate(columns) if (load := loader(c)) is not None]
        self.width = len(columns)
        self.key = dumper(model.columns[model.key])

    def dump(self, row: Any) -> list[Any]:
        values = list(self._values(row)) if self._values is not None else [getattr(row, self._only)]
        for index, dump in self._dumps:
            if values[index] is not None:
                values[index] = dump(values[index])
        return values

    def load(self, values: Any) -> Any:
        """A row from at least as many values as it has fields; what follows them is left."""
        if not self._loads:
            return self._cls(*values[: self.width])
        values = list(values[: self.width])
        for index, load in self._loads:
            if values[index] is not None:
                values[index] = load(values[index])
        return self._cls(*values)

    def dump_key(self, key: Any) -> Any:
        try:
            return key if self.key is None else self.key(key)
        except (AttributeError, TypeError, ValueError) as error:
            raise Misuse(f"{key!r} can't be a key of {self._cls.__name__}: {error}") from error


def _dump_datetime(value: dt.datetime) -> str:
    """Of one width, so that texts compare as times do: `2026-01-31T09:30:00.000000Z`; without the Z for a naive one."""
    if value.tzinfo is not None and value.tzinfo is not dt.UTC:
        value = value.astimezone(dt.UTC)
    text: str = msgspec.to_builtins(value)  # a tenth of the time of isoformat
    if value.microsecond:
        return text
    return f"{text[:-1]}.000000Z" if value.tzinfo is not None else f"{text}.000000"


def _isoformat(value: dt.date | dt.time) -> str:
    return value.isoformat() if isinstance(value, dt.date) else value.isoformat(timespec="microseconds")


def _enum_value(value: Any) -> Any:
    return value.value


def _dump_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _compare_decimals(left: str, right: str) -> int:
    try:
        a, b = Decimal(left), Decimal(right)
    except InvalidOperation:
        return (left > right) - (left < right)
    return (a > b) - (a < b)
