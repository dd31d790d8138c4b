"""What the memory read store keeps of a build, and one query's view of it."""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any

import msgspec

from deedlog.errors import NotSupported
from deedlog.reads.model import Key, RowType
from deedlog.reads.port import Snapshot, readable
from deedlog.reads.values import Checkpoint, Condition, Find, Letter, Order, Place, Projected, Stored
from deedlog.types import Position, StreamName

Table = dict[Key, Stored]


class Generation:
    """One build of a projection: its checkpoint, its rows, its dead letters."""

    def __init__(self, projected: Projected, checkpoint: Checkpoint) -> None:
        self.projected = projected
        self.checkpoint = checkpoint
        self.tables: dict[str, Table] = {model.name: {} for model in projected.models}
        self.letters: dict[tuple[Place, Position], Letter] = {}

    def change(self, **values: Any) -> Checkpoint:
        self.checkpoint = msgspec.structs.replace(self.checkpoint, **values)
        return self.checkpoint


class MemorySnapshot(Snapshot):
    """Consistent because a write replaces the tables that it changes."""

    def __init__(
        self, generations_of: Callable[[str], list[Generation]], projections: Collection[Projected], *, by_name: bool
    ) -> None:
        self._generations_of = generations_of
        self._projections = projections
        self._by_name = by_name

    async def __aenter__(self) -> "MemorySnapshot":
        self._generations: dict[str, Generation] = {}
        self._tables: dict[str, Table] = {}
        for projected in self._projections:
            generations = self._generations_of(projected.name)
            chosen = readable(projected, [g.checkpoint for g in generations], by_name=self._by_name)
            found = next(g for g in generations if g.checkpoint.generation == chosen.generation)
            self._generations[projected.name] = found
            self._tables.update(found.tables)
        self.checkpoints = {name: g.checkpoint for name, g in self._generations.items()}
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def has(self, model: RowType) -> bool:
        return model.name in self._tables

    async def is_parked(self, projected: Projected, stream: StreamName, until: Position) -> bool:
        letters = self._generations[projected.name].letters.values()
        return any(letter.stream == stream and letter.position <= until for letter in letters)

    async def get(self, model: RowType, key: Key) -> Any | None:
        found = self._tables[model.name].get(key)
        return None if found is None else copy.deepcopy(found.row)

    async def get_many(self, model: RowType, keys: Collection[Key]) -> dict[Key, Any]:
        table = self._tables[model.name]
        return {key: copy.deepcopy(table[key].row) for key in keys if key in table}

    async def find(self, model: RowType, find: Find) -> list[Any]:
        rows = [stored.row for stored in self._tables[model.name].values() if _meets(stored.row, find.where)]
        for order in reversed(find.order):
            rows.sort(key=lambda row, name=order.column: _sortable(getattr(row, name)), reverse=order.descending)  # type: ignore[misc]
        if find.after is not None:
            rows = [row for row in rows if _is_past(row, find.order, find.after)]
        return [copy.deepcopy(row) for row in rows[: find.limit]]

    async def count(self, model: RowType, where: tuple[Condition, ...]) -> int:
        return sum(1 for stored in self._tables[model.name].values() if _meets(stored.row, where))

    async def search(self, model: RowType, words: Sequence[str], limit: int) -> list[Any]:
        def matches(row: Any) -> bool:
            text = " ".join(getattr(row, name) or "" for name in model.search).casefold()
            present = "".join(c if c.isalnum() else " " for c in text).split()
            return all(any(has.startswith(word.casefold()) for has in present) for word in words)

        found = [stored.row for stored in self._tables[model.name].values() if matches(stored.row)]
        return [copy.deepcopy(row) for row in found[:limit]]

    async def sql(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[dict[str, Any]]:
        raise NotSupported("the memory read store has no SQL", fix="use a SQLite store, or a Reader")


def _sortable(value: Any) -> tuple[bool, Any]:
    plain = getattr(value, "value", value)
    return (plain is not None, plain)


def _is_past(row: Any, orders: tuple[Order, ...], after: tuple[Any, ...]) -> bool:
    for order, last in zip(orders, after, strict=True):
        mine, other = _sortable(getattr(row, order.column)), _sortable(last)
        if mine != other:
            return (mine < other) if order.descending else (mine > other)
    return False


def _meets(row: Any, where: tuple[Condition, ...]) -> bool:
    return all(_holds(getattr(row, condition.column), condition) for condition in where)


def _holds(value: Any, condition: Condition) -> bool:
    wanted = condition.value
    if condition.operator == "null":
        return (value is None) == bool(wanted)
    if value is None:
        return False
    match condition.operator:
        case "eq":
            return bool(value == wanted)
        case "ne":
            return bool(value != wanted)
        case "in":
            return value in wanted
        case "prefix":
            return bool(value.startswith(wanted))
        case "contains":
            return bool(wanted in value)
        case "lt":
            return bool(value < wanted)
        case "lte":
            return bool(value <= wanted)
        case "gt":
            return bool(value > wanted)
        case "gte":
            return bool(value >= wanted)
    raise AssertionError(condition.operator)
