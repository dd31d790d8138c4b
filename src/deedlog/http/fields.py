"""A query string as the fields of a message: which fields are lists, and which messages fit into a query string at all."""

from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from msgspec import inspect as mi

from deedlog.errors import InvalidMessage
from deedlog.http.problems import Rejected
from deedlog.messages.registry import MessageType

_NESTED = (mi.StructType, mi.DataclassType, mi.TypedDictType, mi.NamedTupleType, mi.DictType)


def fields_of(kind: MessageType, query_string: bytes) -> dict[str, Any]:
    """Texts by field, lists for fields that hold several. Raises Rejected (400), InvalidMessage for a value given twice."""
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise Rejected(400, "bad_query_string", "the query string is not UTF-8", path="$", fix="send UTF-8, escaped") from error
    several = several_of(kind)
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in several:
            fields.setdefault(name, []).append(value)
        elif name in fields:
            raise InvalidMessage(kind.name, name, "given more than once", fix="send one value")
        else:
            fields[name] = value
    return fields


@lru_cache(maxsize=1024)
def several_of(kind: MessageType) -> frozenset[str]:
    """The fields of a message class that hold several values."""
    return frozenset(field.encode_name for field in message_fields(kind.cls) if any(map(_is_several, _variants(field.type))))


@lru_cache(maxsize=1024)
def fits_query_string(kind: MessageType) -> bool:
    """Whether each field is a text, a number or the like, or a list of such."""
    return all(_is_flat(variant) for field in message_fields(kind.cls) for variant in _variants(field.type))


def message_fields(cls: type[Any]) -> tuple[mi.Field, ...]:
    """The fields of a struct, a dataclass or an attrs class."""
    info = mi.type_info(cls)
    assert isinstance(info, mi.StructType | mi.DataclassType)  # the registry takes no others
    return info.fields


def _variants(kind: mi.Type) -> tuple[mi.Type, ...]:
    match kind:
        case mi.Metadata(type=inner):
            return _variants(inner)
        case mi.UnionType(types=types):
            return tuple(variant for inner in types for variant in _variants(inner))
        case _:
            return (kind,)


def _is_several(kind: mi.Type) -> bool:
    return isinstance(kind, mi.CollectionType | mi.TupleType)


def _is_flat(kind: mi.Type) -> bool:
    if isinstance(kind, mi.CollectionType):
        return all(not isinstance(inner, _NESTED) and not _is_several(inner) for inner in _variants(kind.item_type))
    if isinstance(kind, mi.TupleType):
        return all(not isinstance(v, _NESTED) and not _is_several(v) for inner in kind.item_types for v in _variants(inner))
    return not isinstance(kind, _NESTED)
