"""Aggregates as classes: `@decide` methods turn a command into events, `@evolve` methods change state by an event.

Deciding never mutates: it returns events. State moves only in evolve methods, so that it can be folded again from the log.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from deedlog.domain.signature import Signature, classes_in, refuse_unannotated
from deedlog.errors import InvalidDeclaration, InvalidMessage, Misuse
from deedlog.messages.base import Event, place_of
from deedlog.messages.streams import check_stream
from deedlog.types import StreamName, Version

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__deedlog_role__"


class Aggregate(msgspec.Struct, kw_only=True):
    """Subclass it; give every field a default: that is the state before the first event."""

    _version: Version = 0

    @property
    def exists(self) -> bool:
        """Whether the stream has an event."""
        return self._version > 0

    @property
    def version(self) -> Version:
        """How many events this state has seen."""
        return self._version


def decide(function: F) -> F:
    """Marks the method that answers a command: it returns an event, several, or None; or raises Refused."""
    setattr(function, _MARK, "decide")
    return function


def evolve(function: F) -> F:
    """Marks the method that changes the state by an event. `event: A | B` takes both."""
    setattr(function, _MARK, "evolve")
    return function


class AggregateType:
    """An aggregate class, read once: who decides which command, what evolves by which event."""

    def __init__(self, cls: type[Any], *, key: str, category: str | None) -> None:
        self.cls = cls
        self.key = key
        self.category = category or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        self.decides: dict[type[Any], Callable[[Any, Any], Any]] = {}
        self.evolves: dict[type[Any], Callable[[Any, Any], None]] = {}
        if not issubclass(cls, Aggregate):
            raise InvalidDeclaration(self.place, f"{cls.__name__} is not an Aggregate", fix="subclass deedlog.Aggregate")
        if "-" in self.category or not self.category.isprintable():
            raise InvalidDeclaration(self.place, f"category '{self.category}' has a hyphen", fix="use underscores")
        refuse_unannotated(cls)
        self._check_initial()
        produced = [pair for function in _marked(cls) for pair in self._add(function)]
        if not self.decides:
            raise InvalidDeclaration(self.place, f"{cls.__name__} decides no command", fix="mark a method with @decide")
        for event, place in produced:
            if event is not Event and event not in self.evolves:
                raise InvalidDeclaration(
                    place,
                    f"{cls.__name__} emits {event.__name__}, but no @evolve method takes it",
                    fix="add one; its body may be empty",
                )

    @cached_property
    def place(self) -> str:
        """`file:line` of the class."""
        return place_of(self.cls)

    def _check_initial(self) -> None:
        try:
            self.cls()
        except TypeError as error:
            raise InvalidDeclaration(
                self.place,
                f"{self.cls.__name__}(): {error}",
                fix="give every field a default: the state before any event",
            ) from error

    def _add(self, function: Callable[..., Any]) -> Iterator[tuple[type[Any], str]]:
        signature = Signature(function, owner=self.cls, method=True)
        messages = list(classes_in(signature.only_message()))
        if not messages:
            raise InvalidDeclaration(signature.place, f"{signature.name} is annotated with no message class")
        role = getattr(function, _MARK)
        known = self.decides if role == "decide" else self.evolves
        for message in messages:
            if message in known:
                other = place_of(known[message])
                raise InvalidDeclaration(signature.place, f"{message.__name__} is already handled at {other}")
            known[message] = function
        if role == "decide":
            for command in messages:
                self._check_key(command, signature.place)
            yield from ((event, signature.place) for event in classes_in(signature.returns))

    def _check_key(self, command: type[Any], place: str) -> None:
        names = getattr(command, "__struct_fields__", None) or getattr(command, "__annotations__", {})
        if self.key not in names:
            raise InvalidDeclaration(
                place,
                f"{command.__name__} has no field '{self.key}', the key of {self.cls.__name__}",
                fix="add the field",
            )

    def stream_of(self, command: Any) -> StreamName:
        """`category-key`. Raises InvalidMessage when the key can't name a stream."""
        key = getattr(command, self.key)
        if key is None:
            raise InvalidMessage(type(command).__name__, self.key, "None names nothing", fix="send the key")
        try:
            return check_stream(f"{self.category}-{key}")
        except InvalidMessage as error:
            raise InvalidMessage(type(command).__name__, self.key, error.problem, fix=error.fix) from None

    def initial(self) -> Any:
        """The state before the first event."""
        return self.cls()

    def decide(self, state: Any, command: Any) -> list[Any]:
        """The events that answer `command` on `state`. Raises what the method raises; Misuse when it returns no events."""
        result = self.decides[type(command)](state, command)
        if result is None:
            return []
        events = list(result) if isinstance(result, list | tuple | Iterator) else [result]
        for event in events:
            if type(event) not in self.evolves:
                raise Misuse(f"deciding {type(command).__name__} gave {event!r}, which {self.cls.__name__} can't evolve by")
        return events

    def evolve(self, state: Any, event: Any) -> None:
        """Moves `state` by one event, in place. Raises Misuse for an event that nothing evolves by."""
        method = self.evolves.get(type(event))
        if method is None:
            raise Misuse(
                f"{self.cls.__name__} has no @evolve method for {type(event).__name__}",
                fix="the stream has such an event: add one",
            )
        method(state, event)
        state._version += 1


def _marked(cls: type[Any]) -> Iterable[Callable[..., Any]]:
    """Marked methods, base classes first; an override replaces what it overrides."""
    found: dict[str, Callable[..., Any]] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if hasattr(value, _MARK):
                found[name] = value
            elif name in found:
                del found[name]
    return found.values()
