"""Fields that a message does not have, in JSON from outside.

msgspec refuses them for structs that forbid them, and drops them silently for dataclasses, attrs classes and other structs. A
misspelt optional field must not vanish (P10), so those classes get a second look at the raw JSON.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec import inspect as mi

Look: TypeAlias = Callable[[Any], str | None]
"""From raw JSON values to the path of a field that is too much, or None."""


def compile_extras(cls: type[Any]) -> Look | None:
    """The second look for a class; None where msgspec refuses extra fields everywhere in it."""
    return _Compiler().look_at(mi.type_info(cls))


def _fields(known: dict[str, Look | None], lenient: bool) -> Look:
    inner = {name: look for name, look in known.items() if look is not None}

    def fields(value: Any) -> str | None:
        if not isinstance(value, dict):
            return None
        if lenient:
            for name in value:
                if name not in known:
                    return f".{name}"
        for name, look in inner.items():
            if name in value and (found := look(value[name])) is not None:
                return f".{name}{found}"
        return None

    return fields


def _items(look: Look) -> Look:
    def items(values: Any) -> str | None:
        for index, value in enumerate(values if isinstance(values, list) else ()):
            if (found := look(value)) is not None:
                return f"[{index}]{found}"
        return None

    return items


def _mapping(look: Look) -> Look:
    def mapping(values: Any) -> str | None:
        for key, value in (values if isinstance(values, dict) else {}).items():
            if (found := look(value)) is not None:
                return f"[{key!r}]{found}"
        return None

    return mapping


class _Compiler:
    def __init__(self) -> None:
        self.known: dict[type[Any], list[Look]] = {}

    def look_at(self, kind: mi.Type) -> Look | None:
        match kind:
            case mi.Metadata(type=inner):
                return self.look_at(inner)
            case mi.UnionType(types=types):
                looks = [look for one in types if (look := self.look_at(one)) is not None]
                return looks[0] if len(looks) == 1 else None
            case mi.CollectionType(item_type=item):
                look = self.look_at(item)
                return look and _items(look)
            case mi.DictType(value_type=value):
                look = self.look_at(value)
                return look and _mapping(look)
            case mi.StructType(cls=cls, fields=fields, forbid_unknown_fields=forbids):
                return self.record(cls, fields, lenient=not forbids)
            case mi.DataclassType(cls=cls, fields=fields):
                return self.record(cls, fields, lenient=True)
            case _:
                return None

    def record(self, cls: type[Any], fields: tuple[mi.Field, ...], *, lenient: bool) -> Look | None:
        if cls in self.known:  # a class that contains itself: bound when the outer call is done
            later = self.known[cls]
            return lambda value: later[0](value) if later else None
        self.known[cls] = []
        looks = {field.encode_name: self.look_at(field.type) for field in fields}
        tag = getattr(getattr(cls, "__struct_config__", None), "tag_field", None)
        if tag is not None:
            looks[tag] = None
        if not lenient and not any(looks.values()):
            return None
        self.known[cls].append(_fields(looks, lenient))
        return self.known[cls][0]
