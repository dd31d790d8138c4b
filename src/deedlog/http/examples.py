"""An example of a message, made from its fields: the same every time, and one that the codec takes."""

from typing import Any

import msgspec
from msgspec import inspect as mi

DEPTH = 8
_PLAIN: dict[type[mi.Type], Any] = {
    mi.AnyType: "anything",
    mi.NoneType: None,
    mi.BoolType: True,
    mi.ByteArrayType: "ZGVlZGxvZw==",
    mi.BytesType: "ZGVlZGxvZw==",
    mi.DateTimeType: "2026-11-24T09:30:00Z",
    mi.DateType: "2026-11-24",
    mi.DecimalType: "19.90",
    mi.MemoryViewType: "ZGVlZGxvZw==",
    mi.TimeDeltaType: "PT30M",
    mi.TimeType: "09:30:00",
    mi.UUIDType: "0198c2a4-5f6e-7a10-8b3c-2d4e6f708192",
}


class NoExample(Exception):
    """Some constraint is beyond guessing; an `examples=[…]` in the field's `msgspec.Meta` helps."""


def example_of(cls: type[Any]) -> Any:
    """JSON-able values for the required fields of a message class. Raises NoExample."""
    made = _example(mi.type_info(cls), "", DEPTH)
    try:
        msgspec.convert(made, cls)
    except msgspec.ValidationError as error:
        raise NoExample(str(error)) from error
    return made


def _example(kind: mi.Type, name: str, depth: int) -> Any:
    if depth == 0:
        raise NoExample("nested too deeply")
    match kind:
        case mi.Metadata(type=inner, extra_json_schema=extra):
            given = (extra or {}).get("examples") or ()
            return msgspec.to_builtins(given[0]) if given else _example(inner, name, depth)
        case mi.UnionType(types=types):
            return _example(next((t for t in types if not isinstance(t, mi.NoneType)), types[0]), name, depth)
        case mi.StructType() | mi.DataclassType() | mi.TypedDictType():
            return _record(kind, depth)
        case mi.NamedTupleType(fields=fields):
            return [_example(field.type, field.encode_name, depth - 1) for field in fields]
        case mi.TupleType(item_types=types):
            return [_example(item, name, depth - 1) for item in types]
        case mi.CollectionType(item_type=item, min_length=least):
            return [_example(item, _singular(name), depth - 1)] * max(1, least or 0)
        case mi.DictType(key_type=key, value_type=value):
            return {str(_example(key, "key", depth - 1)): _example(value, "value", depth - 1)}
        case _:
            return _scalar(kind, name)


def _record(kind: mi.StructType | mi.DataclassType | mi.TypedDictType, depth: int) -> dict[str, Any]:
    made = {f.encode_name: _example(f.type, f.encode_name, depth - 1) for f in kind.fields if f.required}
    tag = getattr(kind, "tag", None)
    return {getattr(kind, "tag_field", None) or "type": tag, **made} if tag is not None else made


def _scalar(kind: mi.Type, name: str) -> Any:
    match kind:
        case mi.StrType(min_length=least, max_length=most):
            return _text(name)[:most].ljust(least or 0, "x")
        case mi.IntType() | mi.FloatType():
            return _number(kind)
        case mi.EnumType(cls=cls):
            return next(iter(cls)).value
        case mi.LiteralType(values=values):
            return values[0]
        case _:
            return _PLAIN.get(type(kind), "text")


def _text(name: str) -> str:
    """`product_id` → `product-1`, `city` → `City`: something to recognise."""
    words = name.replace("_", " ").strip() or "text"
    if words == "id" or words.endswith(" id"):
        return f"{words.removesuffix('id').strip().replace(' ', '-') or 'id'}-1"
    if "mail" in words:
        return "ada@example.org"
    return words.capitalize()


def _number(kind: mi.IntType | mi.FloatType) -> int | float:
    number = int if isinstance(kind, mi.IntType) else float
    least = kind.ge if kind.ge is not None else (kind.gt + 1 if kind.gt is not None else None)
    most = kind.le if kind.le is not None else (kind.lt - 1 if kind.lt is not None else None)
    value = 1 if least is None or least < 1 else least
    if most is not None and value > most:
        value = most
    if kind.multiple_of:
        value = kind.multiple_of * max(1, -(-value // kind.multiple_of))
    return number(value)


def _singular(name: str) -> str:
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name
