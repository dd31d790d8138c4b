"""The read store's port: rows by key, written with their checkpoint, read in one consistent snapshot."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, TypeAlias

import msgspec

from deedlog.errors import Building, Misuse
from deedlog.reads.model import Key, RowType
from deedlog.types import Position

Operator: TypeAlias = Literal["eq", "ne", "lt", "lte", "gt", "gte", "in", "prefix", "contains", "null"]


class Checkpoint(msgspec.Struct, frozen=True):
    """How far a projection is. `events` counts what it consumed: equal to `position`, or something was skipped.

    `generation` numbers the builds of its tables. `building_to`: queries are refused until `position` reaches it.
    `definition` is the digest of the declaration it was made for: another version of the app has another.
    """

    position: Position = 0
    events: int = 0
    generation: int = 1
    building_to: Position = 0
    updated_at: int | None = None
    definition: str = ""


class Projected(msgspec.Struct, frozen=True):
    """What a read store must know of a projection: the tables that move together under one checkpoint."""

    name: str
    models: tuple[RowType, ...]
    definition: str


class Stored(msgspec.Struct, frozen=True):
    """A row with the position of the last event that changed it, and that event's time (microseconds)."""

    row: Any
    position: Position
    updated_at: int


class Wanted(msgspec.Struct, frozen=True):
    """Rows to load for a batch: by key, and by the value of an indexed column."""

    keys: Mapping[str, Collection[Key]]
    where: Mapping[tuple[str, str], Collection[Any]]


class Changes(msgspec.Struct, frozen=True):
    """What a batch does to each model's rows, by model name."""

    upserts: Mapping[str, Sequence[Stored]]
    deletes: Mapping[str, Sequence[Key]]


class Condition(msgspec.Struct, frozen=True):
    """One comparison of a column; all of a query must hold."""

    column: str
    operator: Operator
    value: Any


class Order(msgspec.Struct, frozen=True):
    """One column to sort by. NULL sorts before all values."""

    column: str
    descending: bool = False


class Find(msgspec.Struct, frozen=True):
    """Rows that meet all `where`, sorted by `order` (the key is last, so that it is total), past `after`, at most `limit`.

    `after` holds the values of the `order` columns in the last row of the page before.
    """

    where: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int = 100
    after: tuple[Any, ...] | None = None


class Snapshot(ABC):
    """One consistent view: all reads see the same commit, and `checkpoints` are its checkpoints, by projection name.

    `head` is the log's head in the same commit, None where the log is kept elsewhere.
    """

    checkpoints: Mapping[str, Checkpoint]
    head: Position | None = None

    @abstractmethod
    async def get(self, model: RowType, key: Key) -> Any | None:
        """The row of that key, or None."""

    @abstractmethod
    async def get_many(self, model: RowType, keys: Collection[Key]) -> dict[Key, Any]:
        """The rows of those keys that exist."""

    @abstractmethod
    async def find(self, model: RowType, find: Find) -> list[Any]:
        """Rows in order. Raises Misuse for a comparison or order that the column can't have."""

    @abstractmethod
    async def count(self, model: RowType, where: tuple[Condition, ...]) -> int:
        """How many rows meet all conditions."""

    @abstractmethod
    async def search(self, model: RowType, words: Sequence[str], limit: int) -> list[Any]:
        """Rows whose searched fields have a word that starts with each of `words`, best first. Never raises for odd text."""

    @abstractmethod
    async def sql(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[dict[str, Any]]:
        """Rows of a SELECT in the store's own dialect. Raises NotSupported on a store without SQL."""


class ReadStore(ABC):
    """Tables of read models. A batch's rows and its checkpoint are one commit (P5)."""

    @abstractmethod
    async def open(self) -> None:
        """Makes what the store needs for itself."""

    @abstractmethod
    async def close(self) -> None:
        """Lets go of everything."""

    @abstractmethod
    async def prepare(self, projected: Projected, head: Position) -> Checkpoint:
        """Makes the tables where there are none, and says how far they are.

        Where they are new, or the definition has changed, they start empty (in place of the old), and queries are refused until
        they have come to `head`. A projection that held one of these tables under another name goes away.
        """

    @abstractmethod
    async def checkpoint(self, name: str) -> Checkpoint | None:
        """The live checkpoint of a projection, or None where it was never prepared."""

    @abstractmethod
    async def load(self, projected: Projected, checkpoint: Checkpoint, wanted: Wanted) -> dict[str, list[Stored]]:
        """The wanted rows that exist, by model name, each once."""

    @abstractmethod
    async def write(self, projected: Projected, changes: Changes, before: Checkpoint, after: Checkpoint) -> None:
        """Changes rows and checkpoint in one commit. Raises Conflict when the checkpoint is no longer `before`."""

    @abstractmethod
    async def begin_rebuild(self, projected: Projected) -> Checkpoint:
        """Empty tables of a new generation, beside the live ones; what an earlier rebuild left behind goes away."""

    @abstractmethod
    async def switch(self, projected: Projected, built: Checkpoint) -> None:
        """Makes `built` the live generation and drops the one before, in one step. Raises Conflict when it was outrun."""

    @abstractmethod
    def snapshot(self, projections: Collection[Projected]) -> AbstractAsyncContextManager[Snapshot]:
        """A consistent view for one query. Raises Building where a projection is not yet complete."""


def refuse_unready(projected: Projected, checkpoint: Checkpoint) -> None:
    """Raises Building while a projection has not come to where it has to be, Misuse when it is another's."""
    if checkpoint.definition != projected.definition:
        raise Misuse(f"{projected.name} was built by another version of this app", fix="restart this process with that version")
    if checkpoint.position < checkpoint.building_to:
        raise Building(projected.name, checkpoint.position, checkpoint.building_to)
