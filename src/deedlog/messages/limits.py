"""Values that JSON or a database can't carry: NaN, infinities, integers beyond 64 bits, halves of surrogate pairs.

The check of a message class is compiled once from its fields, so that a message without such types costs nothing.
"""

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec
from msgspec import inspect as mi

Problem: TypeAlias = tuple[str, str]
Check: TypeAlias = Callable[[Any], Problem | None]

INT_MIN, INT_MAX = -(2**63), 2**63 - 1


def compile_check(cls: type[Any]) -> Check | None:
    """A function from a message to (path, problem) or None; None where no field needs one."""
    return _Compiler().check_of(mi.type_info(cls))


def _float(value: Any) -> Problem | None:
    return None if math.isfinite(value) else ("", f"{value} is not a finite number")


def _decimal(value: Any) -> Problem | None:
    return None if value.is_finite() else ("", f"{value} is not a finite number")


def _int(value: Any) -> Problem | None:
    return None if INT_MIN <= value <= INT_MAX else ("", "the integer does not fit into 64 bits")


def _anything(value: Any) -> Problem | None:
    """For fields typed `Any`, `object` or as a union: by the value, not by the type."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, int):
        return _int(value)
    if isinstance(value, dict):
        return _mapping(_anything)(value)
    if isinstance(value, list | tuple | set | frozenset):
        return _items(_anything)(value)
    if isinstance(value, msgspec.Struct):
        return _fields([(name, name, _anything) for name in value.__struct_fields__])(value)
    names = [*getattr(value, "__dataclass_fields__", ()), *(a.name for a in getattr(value, "__attrs_attrs__", ()))]
    return _fields([(name, name, _anything) for name in names])(value)


def _items(check: Check) -> Check:
    def items(values: Any) -> Problem | None:
        for index, value in enumerate(values):
            if (found := check(value)) is not None:
                return f"[{index}]{found[0]}", found[1]
        return None

    return items


def _mapping(check: Check) -> Check:
    def mapping(values: Any) -> Problem | None:
        for key, value in values.items():
            if (found := check(value)) is not None:
                return f"[{key!r}]{found[0]}", found[1]
        return None

    return mapping


def _fields(fields: list[tuple[str, str, Check]]) -> Check:
    """Looks at integers and decimals first without a call for each: nearly all are right, and then there is nothing to say."""
    integers = tuple(name for name, _, check in fields if check is _int)
    decimals = tuple(name for name, _, check in fields if check is _decimal)
    rest = [field for field in fields if field[2] not in (_int, _decimal)]

    def struct(value: Any) -> Problem | None:
        for name in integers:
            if not INT_MIN <= getattr(value, name) <= INT_MAX:
                return in_order(value, fields)
        for name in decimals:
            if not getattr(value, name).is_finite():
                return in_order(value, fields)
        return in_order(value, rest) if rest else None

    def in_order(value: Any, fields: list[tuple[str, str, Check]]) -> Problem | None:
        for name, shown, check in fields:
            if (found := check(getattr(value, name))) is not None:
                return f".{shown}{found[0]}", found[1]
        return None

    return struct


class _Compiler:
    def __init__(self) -> None:
        self.known: dict[type[Any], list[Check]] = {}

    def check_of(self, kind: mi.Type) -> Check | None:
        match kind:
            case mi.FloatType():
                return _float
            case mi.DecimalType():
                return _decimal
            case mi.IntType():
                return _int
            case mi.AnyType():
                return _anything
            case mi.Metadata(type=inner):
                return self.check_of(inner)
            case mi.UnionType(types=types):
                return self.union(types)
            case mi.CollectionType(item_type=item):
                inner_check = self.check_of(item)
                return inner_check and _items(inner_check)
            case mi.TupleType():
                return _items(_anything)
            case mi.DictType(value_type=value):
                inner_check = self.check_of(value)
                return inner_check and _mapping(inner_check)
            case mi.StructType(cls=cls, fields=fields) | mi.DataclassType(cls=cls, fields=fields):
                return self.record(cls, fields)
            case _:
                return None

    def union(self, types: tuple[mi.Type, ...]) -> Check | None:
        present = [kind for kind in types if not isinstance(kind, mi.NoneType)]
        if len(present) != 1:
            return _anything
        inner = self.check_of(present[0])
        if inner is None:
            return None
        return lambda value: None if value is None else inner(value)

    def record(self, cls: type[Any], fields: tuple[mi.Field, ...]) -> Check | None:
        if cls in self.known:  # a class that contains itself: bound when the outer call is done
            later = self.known[cls]
            return lambda value: later[0](value) if later else None
        self.known[cls] = []
        checks = [(f.name, f.encode_name, check) for f in fields if (check := self.check_of(f.type)) is not None]
        if not checks:
            return None
        self.known[cls].append(_fields(checks))
        return self.known[cls][0]


def surrogate_path(value: Any, path: str = "") -> Iterator[str]:
    """Paths of texts that UTF-8 can't carry; slow, asked only after an encode has failed."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from surrogate_path(key, f"{path}.{key!r}")
            yield from surrogate_path(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple | set | frozenset):
        for index, inner in enumerate(value):
            yield from surrogate_path(inner, f"{path}[{index}]")
