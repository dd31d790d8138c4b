"""Projections: read models that move together under one checkpoint, because one looks up rows of another."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from deedlog.errors import InvalidDeclaration
from deedlog.messages.registry import Registry
from deedlog.projections.keyed import Handler, KeyedFold, Mode
from deedlog.reads.model import RowType
from deedlog.reads.values import Projected


class Projection:
    """The folds of one checkpoint, those that are looked up first."""

    def __init__(self, folds: Sequence[KeyedFold]) -> None:
        self.folds = tuple(folds)
        self.name = "+".join(fold.model.name for fold in folds)
        definition, shape = _digest([fold.definition() for fold in folds]), _digest([fold.model.shape() for fold in folds])
        self.projected = Projected(self.name, tuple(fold.model for fold in folds), definition, shape)
        self.mode = _common_mode(folds)
        self.handlers: dict[type[Any], list[Handler]] = {}
        for fold in folds:
            for handler in fold.handlers:
                for event in handler.events:
                    self.handlers.setdefault(event, []).append(handler)
        self.where_columns: dict[str, frozenset[str]] = {
            fold.model.name: frozenset(h.column for h in fold.handlers if h.column is not None) for fold in folds
        }
        self.names: frozenset[str] = frozenset()
        for fold in folds:
            indexed = self.where_columns[fold.model.name] or fold.model.forms
            for handler in fold.handlers:
                handler.plain = not (indexed or handler.lookups or handler.column) and handler.role != "ends"

    def is_called(self, name: str) -> bool:
        """Whether that is its name, or one of its read models'."""
        return name == self.name or name in (fold.model.name for fold in self.folds)

    def bind(self, registry: Registry) -> None:
        """Learns the stored names of its events."""
        self.names = frozenset(registry.of(event).name for event in self.handlers)


def _digest(said: Any) -> str:
    return hashlib.blake2b(msgspec.json.encode(said), digest_size=16).hexdigest()


def _common_mode(folds: Sequence[KeyedFold]) -> Mode:
    for fold in folds:
        if fold.mode != folds[0].mode:
            raise InvalidDeclaration(
                fold.model.place,
                f"{fold.model.name} is {fold.mode} and {folds[0].model.name} {folds[0].mode}, but one looks up the other",
                fix="give both the same mode",
            )
    return folds[0].mode


def group(folds: Iterable[KeyedFold]) -> list[Projection]:
    """One projection for each set of folds that look each other up. Raises InvalidDeclaration for a circle."""
    by_class = {fold.model.cls: fold for fold in folds}
    for fold in by_class.values():
        for handler in fold.handlers:
            for lookup in handler.lookups:
                if lookup.cls not in by_class:
                    raise InvalidDeclaration(
                        handler.place, f"{lookup.cls.__name__} is no read model of this app", fix="declare it too"
                    )
                lookup.model = by_class[lookup.cls].model
    needs = {cls: {lookup.cls for handler in fold.handlers for lookup in handler.lookups} for cls, fold in by_class.items()}
    return [Projection([by_class[cls] for cls in _ordered(members, needs)]) for members in _connected(needs)]


def _connected(needs: Mapping[type[Any], set[type[Any]]]) -> list[list[type[Any]]]:
    groups: list[list[type[Any]]] = []
    for cls in needs:
        touching = [g for g in groups if any(other in needs[cls] or cls in needs[other] for other in g)]
        merged = [member for g in touching for member in g] + [cls]
        groups = [g for g in groups if g not in touching] + [merged]
    return groups


def _ordered(members: Sequence[type[Any]], needs: Mapping[type[Any], set[type[Any]]]) -> list[type[Any]]:
    done: list[type[Any]] = []
    waiting = sorted(members, key=lambda cls: cls.__name__)
    while waiting:
        ready = [cls for cls in waiting if needs[cls] <= set(done)]
        if not ready:
            names = ", ".join(cls.__name__ for cls in waiting)
            raise InvalidDeclaration(names, "these read models look each other up in a circle", fix="drop one lookup")
        done.extend(ready)
        waiting = [cls for cls in waiting if cls not in ready]
    return done


def model_of(projections: Iterable[Projection], cls: type[Any]) -> tuple[Projection, RowType] | None:
    """The projection and row type of a read model class, or None."""
    for projection in projections:
        for fold in projection.folds:
            if fold.model.cls is cls:
                return projection, fold.model
    return None
