"""An app's declarations, read and checked together: the registry, the aggregates, the folds, the handlers."""

from collections.abc import Iterable, Mapping
from typing import Any

from deedlog.commands.bus import CommandHandler
from deedlog.domain.aggregate import AggregateType
from deedlog.errors import InvalidDeclaration
from deedlog.messages.base import place_of
from deedlog.messages.registry import Registry
from deedlog.module import Module
from deedlog.projections.keyed import KeyedFold, keyed_fold
from deedlog.projections.projection import Projection, group
from deedlog.queries.bus import QueryHandler


class Definition:
    """Raises InvalidDeclaration, with file and line, for declarations that can't work."""

    def __init__(self, module: Module, services: Mapping[Any, Any]) -> None:
        modules = module.all_modules()
        self.registry = Registry()
        self.aggregates = [AggregateType(d.cls, key=d.key, category=d.category) for m in modules for d in m.aggregates]
        keys = {d.cls: d.key for m in modules for d in m.read_models}
        self.folds: list[KeyedFold] = [
            keyed_fold(d.cls, keys, key=d.key, table=d.table, indexes=d.indexes, search=d.search)
            for m in modules
            for d in m.read_models
        ]
        self.command_handlers = [CommandHandler(function) for m in modules for function in m.command_handlers]
        self.query_handlers = [QueryHandler(d.function, d.reads) for m in modules for d in m.queries]
        self.middlewares = [middleware for m in modules for middleware in m.middlewares]
        _refuse_twice([(a.category, a.cls) for a in self.aggregates], "the category of two aggregates")
        _refuse_twice([(f.model.table, f.model.cls) for f in self.folds], "the table of two read models")
        for m in modules:
            for kind, cls in m.messages:
                self.registry.add(kind, cls)
        self._register()
        self.projections: list[Projection] = group(self.folds)
        for projection in self.projections:
            projection.bind(self.registry)
        self._refuse_second_answers()
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
            for command in aggregate.decides:
                self.registry.add("command", command, aggregate.cls)
            for event in aggregate.evolves:
                self.registry.add("event", event, aggregate.cls)
        for handler in self.command_handlers:
            self.registry.add("command", handler.command, handler.function)
        for query in self.query_handlers:
            self.registry.add("query", query.query, query.function)
        for fold in self.folds:
            for on in fold.handlers:
                for event in on.events:
                    self.registry.add("event", event, on.function)


def _refuse_twice(named: Iterable[tuple[str, type[Any]]], what: str) -> None:
    seen: dict[str, type[Any]] = {}
    for name, cls in named:
        if name in seen:
            first = place_of(seen[name])
            raise InvalidDeclaration(place_of(cls), f"'{name}' is {what}, also at {first}", fix="name one of them otherwise")
        seen[name] = cls
