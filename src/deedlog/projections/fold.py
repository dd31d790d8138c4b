"""Folding a batch of events into rows, in memory: which rows to load, what becomes of them. Pure.

An event at or below the position that a row came with is skipped for that row: after a crash on a store that can't commit
rows and checkpoint together, each event still changes each row once (P5).

An event that fails parks its key, and what follows for that key follows it into the dead letters (P8; ADR 0009). The quick
way copies nothing, so a failure spoils its rows: the batch is then folded again with care, a copy before each step.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from deedlog.errors import Misuse
from deedlog.messages.envelope import RecordedEvent
from deedlog.projections.keyed import Handler
from deedlog.projections.plan import NOTHING, Selected, Step, letter_of, skipped
from deedlog.projections.projection import Projection
from deedlog.reads.model import Key, RowType
from deedlog.reads.values import Changes, Letter, Parked, Place, Stored, Wanted

MAX_ROWS = 30_000
"""With so many rows in memory a fold starts afresh with the next batch."""


class Spoilt(Exception):
    """A handler failed (its error is `__cause__`) and may have left a row half changed: fold again, with care."""

    def __init__(self, what: str, recorded: RecordedEvent) -> None:
        super().__init__(f"{what}, {recorded.name} at position {recorded.position}")
        self.recorded = recorded


Watch: TypeAlias = Callable[[Step, Key, Any, Any], None]
"""Hears of each change: the step, the key, a copy of the row before and one after."""


class _Slot:
    """A row in the making. `position` is the one it came with; `changed` the last event that changed it here."""

    __slots__ = ("changed", "existed", "position", "row")

    def __init__(self, row: Any, position: int, *, existed: bool) -> None:
        self.row = row
        self.position = position
        self.existed = existed
        self.changed: RecordedEvent | None = None


class BatchFold:
    """Rows as a batch finds them, and as it leaves them.

    When its changes are written it may go on with the next batch (`go_on`): rows that it has need not be loaded again.
    """

    def __init__(
        self,
        projection: Projection,
        loaded: Mapping[str, Sequence[Stored]],
        parked: Parked = NOTHING,
        *,
        careful: bool = False,
        watch: Watch | None = None,
        selected: Selected | None = None,
    ) -> None:
        self._projection = projection
        self._places = set(parked.places)
        self._parked = parked
        self._changed: list[tuple[str, Key, _Slot]] = []
        self.careful = careful or watch is not None
        self._watch = watch
        self._selected = selected or {}
        self.letters: list[Letter] = []
        self._slots: dict[str, dict[Key, _Slot]] = {}
        self._indexes: dict[tuple[str, str], dict[Any, set[Key]]] = {}
        for fold in projection.folds:
            model = fold.model
            self._slots[model.name] = {}
            for column in projection.where_columns[model.name]:
                self._indexes[model.name, column] = {}
        self.add(loaded)

    def missing(self, wanted: Wanted) -> Wanted:
        """What of `wanted` has to be loaded; by the value of a column all of it, for others may have it too."""
        keys = {name: [key for key in keys if key not in self._slots[name]] for name, keys in wanted.keys.items()}
        return Wanted(keys, wanted.where)

    def add(self, loaded: Mapping[str, Sequence[Stored]]) -> None:
        """Takes rows that were loaded; of one that it has already, its own counts."""
        for fold in self._projection.folds:
            model = fold.model
            slots = self._slots[model.name]
            for stored in loaded.get(model.name, ()):
                key = model.key_of(stored.row)
                if key not in slots:
                    slots[key] = _Slot(stored.row, stored.position, existed=True)
                    self._index(model, key, None, stored.row)

    def go_on(self, parked: Parked) -> bool:
        """Begins with the next batch, now that the changes are written; False: it has too many rows, make a new one."""
        for _, _, slot in self._changed:
            if slot.changed is not None:
                slot.position, slot.existed, slot.changed = slot.changed.position, slot.row is not None, None
        self._changed, self.letters = [], []
        self._places, self._parked = set(parked.places), parked
        return sum(map(len, self._slots.values())) < MAX_ROWS

    def apply(self, steps: Iterable[Step]) -> None:
        """Takes `steps` in order. Raises Spoilt unless it folds with care; the rows are then of no use."""
        plain = not (self.careful or self._places or self._parked.skips)
        for step in steps:
            if plain and step.handler.plain:
                self._apply_plain(step)
            else:
                self._apply(step)

    def _apply_plain(self, step: Step) -> None:
        """What `_apply` does where nothing is parked, looked up or indexed: most of all steps, so it is written out."""
        recorded, event, handler = step.recorded, step.event, step.handler
        model, function = handler.model, handler.function
        slots = self._slots[model.name]
        for key in step.keys:
            slot = slots.get(key)
            if slot is None:
                slot = slots[key] = _Slot(None, 0, existed=False)
            elif recorded.position <= slot.position:
                continue
            row = slot.row
            try:
                if handler.role == "starts":
                    row = function(event)
                elif row is not None:
                    function(row, event)
                elif handler.start_missing:
                    row = model.cls(**{model.key: key})
                    function(row, event)
                else:
                    continue
                if getattr(row, model.key) != key:
                    raise _other_key(handler, row, key)
                if not model.fits(row):
                    model.check(row)
            except Exception as error:
                raise Spoilt(handler.signature.name, recorded) from error
            slot.row = row
            if slot.changed is None:
                self._changed.append((model.name, key, slot))
            slot.changed = recorded

    def _apply(self, step: Step) -> None:
        recorded, handler, keys = step.recorded, step.handler, step.keys
        model = handler.model
        slots = self._slots[model.name]
        if handler.column is not None:
            keys = self._matching(model, handler.column, keys)
        lookups = [self._looked_up(lookup.model, step.event) for lookup in handler.lookups] if handler.lookups else ()
        for key in keys:
            slot = slots.get(key)
            if slot is None:
                slot = slots[key] = _Slot(None, 0, existed=False)
            elif recorded.position <= slot.position:
                continue
            if (self._places or self._parked.skips) and self._is_held(step, model.name, key):
                continue
            before = copy.deepcopy(slot.row) if self.careful else None
            try:
                self._change(step, slot, key, lookups)
            except Exception as error:
                if not self.careful:
                    raise Spoilt(handler.signature.name, recorded) from error
                slot.row = before
                self._park(recorded, (model.name, key), f"{handler.signature.name}: {type(error).__name__}: {error}")
                continue
            if self._watch is not None and slot.changed is recorded:
                self._watch(step, key, before, copy.deepcopy(slot.row))

    def _change(self, step: Step, slot: _Slot, key: Key, lookups: Sequence[Any]) -> None:
        """Applies one handler to one row, and makes sure that the row could be stored and loaded again now."""
        handler = step.handler
        model = handler.model
        watched = self._projection.where_columns[model.name]
        values = _values(slot.row, watched) if watched else None
        held = model.held(slot.row) if model.forms else ()
        if not _call(handler, slot, key, step.event, lookups):
            return
        row = slot.row
        if row is not None:
            if getattr(row, model.key) != key:
                raise _other_key(handler, row, key)
            if held:
                model.settle(row, held)
            if not model.fits(row):
                model.check(row)
        if slot.changed is None:
            self._changed.append((model.name, key, slot))
        slot.changed = step.recorded
        if watched:
            self._index(model, key, values, row)

    def _is_held(self, step: Step, model: str, key: Key) -> bool:
        """Whether this key does not get this event: it is parked, it skips it, or a row that it looks up is parked."""
        recorded = step.recorded
        if skipped(self._parked, (model, key), recorded):
            return True
        if (model, key) in self._places:
            self.letters.append(letter_of(recorded, model, key))
            return True
        for lookup in step.handler.lookups:
            other = (lookup.model.name, getattr(step.event, lookup.model.key))
            if other in self._places:
                self._park(recorded, (model, key), f"it looks up {lookup.model.name} {other[1]!r}, which is parked")
                return True
        return False

    def _park(self, recorded: RecordedEvent, place: Place, error: str) -> None:
        self._places.add(place)
        self.letters.append(letter_of(recorded, *place, error))

    def _matching(self, model: RowType, column: str, values: Iterable[Any]) -> list[Key]:
        """Keys of the rows with such a value; of a parked one nobody knows what it would have, so it counts as one."""
        index = self._indexes[model.name, column]
        matching = {key for value in values for key in index.get(value, ())}
        found = sorted(matching.union(key for name, key in self._places if name == model.name), key=repr)
        wanted = self._selected.get(model.name)
        return found if wanted is None else [key for key in found if key in wanted]

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

    def changes(self, planned: Sequence[Letter] = ()) -> Changes:
        """What to write: rows that changed, keys of rows that ended, and what was parked, already by the plan or here."""
        upserts: dict[str, list[Stored]] = {name: [] for name in self._slots}
        deletes: dict[str, list[Key]] = {name: [] for name in self._slots}
        for name, key, slot in self._changed:
            if (last := slot.changed) is None:
                continue
            if slot.row is not None:
                upserts[name].append(Stored(slot.row, last.position, last.recorded_at))
            elif slot.existed:
                deletes[name].append(key)
        return Changes(upserts, deletes, [*planned, *self.letters])


def _other_key(handler: Handler, row: Any, key: Key) -> Misuse:
    return Misuse(
        f"{handler.signature.name} gave a row with key {handler.model.key_of(row)!r}, the event's key is {key!r}",
        fix="a row keeps its key; say key=… where the event names it otherwise",
    )


def _values(row: Any, columns: Iterable[str]) -> dict[str, Any] | None:
    return None if row is None else {column: getattr(row, column) for column in columns}


def _call(handler: Handler, slot: _Slot, key: Key, event: Any, lookups: Sequence[Any]) -> bool:
    """Calls one handler for one row; whether anything was there to change."""
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
