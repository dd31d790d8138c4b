"""Given rows, fold events, then rows: read models without a store."""

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

from deedlog.messages.envelope import RecordedEvent, to_micros
from deedlog.projections.fold import BatchFold
from deedlog.projections.plan import plan
from deedlog.projections.projection import Projection
from deedlog.reads.model import Key
from deedlog.reads.values import Stored
from deedlog.testing.clock import START
from deedlog.testing.expect import apart, fail, listed, parted
from deedlog.testing.wiring import Wiring

R = TypeVar("R")
_TIME = to_micros(START)


class Rows:
    """The rows of all read models of a module. `fold` returns new ones; each `then…` returns these, so that they chain."""

    def __init__(self, wiring: Wiring, tables: Mapping[type[Any], Mapping[Key, Any]], position: int = 0) -> None:
        self._wiring = wiring
        self._tables = tables
        self._position = position

    def fold(self, *events: Any) -> "Rows":
        """The rows after these events, as the runner folds one batch. Raises Spoilt with the handler's error."""
        stored = [self._wiring.as_stored(event) for event in events]
        tables = {cls: dict(table) for cls, table in self._tables.items()}
        for projection in self._wiring.projections:
            self._fold(projection, stored, tables)
        return Rows(self._wiring, tables, self._position + len(stored))

    def _fold(self, projection: Projection, events: list[Any], tables: dict[type[Any], dict[Key, Any]]) -> None:
        places = enumerate(events, self._position + 1)
        batch = [(_recorded(position, event), event) for position, event in places if type(event) in projection.handlers]
        if not batch:
            return
        planned = plan(projection, batch)
        for letter in planned.letters:
            fail(f"{letter.event} concerns no row that could be told: {letter.error}")
        models = projection.projected.models
        loaded = {m.name: [Stored(copy.deepcopy(row), 0, _TIME) for row in tables.get(m.cls, {}).values()] for m in models}
        fold = BatchFold(projection, loaded)
        fold.apply(planned.steps)
        changes = fold.changes()
        for model in models:
            table = tables.setdefault(model.cls, {})
            table.update((model.key_of(stored.row), stored.row) for stored in changes.upserts[model.name])
            for key in changes.deletes[model.name]:
                del table[key]

    def rows(self, model: type[R]) -> list[R]:
        """All rows of a read model, in the order of their keys."""
        self._wiring.model_of(model)
        table = self._tables.get(model, {})
        return [copy.deepcopy(table[key]) for key in sorted(table)]

    def row(self, model: type[R], key: Key) -> R:
        """One row. Raises AssertionError when it is not there."""
        __tracebackhide__ = True
        self._wiring.model_of(model)
        table = self._tables.get(model, {})
        if key not in table:
            fail(f"there is no {model.__name__} with key {key!r}", listed("keys", sorted(table)))
        return copy.deepcopy(table[key])  # type: ignore[no-any-return]

    def then_row(self, model: type[Any], key: Key, **fields: Any) -> "Rows":
        """A row of that key is there and has these fields."""
        __tracebackhide__ = True
        row = self.row(model, key)
        wrong = apart(fields, row)
        if wrong:
            fail(f"{model.__name__} {key!r} is another", wrong, listed("row", [row]))
        return self

    def then_no_row(self, model: type[Any], key: Key) -> "Rows":
        """No row of that key is there."""
        __tracebackhide__ = True
        self._wiring.model_of(model)
        found = self._tables.get(model, {}).get(key)
        if found is not None:
            fail(f"there is a {model.__name__} with key {key!r}", listed("row", [found]))
        return self

    def then_rows(self, model: type[R], *rows: R) -> "Rows":
        """These are all rows of the model, in the order of their keys."""
        __tracebackhide__ = True
        actual = self.rows(model)
        difference = parted(rows, actual, "row")
        if difference:
            fail(f"the rows of {model.__name__} are others", listed("expected", rows), listed("actual", actual), difference)
        return self


def _recorded(position: int, event: Any) -> RecordedEvent:
    name = type(event).__name__
    return RecordedEvent(position, "test-1", position, "test", 0, name, 1, "", "", _TIME, f"event-{position}")
