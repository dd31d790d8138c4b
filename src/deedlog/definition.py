"""An app's declarations, read and checked together: the registry, the aggregates, the folds, the handlers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deedlog.commands.handlers import CommandHandler
from deedlog.domain.aggregate import AggregateType
from deedlog.domain.decider import DeciderType
from deedlog.domain.deciding import Deciding
from deedlog.errors import InvalidDeclaration
from deedlog.messages.base import place_of
from deedlog.messages.registry import Registry
from deedlog.module import Module
from deedlog.projections.free import FreeProjection
from deedlog.projections.keyed import KeyedFold, keyed_fold
from deedlog.projections.projection import Projection, group
from deedlog.queries.handler import QueryHandler
from deedlog.reads.model import RowType


class Definition:
    """Raises InvalidDeclaration, with file and line, for declarations that can't work."""

    def __init__(self, module: Module, services: Mapping[Any, Any]) -> None:
        modules = module.all_modules()
        self.registry = Registry()
        self.aggregates = _deciding(modules)
        keys = {d.cls: d.key for m in modules for d in m.read_models}
        self.folds: list[KeyedFold] = [
            keyed_fold(d.cls, keys, key=d.key, table=d.table, indexes=d.indexes, search=d.search, version=d.version, mode=d.mode)
            for m in modules
            for d in m.read_models
        ]
        self.free = [
            FreeProjection(d.function, name=d.name, key=d.key, setup=d.setup, reset=d.reset)
            for m in modules
            for d in m.projections
        ]
        self.command_handlers = [CommandHandler(function) for m in modules for function in m.command_handlers]
        self.query_handlers = [QueryHandler(d.function, d.reads) for m in modules for d in m.queries]
        self.middlewares = [middleware for m in modules for middleware in m.middlewares]
        _refuse_twice([(a.category, a) for a in self.aggregates], "the category of two aggregates")
        _refuse_twice([(f.model.table, f.model) for f in self.folds], "the table of two read models")
        _refuse_twice([(f.name, f) for f in self.free], "the name of two projections")
        for m in modules:
            for kind, cls in m.messages:
                self.registry.add(kind, cls)
        self._register()
        self.projections: list[Projection] = [*group(self.folds), *self.free]
        for projection in self.projections:
            projection.bind(self.registry)
        self._refuse_second_answers()
        for free in self.free:
            free.provide(services)
        for handler in self.command_handlers:
            handler.bind(services)
        for query in self.query_handlers:
            query.bind(services, self.projections)

    def _refuse_second_answers(self) -> None:
        """One function answers each command, one each query."""
        deciding = [(command, place_of(method)) for a in self.aggregates for command, method in a.decides.items()]
        handling = [(handler.command, handler.signature.place) for handler in self.command_handlers]
        asking = [(handler.query, handler.signature.place) for handler in self.query_handlers]
        seen: dict[type[Any], str] = {}
        for message, place in (*deciding, *handling, *asking):
            if message in seen:
                raise InvalidDeclaration(
                    place, f"{message.__name__} is already answered at {seen[message]}", fix="let one of them answer it"
                )
            seen[message] = place

    def _register(self) -> None:
        for aggregate in self.aggregates:
            for command, function in aggregate.decides.items():
                self.registry.add("command", command, function)
            for event, function in aggregate.evolves.items():
                self.registry.add("event", event, function)
        for handler in self.command_handlers:
            self.registry.add("command", handler.command, handler.function)
        for query in self.query_handlers:
            self.registry.add("query", query.query, query.function)
        for fold in self.folds:
            for on in fold.handlers:
                for event in on.events:
                    self.registry.add("event", event, on.function)
        for free in self.free:
            for event in free.handlers:
                self.registry.add("event", event, free.function)


def _deciding(modules: Sequence[Module]) -> list[Deciding]:
    classes = [AggregateType(d.cls, key=d.key, category=d.category, snapshots=d.snapshots) for m in modules for d in m.aggregates]
    functions = [
        DeciderType(d.name, key=d.key, initial=d.initial, decide=d.decide, evolve=d.evolve, snapshots=d.snapshots)
        for m in modules
        for d in m.deciders
    ]
    return [*classes, *functions]


def _refuse_twice(named: Iterable[tuple[str, Deciding | RowType | FreeProjection]], what: str) -> None:
    """Raises InvalidDeclaration for a name that two have. Their places are slow to find: asked only then."""
    seen: dict[str, Deciding | RowType | FreeProjection] = {}
    for name, thing in named:
        if name in seen:
            first = seen[name].place
            raise InvalidDeclaration(thing.place, f"'{name}' is {what}, also at {first}", fix="name one of them otherwise")
        seen[name] = thing
