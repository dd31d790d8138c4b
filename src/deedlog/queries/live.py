"""Read models that are folded when they are read, and one view over those and the stored ones."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from deedlog.errors import NotSupported
from deedlog.messages.codec import Codec
from deedlog.projections.aside import Aside
from deedlog.projections.projection import Projection
from deedlog.reads.model import Key, RowType
from deedlog.reads.port import Snapshot
from deedlog.reads.values import Condition, Find, Projected
from deedlog.store.port import EventStore
from deedlog.types import Position, StreamName


class LiveFold:
    """A projection kept in this process's memory, moved only when somebody reads it; the first reader folds the whole log."""

    def __init__(self, projection: Projection, store: EventStore, codec: Codec) -> None:
        self.projection = projection
        self._aside = Aside(projection, store, codec)
        self._lock = asyncio.Lock()

    async def at(self, head: Position) -> Projected:
        """Folds up to `head`, at least."""
        async with self._lock:
            await self._aside.fold(head)
        return self.projection.projected

    def snapshot(self, projected: Projected) -> AbstractAsyncContextManager[Snapshot]:
        return self._aside.reads.snapshot([projected])


class Together(Snapshot):
    """Several snapshots as one: each read goes to the one that has its model."""

    def __init__(self, parts: Sequence[Snapshot]) -> None:
        self.checkpoints = {name: checkpoint for part in parts for name, checkpoint in part.checkpoints.items()}
        self._parts = parts

    def _of(self, model: RowType) -> Snapshot:
        return next(part for part in self._parts if part.has(model))

    def has(self, model: RowType) -> bool:
        return any(part.has(model) for part in self._parts)

    async def is_parked(self, projected: Projected, stream: StreamName, until: Position) -> bool:
        part = next(part for part in self._parts if projected.name in part.checkpoints)
        return await part.is_parked(projected, stream, until)

    async def get(self, model: RowType, key: Key) -> Any | None:
        return await self._of(model).get(model, key)

    async def get_many(self, model: RowType, keys: Collection[Key]) -> dict[Key, Any]:
        return await self._of(model).get_many(model, keys)

    async def find(self, model: RowType, find: Find) -> list[Any]:
        return await self._of(model).find(model, find)

    async def count(self, model: RowType, where: tuple[Condition, ...]) -> int:
        return await self._of(model).count(model, where)

    async def search(self, model: RowType, words: Sequence[str], limit: int) -> list[Any]:
        return await self._of(model).search(model, words, limit)

    async def sql(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[dict[str, Any]]:
        raise NotSupported("a live read model has no SQL", fix="read it with a Reader, or make it async or inline")
