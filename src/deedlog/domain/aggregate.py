"""Aggregates as classes: `@decide` methods turn a command into events, `@evolve` methods change state by an event.

Deciding never mutates: it returns events. State moves only in evolve methods, so that it can be folded again from the log.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from types import FunctionType
from typing import Any, TypeVar

import msgspec

from deedlog.domain.deciding import Deciding
from deedlog.domain.signature import Signature, refuse_unannotated
from deedlog.domain.snapshots import Snapshots, StateForm
from deedlog.errors import InvalidDeclaration, Misuse
from deedlog.messages.base import place_of
from deedlog.types import Version

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


class AggregateType(Deciding):
    """An aggregate class, read once. Raises InvalidDeclaration."""

    def __init__(self, cls: type[Any], *, key: str, category: str | None, snapshots: Snapshots | None = None) -> None:
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        super().__init__(cls.__name__, key=key, category=category or snake)
        self.cls = cls
        if not issubclass(cls, Aggregate):
            raise InvalidDeclaration(self.place, f"{cls.__name__} is not an Aggregate", fix="subclass deedlog.Aggregate")
        self._check_category()
        refuse_unannotated(cls)
        self._check_initial()
        emitted = [pair for function in _marked(cls) for pair in self._add(function)]
        if not self.decides:
            raise InvalidDeclaration(self.place, f"{cls.__name__} decides no command", fix="mark a method with @decide")
        self._check_emitted(emitted, "@evolve method")
        if snapshots is not None:
            self.form = StateForm(self.name, self.place, cls, _folding(cls), snapshots)

    @cached_property
    def place(self) -> str:
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
        message = signature.only_message()
        if getattr(function, _MARK) == "decide":
            yield from self._take_decide(signature, message)
        else:
            self._take(self.evolves, signature, message)

    def initial(self) -> Any:
        return self.cls()

    def decide(self, state: Any, command: Any) -> list[Any]:
        return self._events(command, self.decides[type(command)](state, command))

    def evolve(self, state: Any, event: Any) -> Any:
        """Moves `state` by one event, in place, and gives it back."""
        method = self.evolves.get(type(event))
        if method is None:
            raise Misuse(
                f"{self.cls.__name__} has no @evolve method for {type(event).__name__}",
                fix="the stream has such an event: add one",
            )
        method(state, event)
        state._version += 1
        return state


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


def _folding(cls: type[Any]) -> list[Callable[..., Any]]:
    """The evolve methods and every other function of the class that they may call, in the order of their names."""
    found: dict[str, Callable[..., Any]] = {}
    for base in reversed(cls.__mro__[: cls.__mro__.index(Aggregate)]):
        for name, value in vars(base).items():
            function = getattr(value, "fget", None) or getattr(value, "__func__", value)
            if isinstance(function, FunctionType) and getattr(function, _MARK, "") != "decide":
                found[name] = function
    return [found[name] for name in sorted(found)]
