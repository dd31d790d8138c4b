"""What crosses the read store's port: checkpoints, rows, dead letters, and what a query asks for."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from deedlog.reads.model import Key, RowType
from deedlog.types import Position, StreamName

Operator: TypeAlias = Literal["eq", "ne", "lt", "lte", "gt", "gte", "in", "prefix", "contains", "null"]


State: TypeAlias = Literal["current", "aside", "retired"]


class Checkpoint(msgspec.Struct, frozen=True):
    """One generation of a projection's tables: how far it is, and who moves it.

    How far: `position` is the last event in it. `events` counts what it consumed and `digest` is their rolling hash: `events`
    equals `position`, or something was skipped. `parked` counts the keys in the dead letters; `revision` counts the changes of
    those from outside. Queries are refused until `position` reaches `building_to`.

    Which: `definition` is the digest of the declaration it was made for. `live`: it is what the tables' plain names show.
    `state`: current ones are moved by the runner of their definition, aside ones by a rebuild, retired ones by nobody.

    Who: `owner` has leased it until `leased_until` (microseconds); each new owner raises `epoch`, and a write of an older one is
    refused. `paused` says who stopped it and why, "" when nobody did. `audited` is how far the auditor agrees, with the
    digest there.
    """

    position: Position = 0
    events: int = 0
    digest: int = 0
    parked: int = 0
    revision: int = 0
    updated_at: int | None = None
    generation: int = 1
    building_to: Position = 0
    definition: str = ""
    shape: str = ""
    live: bool = True
    state: State = "current"
    epoch: int = 0
    owner: str = ""
    leased_until: int = 0
    paused: str = ""
    audited: Position = 0
    audited_digest: int = 0

    @property
    def complete(self) -> bool:
        """Whether it may answer queries."""
        return self.position >= self.building_to and self.state != "aside"


MOVED = ("position", "events", "digest", "revision", "updated_at")
"""What a write takes from its `after`; the rest of a checkpoint is not the runner's to change."""


class Projected(msgspec.Struct, frozen=True):
    """What a read store must know of a projection: the tables that move together under one checkpoint.

    `shape` is the digest of the tables' columns: rows of one shape can be read by each other's class.
    """

    name: str
    models: tuple[RowType, ...]
    definition: str
    shape: str = ""


class Stored(msgspec.Struct, frozen=True):
    """A row with the position of the last event that changed it, and that event's time (microseconds)."""

    row: Any
    position: Position
    updated_at: int


class Wanted(msgspec.Struct, frozen=True):
    """Rows to load for a batch: by key, and by the value of an indexed column."""

    keys: Mapping[str, Collection[Key]]
    where: Mapping[tuple[str, str], Collection[Any]]


ALL = 2**31
"""As a limit: more letters than there can be."""

STREAM = ""
"""In place of a read model's name: what is parked is a stream, since its event tells no key."""

Place: TypeAlias = tuple[str, Key]
"""A read model's name and the key of a row in it; or `STREAM` and the name of a stream."""


class Letter(msgspec.Struct, frozen=True):
    """An event that a key did not get. `error` is why, None for one that only follows; `attempts` how often it was tried."""

    model: str
    key: Key
    position: Position
    stream: StreamName
    event: str
    parked_at: int
    error: str | None = None
    attempts: int = 1

    @property
    def place(self) -> Place:
        return (self.model, self.key)


class Skip(msgspec.Struct, frozen=True):
    """An event that a key will never get, by whose decision and why. Rebuilds keep to it."""

    model: str
    key: Key
    position: Position
    by: str
    why: str
    at: int


class Parked(msgspec.Struct, frozen=True):
    """What a fold must leave alone: `places` that are parked, and the positions that a place skips."""

    places: Collection[Place] = frozenset()
    skips: Mapping[Place, Collection[Position]] = {}


class Changes(msgspec.Struct, frozen=True):
    """What a batch does: to each model's rows, by model name, and to the dead letters.

    Letters of `released` places go away, before `letters` are added. `skips` are added.
    """

    upserts: Mapping[str, Sequence[Stored]] = {}
    deletes: Mapping[str, Sequence[Key]] = {}
    letters: Sequence[Letter] = ()
    released: Collection[Place] = ()
    skips: Sequence[Skip] = ()


class Difference(msgspec.Struct, frozen=True):
    """A row that two generations don't agree on; None where there is none."""

    model: str
    key: Key
    mine: Any | None
    other: Any | None


class Comparison(msgspec.Struct, frozen=True):
    """Two generations row by row: how many are the same in both, how many differ, and the first of those."""

    same: int
    different: int
    examples: Sequence[Difference]


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
