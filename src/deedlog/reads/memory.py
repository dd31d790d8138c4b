"""The reference read store: dictionaries. What the other adapters must equal; also for tests."""

import copy
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from types import TracebackType
from typing import Any

import msgspec

from deedlog.errors import Conflict, Misuse, NotSupported
from deedlog.reads.model import Key, RowType
from deedlog.reads.port import (
    Changes,
    Checkpoint,
    Condition,
    Find,
    Order,
    Projected,
    ReadStore,
    Snapshot,
    Stored,
    Wanted,
    refuse_unready,
)
from deedlog.types import Position

Table = dict[Key, Stored]


class _Generation:
    def __init__(self, projected: Projected, number: int) -> None:
        self.definition = projected.definition
        self.checkpoint = Checkpoint(generation=number, definition=projected.definition)
        self.tables: dict[str, Table] = {model.name: {} for model in projected.models}


class MemoryReadStore(ReadStore):
    """Everything in this process; gone with it. Rows are copied in and out, so that nobody holds a live one."""

    def __init__(self) -> None:
        self._live: dict[str, _Generation] = {}
        self._building: dict[str, _Generation] = {}
        self._owner: dict[str, str] = {}
        self._numbers = count(1)

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def prepare(self, projected: Projected, head: Position) -> Checkpoint:
        live = self._live.get(projected.name)
        if live is None or live.definition != projected.definition:
            new = _Generation(projected, next(self._numbers))
            taken = {self._owner[model.name] for model in projected.models if model.name in self._owner}
            for name in taken:
                self._live.pop(name, None)
            new.checkpoint = msgspec.structs.replace(new.checkpoint, building_to=head)
            self._adopt(projected, new)
        return self._live[projected.name].checkpoint

    def _adopt(self, projected: Projected, generation: _Generation) -> None:
        self._live[projected.name] = generation
        for model in projected.models:
            self._owner[model.name] = projected.name

    async def checkpoint(self, name: str) -> Checkpoint | None:
        live = self._live.get(name)
        return live.checkpoint if live else None

    def _generation(self, name: str, number: int) -> _Generation:
        for generations in (self._live, self._building):
            found = generations.get(name)
            if found is not None and found.checkpoint.generation == number:
                return found
        raise Conflict(f"generation {number} of {name} is gone", fix="read its checkpoint again")

    async def load(self, projected: Projected, checkpoint: Checkpoint, wanted: Wanted) -> dict[str, list[Stored]]:
        tables = self._generation(projected.name, checkpoint.generation).tables
        found: dict[str, dict[Key, Stored]] = {model.name: {} for model in projected.models}
        for name, keys in wanted.keys.items():
            found[name].update({key: tables[name][key] for key in keys if key in tables[name]})
        for (name, column), values in wanted.where.items():
            found[name].update(_with(tables[name], column, set(values) - {None}))
        return {name: [copy.deepcopy(stored) for stored in rows.values()] for name, rows in found.items()}

    async def write(self, projected: Projected, changes: Changes, before: Checkpoint, after: Checkpoint) -> None:
        generation = self._generation(projected.name, before.generation)
        if generation.checkpoint.position != before.position:
            raise Conflict(f"{projected.name} was moved by another worker", fix="read its checkpoint again")
        for model in projected.models:
            table = dict(generation.tables[model.name])  # open snapshots keep the old one
            for stored in changes.upserts.get(model.name, ()):
                table[model.key_of(stored.row)] = copy.deepcopy(stored)
            for key in changes.deletes.get(model.name, ()):
                table.pop(key, None)
            generation.tables[model.name] = table
        generation.checkpoint = after

    async def begin_rebuild(self, projected: Projected) -> Checkpoint:
        self._building[projected.name] = _Generation(projected, next(self._numbers))
        return self._building[projected.name].checkpoint

    async def switch(self, projected: Projected, built: Checkpoint) -> None:
        live = self._live.get(projected.name)
        if live is None or live.definition != projected.definition:
            raise Misuse(f"{projected.name} belongs to another version of this app by now", fix="restart with it")
        if live.checkpoint.position > built.position:
            raise Conflict(f"{projected.name}: the live build is ahead of the new one", fix="fold the rest, then switch")
        building = self._building.get(projected.name)
        if building is None or building.checkpoint != built:
            raise Conflict(f"{projected.name}: another rebuild replaced this one", fix="start it again")
        self._adopt(projected, self._building.pop(projected.name))

    def snapshot(self, projections: Collection[Projected]) -> "_MemorySnapshot":
        return _MemorySnapshot(self, projections)

    def rows(self, model: RowType) -> dict[Key, Stored]:
        """All live rows of a model, as they are stored."""
        return self._live[self._owner[model.name]].tables[model.name]


class _MemorySnapshot(Snapshot):
    """Consistent because a write replaces the tables that it changes."""

    def __init__(self, store: MemoryReadStore, projections: Collection[Projected]) -> None:
        self._store = store
        self._projections = projections

    async def __aenter__(self) -> "_MemorySnapshot":
        live = self._store._live
        for projected in self._projections:
            if projected.name not in live:
                raise Misuse(f"projection {projected.name} was never prepared", fix="start the app first")
        self.checkpoints = {p.name: live[p.name].checkpoint for p in self._projections}
        for projected in self._projections:
            refuse_unready(projected, self.checkpoints[projected.name])
        self._tables = {model: table for name in live for model, table in live[name].tables.items()}
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

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


def _with(table: Table, column: str, values: Collection[Any]) -> Table:
    return {key: stored for key, stored in table.items() if getattr(stored.row, column) in values}


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
