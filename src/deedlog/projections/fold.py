"""Folding a batch of events into rows, in memory: which rows to load, what becomes of them. Pure.

An event at or below the position that a row came with is skipped for that row: after a crash on a store that can't commit
rows and checkpoint together, each event still changes each row once (P5).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from deedlog.errors import Misuse
from deedlog.messages.envelope import RecordedEvent
from deedlog.projections.keyed import Handler
from deedlog.projections.projection import Projection
from deedlog.reads.model import Key, RowType
from deedlog.reads.port import Changes, Stored, Wanted

Folded: TypeAlias = tuple[RecordedEvent, Any]
"""A recorded event with its decoded object."""


class FoldFailed(Exception):
    """One event could not be folded, its cause is `__cause__`. What comes before it can be folded alone."""

    def __init__(self, what: str, recorded: RecordedEvent) -> None:
        super().__init__(f"{what}, {recorded.name} at position {recorded.position}")
        self.recorded = recorded


class _Slot:
    """A row in the making. `position` is the one it came with; `changed` the last event that changed it here."""

    __slots__ = ("changed", "existed", "position", "row")

    def __init__(self, row: Any, position: int, *, existed: bool) -> None:
        self.row = row
        self.position = position
        self.existed = existed
        self.changed: RecordedEvent | None = None


class Step(msgspec.Struct, frozen=True, gc=False):
    """One handler's part in one event: the keys (or values of its `where` column) that it concerns."""

    recorded: RecordedEvent
    event: Any
    handler: Handler
    keys: Sequence[Any]


def plan(projection: Projection, batch: Iterable[Folded]) -> tuple[list[Step], Wanted]:
    """What to do for `batch`, in order, and the rows that it needs. Raises FoldFailed where a key can't be computed."""
    steps: list[Step] = []
    keys: dict[str, set[Key]] = {fold.model.name: set() for fold in projection.folds}
    where: dict[tuple[str, str], set[Any]] = {}
    for recorded, event in batch:
        for handler in projection.handlers[type(event)]:
            try:
                found = handler.keys(event)
                if handler.column is None:
                    keys[handler.model.name].update(found)
                else:
                    where.setdefault((handler.model.name, handler.column), set()).update(found)
                for lookup in handler.lookups:
                    if (key := getattr(event, lookup.model.key)) is not None:
                        keys[lookup.model.name].add(key)
            except Exception as error:
                raise FoldFailed(f"the key of {handler.signature.name}", recorded) from error
            steps.append(Step(recorded, event, handler, found))
    return steps, Wanted(keys, where)


class BatchFold:
    """Rows as a batch finds them, and as it leaves them."""

    def __init__(self, projection: Projection, loaded: Mapping[str, Sequence[Stored]]) -> None:
        self._projection = projection
        self._slots: dict[str, dict[Key, _Slot]] = {}
        self._indexes: dict[tuple[str, str], dict[Any, set[Key]]] = {}
        for fold in projection.folds:
            model = fold.model
            slots = self._slots[model.name] = {}
            for column in projection.where_columns[model.name]:
                self._indexes[model.name, column] = {}
            for stored in loaded.get(model.name, ()):
                key = model.key_of(stored.row)
                slots[key] = _Slot(stored.row, stored.position, existed=True)
                self._index(model, key, None, stored.row)

    def apply(self, steps: Iterable[Step]) -> None:
        """Takes `steps` in order. Raises FoldFailed; the rows are then spoilt."""
        for step in steps:
            try:
                self._apply(step)
            except Exception as error:
                raise FoldFailed(step.handler.signature.name, step.recorded) from error

    def _apply(self, step: Step) -> None:
        recorded, event, handler, keys = step.recorded, step.event, step.handler, step.keys
        model = handler.model
        slots = self._slots[model.name]
        if handler.column is not None:
            keys = self._matching(model, handler.column, keys)
        lookups = [self._looked_up(lookup.model, event) for lookup in handler.lookups] if handler.lookups else ()
        watched = self._projection.where_columns[model.name]
        for key in keys:
            slot = slots.get(key)
            if slot is None:
                slot = slots[key] = _Slot(None, 0, existed=False)
            elif recorded.position <= slot.position:
                continue
            before = _values(slot.row, watched) if watched else None
            held = model.held(slot.row) if model.forms else ()
            if not _change(handler, slot, key, event, lookups):
                continue
            slot.changed = recorded
            if slot.row is not None and getattr(slot.row, model.key) != key:
                raise Misuse(
                    f"{handler.signature.name} gave a row with key {model.key_of(slot.row)!r}, the event's key is {key!r}",
                    fix="a row keeps its key; say key=… where the event names it otherwise",
                )
            if held and slot.row is not None:
                model.settle(slot.row, held)
            if watched:
                self._index(model, key, before, slot.row)

    def _matching(self, model: RowType, column: str, values: Iterable[Any]) -> list[Key]:
        index = self._indexes[model.name, column]
        return sorted((key for value in values for key in index.get(value, ())), key=repr)

    def _looked_up(self, model: RowType, event: Any) -> Any:
        slot = self._slots[model.name].get(getattr(event, model.key))
        return slot.row if slot is not None else None

    def _index(self, model: RowType, key: Key, before: dict[str, Any] | None, row: Any) -> None:
        """Keeps the lookups by column in step with a row, so that they see what this batch has not written yet."""
        for column in self._projection.where_columns[model.name]:
            index = self._indexes[model.name, column]
            if before is not None:
                index.get(before[column], set()).discard(key)
            if row is not None:
                index.setdefault(getattr(row, column), set()).add(key)

    def changes(self) -> Changes:
        """What to write: rows that changed, keys of rows that ended."""
        upserts: dict[str, list[Stored]] = {}
        deletes: dict[str, list[Key]] = {}
        for name, slots in self._slots.items():
            upserts[name], deletes[name] = [], []
            for key, slot in slots.items():
                if (last := slot.changed) is None:
                    continue
                if slot.row is not None:
                    upserts[name].append(Stored(slot.row, last.position, last.recorded_at))
                elif slot.existed:
                    deletes[name].append(key)
        return Changes(upserts, deletes)


def _values(row: Any, columns: Iterable[str]) -> dict[str, Any] | None:
    return None if row is None else {column: getattr(row, column) for column in columns}


def _change(handler: Handler, slot: _Slot, key: Key, event: Any, lookups: Sequence[Any]) -> bool:
    """Applies one handler to one row; whether anything was there to change."""
    if handler.role == "starts":
        slot.row = handler.function(event, *lookups)
        return True
    if slot.row is None:
        if not handler.start_missing:
            return False
        slot.row = handler.model.cls(**{handler.model.key: key})
    handler.function(slot.row, event, *lookups)
    if handler.role == "ends":
        slot.row = None
    return True
