"""Declarations: what a part of a service consists of. Modules compose in an app; the app is one itself."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

import msgspec

from deedlog.commands.context import Middleware
from deedlog.domain.decider import Functions
from deedlog.domain.snapshots import Snapshots
from deedlog.messages.base import Kind
from deedlog.projections.declare import KeySpec
from deedlog.projections.keyed import Mode
from deedlog.reads.model import Index

C = TypeVar("C", bound=type[Any])
F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S")


class AggregateDeclaration(msgspec.Struct, frozen=True):
    cls: type[Any]
    key: str
    category: str | None
    snapshots: Snapshots | None


class DeciderDeclaration(msgspec.Struct, frozen=True):
    name: str
    key: str
    initial: Callable[[], Any]
    decide: Functions
    evolve: Functions
    snapshots: Snapshots | None


class ReadModelDeclaration(msgspec.Struct, frozen=True):
    cls: type[Any]
    key: str
    table: str | None
    indexes: tuple[Index, ...]
    search: tuple[str, ...]
    version: int
    mode: Mode


class ProjectionDeclaration(msgspec.Struct, frozen=True):
    function: Callable[..., Any]
    name: str | None
    key: KeySpec | None
    setup: tuple[str, ...]
    reset: tuple[str, ...]


class QueryDeclaration(msgspec.Struct, frozen=True):
    function: Callable[..., Any]
    reads: tuple[Any, ...]


class Module:
    """Collects declarations; nothing is checked before an app is built from them."""

    def __init__(self) -> None:
        self.aggregates: list[AggregateDeclaration] = []
        self.deciders: list[DeciderDeclaration] = []
        self.read_models: list[ReadModelDeclaration] = []
        self.projections: list[ProjectionDeclaration] = []
        self.queries: list[QueryDeclaration] = []
        self.command_handlers: list[Callable[..., Any]] = []
        self.middlewares: list[Middleware] = []
        self.messages: list[tuple[Kind, type[Any]]] = []
        self.modules: list[Module] = []

    def include(self, *modules: "Module") -> None:
        """Takes the declarations of other modules, also those they get later. Twice is once."""
        self.modules.extend(module for module in modules if module not in self.modules)

    def aggregate(self, *, key: str, category: str | None = None, snapshots: Snapshots | None = None) -> Callable[[C], C]:
        """Declares an aggregate class.

        `key` is the field of its commands that names the instance; `category` the first part of its streams' names, by
        default the class name in snake case. `snapshots` says when its state is saved, so that long streams load fast.
        """

        def declare(cls: C) -> C:
            self.aggregates.append(AggregateDeclaration(cls, key, category, snapshots))
            return cls

        return declare

    def decider(
        self,
        name: str,
        *,
        key: str,
        initial: Callable[[], S],
        decide: Callable[[Any, S], Any] | Sequence[Callable[[Any, S], Any]],
        evolve: Callable[[S, Any], S] | Sequence[Callable[[S, Any], S]],
        snapshots: Snapshots | None = None,
    ) -> None:
        """Declares an aggregate as plain functions. `name` is the first part of its streams' names.

        `initial()` is the state before any event, of any class; `decide(command, state)` returns an event, several, or None, or
        raises Refused; `evolve(state, event)` returns the next state. Each annotated with the messages that it takes
        (`Open | Deposit`); a list of functions splits them. `key` and `snapshots` as for `aggregate`.
        """
        self.deciders.append(DeciderDeclaration(name, key, initial, decide, evolve, snapshots))

    def read_model(
        self,
        *,
        key: str,
        table: str | None = None,
        indexes: Sequence[Index] = (),
        search: Sequence[str] = (),
        mode: Mode = "async",
        version: int = 1,
    ) -> Callable[[C], C]:
        """Declares a read model class.

        `key` is the field that names a row. `indexes` lists columns, or groups of columns, for finding and sorting.
        `search` lists text fields for `Reader.search`. `table` is by default the class name in snake case.
        `mode`: "async" is folded beside the commands, "inline" in the commit of each append, "live" in memory, when it is read.
        Raise `version` when something has changed that its methods only call: then it is built anew.
        """

        def declare(cls: C) -> C:
            self.read_models.append(ReadModelDeclaration(cls, key, table, tuple(indexes), tuple(search), version, mode))
            return cls

        return declare

    def command_handler(self, function: F) -> F:
        """Declares a function, plain or async, that answers the command of its first parameter.

        Further parameters are services, found by their class. It returns None, an `Append`, or several.
        """
        self.command_handlers.append(function)
        return function

    @overload
    def query(self, function: F, /) -> F: ...
    @overload
    def query(self, function: None = None, /, *, reads: Sequence[Any]) -> Callable[[F], F]: ...
    def query(self, function: Any = None, /, *, reads: Sequence[Any] = ()) -> Any:
        """Declares a function that answers the query of its first parameter.

        Further parameters are `Reader[Model]`, `Sql`, or services. `reads` names what its SQL reads: read models, and functions
        declared as projections.
        """

        def declare(function: F) -> F:
            self.queries.append(QueryDeclaration(function, tuple(reads)))
            return function

        return declare(function) if function is not None else declare

    def projection(
        self,
        *,
        name: str | None = None,
        key: KeySpec | None = None,
        setup: Sequence[str] = (),
        reset: Sequence[str] = (),
    ) -> Callable[[F], F]:
        """Declares a function that is called for each event of its first parameter's classes: a free-form projection.

        A plain one may ask for `SqlWriter`: what it writes is in the commit of its checkpoint, each event once. An async one
        is for side effects: at least once, in order. Both may ask for `RecordedEvent` and services. `key` (a field, or a
        function of the event) is what a bad event parks, by default its stream. `setup` makes its tables where they are
        missing, `reset` empties them for a rebuild; each is a list of statements. `name` is by default the function's.
        """

        def declare(function: F) -> F:
            self.projections.append(ProjectionDeclaration(function, name, key, tuple(setup), tuple(reset)))
            return function

        return declare

    def middleware(self, function: F) -> F:
        """Declares `async def (context, proceed) -> Receipt` around every command; the first declared is outermost."""
        self.middlewares.append(function)
        return function

    def event(self, cls: C) -> C:
        """Declares an event that no aggregate or read model of the app mentions."""
        self.messages.append(("event", cls))
        return cls

    def all_modules(self) -> list["Module"]:
        """This module and all it includes, each once, this one first."""
        found: list[Module] = []
        waiting = [self]
        while waiting:
            module = waiting.pop(0)
            if module not in found:
                found.append(module)
                waiting.extend(module.modules)
        return found
