"""What a message is: a typed class, its name and its version.

Subclass `Command`, `Event` or `Query` (msgspec structs), or bring plain dataclasses or attrs classes: the codec reads all.
A message is known by a name and a version, never by its Python path (ADR 0004).
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, TypeAlias, TypeVar, dataclass_transform

import msgspec

from deedlog.errors import InvalidDeclaration

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])
Kind: TypeAlias = Literal["command", "event", "query"]


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The common root of commands, events and queries; subclass one of these."""


class Command(Message, frozen=True):
    """A wish: one handler answers it."""


class Event(Message, frozen=True):
    """A fact: something that has happened."""


class Query(Message, Generic[T], frozen=True):
    """A question; `Query[Answer]` types what `ask` returns."""


class Identity(msgspec.Struct, frozen=True):
    """The name and version a message is stored under, and which of its fields are tags."""

    name: str
    version: int = 1
    tags: tuple[str, ...] = ()


def message(name: str | None = None, *, version: int = 1, tags: Sequence[str] = ()) -> Callable[[C], C]:
    """Give a message class its stored name, version and tags.

    `version` counts from 1. Each field named in `tags` is stored beside the event as `field:value`.
    Raises InvalidDeclaration for a name that is empty or not printable, or a version below 1.
    """

    def mark(cls: C) -> C:
        identity = Identity(name if name is not None else cls.__name__, version, tuple(tags))
        if not identity.name.isprintable() or not identity.name.strip() or len(identity.name) > 100:
            raise InvalidDeclaration(place_of(cls), f"{identity.name!r} can't be a message name", fix="1 to 100 letters")
        if version < 1:
            raise InvalidDeclaration(place_of(cls), f"version {version} of {identity.name}", fix="versions start at 1")
        cls.__deedlog__ = identity
        return cls

    return mark


def identity_of(cls: type[Any]) -> Identity:
    """The explicit identity of a class, or the one derived from its name; never inherited."""
    own = vars(cls).get("__deedlog__")
    return own if isinstance(own, Identity) else Identity(cls.__name__)


def is_message_class(cls: object) -> bool:
    """Whether the codec can carry it: a msgspec struct, a dataclass or an attrs class."""
    return isinstance(cls, type) and (
        issubclass(cls, msgspec.Struct) or hasattr(cls, "__dataclass_fields__") or hasattr(cls, "__attrs_attrs__")
    )


def place_of(thing: Any) -> str:
    """`file:line` of a class or function, as far as Python knows it. Slow for a class: asked only for an error's sake."""
    thing = inspect.unwrap(getattr(thing, "__func__", thing))
    code = getattr(thing, "__code__", None)
    if code is not None:
        return f"{code.co_filename}:{code.co_firstlineno}"
    try:
        return f"{inspect.getsourcefile(thing)}:{inspect.getsourcelines(thing)[1]}"
    except (OSError, TypeError):
        return f"{getattr(thing, '__module__', '?')}.{getattr(thing, '__qualname__', thing)}"
