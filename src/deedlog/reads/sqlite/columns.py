"""Values of rows as SQLite keeps them: exact, comparable, and readable with any client.

Decimals are text (exact) and compare by the collation `deedlog_decimal`; aware times are text in UTC with microseconds.
"""

import datetime as dt
import sqlite3
import uuid
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
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
    """Rows of one model to tuples of SQLite values and back, by functions made for its columns."""

    def __init__(self, model: RowType) -> None:
        columns = list(model.columns.values())
        self._cls = model.cls
        self.width = len(columns)
        self.key = dumper(model.columns[model.key])
        dumps, loads = [dumper(column) for column in columns], [loader(column) for column in columns]
        names: dict[str, Any] = {"cls": model.cls}
        names |= {f"dump_{index}": dump for index, dump in enumerate(dumps)}
        names |= {f"load_{index}": load for index, load in enumerate(loads)}
        values = [_converted(f"row.{c.name}", f"dump_{i}", dumps[i], c) for i, c in enumerate(columns)]
        fields = [_converted(f"values[{i}]", f"load_{i}", loads[i], c) for i, c in enumerate(columns)]
        self.dump: Callable[[Any, int, int], tuple[Any, ...]] = eval(  # names that RowType has checked
            f"lambda row, position, updated_at: ({', '.join([*values, 'position', 'updated_at'])})", names
        )
        """The values of a row, in order, with its position and time behind them."""
        self.load: Callable[[Any], Any] = eval(f"lambda values: cls({', '.join(fields)})", names)
        """A row from at least as many values as it has fields; what follows them is left."""

    def dump_key(self, key: Any) -> Any:
        try:
            return key if self.key is None else self.key(key)
        except (AttributeError, TypeError, ValueError) as error:
            raise Misuse(f"{key!r} can't be a key of {self._cls.__name__}: {error}") from error


def _converted(value: str, name: str, convert: Convert | None, column: Column) -> str:
    """Source of a value brought to the other side; None stays None."""
    if convert is None:
        return value
    return f"{name}({value}) if {value} is not None else None" if column.optional or column.kind == "json" else f"{name}({value})"


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
