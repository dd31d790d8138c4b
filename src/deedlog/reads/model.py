"""A read model's row: its class, its key, its columns and indexes, read once from the declaration."""

import datetime as dt
import enum
import re
import typing
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

import msgspec

from deedlog.errors import InvalidDeclaration, Misuse
from deedlog.messages.base import place_of
from deedlog.messages.limits import INT_MAX, INT_MIN

ColumnKind: TypeAlias = Literal["text", "int", "bool", "float", "decimal", "datetime", "date", "time", "uuid", "enum", "json"]
Key: TypeAlias = Any
Index: TypeAlias = str | Sequence[str]

_KINDS: dict[type[Any], ColumnKind] = {
    str: "text",
    bool: "bool",
    int: "int",
    float: "float",
    Decimal: "decimal",
    dt.datetime: "datetime",
    dt.date: "date",
    dt.time: "time",
    uuid.UUID: "uuid",
}
KEY_KINDS = ("text", "int", "uuid", "date", "enum")
NAME = re.compile(r"[a-z][a-z0-9_]*")


class ReadModel(msgspec.Struct):
    """A row of a read model. Subclass it: fields are columns, methods marked `@starts`, `@on`, `@ends` fold events."""


class Column(msgspec.Struct, frozen=True):
    """One field of a row. `type` is the annotation without `None`; `optional` says that `None` is allowed."""

    name: str
    type: Any
    kind: ColumnKind
    optional: bool


class RowType:
    """The shape of a read model's rows."""

    def __init__(
        self,
        cls: type[Any],
        *,
        key: str,
        table: str | None = None,
        indexes: Sequence[Index] = (),
        search: Sequence[str] = (),
    ) -> None:
        self.cls = cls
        self.name = cls.__name__
        self.key = key
        self.table = table or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        self.search = tuple(search)
        self.indexes = tuple((index,) if isinstance(index, str) else tuple(index) for index in indexes)
        if not issubclass(cls, ReadModel):
            raise InvalidDeclaration(self.place, f"{self.name} is not a ReadModel", fix="subclass deedlog.ReadModel")
        try:
            hints = typing.get_type_hints(cls, localns={cls.__name__: cls})
        except NameError as error:
            raise InvalidDeclaration(self.place, f"{self.name}: {error}", fix="annotate with module-level names") from error
        self.columns = {name: _column(name, hints[name], cls) for name in cls.__struct_fields__}
        self._check()
        self.forms = [(c.name, form) for c in self.columns.values() if (form := _form(c)) is not None]
        self.defaults = len(cls.__struct_fields__) - len(cls.__struct_defaults__)

    @cached_property
    def place(self) -> str:
        """`file:line` of the class."""
        return place_of(self.cls)

    def _check(self) -> None:
        if not NAME.fullmatch(self.table) or self.table.startswith(("deedlog_", "sqlite_")):
            raise InvalidDeclaration(self.place, f"'{self.table}' can't be a table", fix="small letters, digits, underscores")
        for name in self.columns:
            if name.startswith("_"):
                raise InvalidDeclaration(self.place, f"{self.name}.{name}: names with _ are deedlog's", fix="rename the field")
        for name in (self.key, *(name for index in self.indexes for name in index), *self.search):
            if name not in self.columns:
                known = ", ".join(self.columns)
                raise InvalidDeclaration(self.place, f"{self.name} has no field '{name}'", fix=f"its fields: {known}")
        for name in (name for index in self.indexes for name in index):
            if self.columns[name].kind in ("decimal", "json"):
                raise InvalidDeclaration(
                    self.place,
                    f"{self.name}.{name} is stored as {self.columns[name].kind} and can't be indexed",
                    fix="drop it from indexes; finding and sorting by a decimal works without",
                )
        if self.columns[self.key].kind not in KEY_KINDS or self.columns[self.key].optional:
            raise InvalidDeclaration(
                self.place,
                f"the key '{self.key}' of {self.name} is not text, int, UUID, date or enum",
                fix="choose another",
            )
        for name in self.search:
            if self.columns[name].kind != "text":
                raise InvalidDeclaration(self.place, f"{self.name}.{name} is not text, so it can't be searched")

    def held(self, row: Any | None) -> tuple[Any, ...]:
        """What `settle` compares with: the values that a row could share with others."""
        return tuple(getattr(row, name, None) for name, _ in self.forms)

    def settle(self, row: Any, held: tuple[Any, ...]) -> None:
        """Gives a row such values of its own, as a store gives them back, where they are not those it held before.

        So it makes no difference whether a row was stored and loaded between two events, or not (P6).
        Raises msgspec.ValidationError for a value that would not come back.
        """
        for (name, form), before in zip(self.forms, held, strict=True):
            value = getattr(row, name)
            if value is not None and value is not before:
                setattr(row, name, form(value))

    def key_of(self, row: Any) -> Key:
        return getattr(row, self.key)

    def key_from(self, text: str) -> Key:
        """A key that somebody wrote as text. Raises Misuse when it is none of this model's."""
        try:
            return msgspec.convert(text, self.columns[self.key].type, strict=False)
        except msgspec.ValidationError as error:
            raise Misuse(f"'{text}' is no key of {self.name}: {error}", fix=f"a {self.columns[self.key].kind}") from error

    @cached_property
    def fits(self) -> Callable[[Any], bool]:
        """Whether a row's values are just those that its columns want; where not, `check` says whether they will do."""
        names: dict[str, Any] = {}
        tests = [_test(column, names) for column in self.columns.values() if column.kind != "json"]
        return eval(f"lambda row: {' and '.join(tests) or True}", names)  # type: ignore[no-any-return]  # of checked names

    def check(self, row: Any) -> None:
        """Brings aware times to UTC, as a store gives them back.

        Raises Misuse for a row that no store could keep: a value of another type, a number over 64 bits, half a surrogate.
        """
        for column in self.columns.values():
            value = getattr(row, column.name, None)
            if column.kind == "datetime" and isinstance(value, dt.datetime):
                setattr(row, column.name, _in_utc(value))
            if column.kind == "json":
                continue  # `settle` has brought it there and back
            if value is None:
                if not column.optional:
                    raise Misuse(f"{self.name}.{column.name} is None", fix="annotate it as optional, or give it a value")
            elif not is_of(column, value):
                raise Misuse(f"{self.name}.{column.name} is {value!r}, not a {column.kind}", fix="give each field its type")
            else:
                _check_value(f"{self.name}.{column.name}", value.value if column.kind == "enum" else value)

    def column(self, name: str) -> Column:
        """The column of that name. Raises Misuse with the names there are."""
        found = self.columns.get(name)
        if found is None:
            raise Misuse(f"{self.name} has no field '{name}'", fix=f"its fields: {', '.join(self.columns)}")
        return found

    def shape(self) -> list[Any]:
        """What a row of this table is: two models of one shape can read each other's rows."""
        return [self.table, self.key, [[c.name, c.kind, c.optional, _shape(c)] for c in self.columns.values()], self.search]

    def definition(self) -> list[Any]:
        """What, when it changes, needs the table to be built anew."""
        return [*self.shape(), self.indexes]


def _shape(column: Column) -> str:
    """What else tells two columns of one kind apart."""
    if column.kind == "enum":
        return str([member.value for member in column.type])
    return msgspec.json.encode(msgspec.json.schema(column.type), order="deterministic").decode() if column.kind == "json" else ""


def _test(column: Column, names: dict[str, Any]) -> str:
    """Source of a quick test of one column; the classes that it compares with go into `names`."""
    value = f"row.{column.name}"
    names[f"of_{column.name}"] = column.type
    test = f"type({value}) is of_{column.name}"
    if column.kind == "int":
        test += f" and {INT_MIN} <= {value} <= {INT_MAX}"
    if column.kind == "datetime":
        names["utc"] = dt.UTC
        test += f" and ({value}.tzinfo is utc or {value}.tzinfo is None)"
    return f"({value} is None or {test})" if column.optional else test


def is_of(column: Column, value: Any) -> bool:
    """Whether a column can hold a value, as far as its type says."""
    if column.kind == "float":
        return isinstance(value, int | float)
    if column.kind == "date" and isinstance(value, dt.datetime):
        return False
    return isinstance(value, column.type)


def _check_value(what: str, value: Any) -> None:
    if isinstance(value, int) and not INT_MIN <= value <= INT_MAX:
        raise Misuse(f"{what}: {value} does not fit into 64 bits")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Misuse(f"{what}: text with half a surrogate pair") from error


def _form(column: Column) -> Callable[[Any], Any] | None:
    if column.kind == "json":
        decode = msgspec.json.Decoder(column.type).decode
        return lambda value: decode(msgspec.json.encode(value))
    return None


def _in_utc(value: dt.datetime) -> dt.datetime:
    return value if value.tzinfo is None or value.tzinfo is dt.UTC else value.astimezone(dt.UTC)


def _column(name: str, annotation: Any, cls: type[Any]) -> Column:
    inner, optional = annotation, False
    if get_origin(annotation) in (Union, type(int | None)):
        args = [arg for arg in get_args(annotation) if arg is not type(None)]
        optional = len(args) < len(get_args(annotation))
        inner = args[0] if len(args) == 1 else annotation
    kind: ColumnKind = "json"
    if isinstance(inner, type):
        kind = "enum" if issubclass(inner, enum.Enum) else _KINDS.get(inner, "json")
    if kind == "json":
        try:
            msgspec.json.schema(inner)
        except TypeError as error:
            raise InvalidDeclaration(
                place_of(cls), f"field '{name}' can't be stored: {error}", fix="use plain data types"
            ) from error
    return Column(name, inner, kind, optional)
