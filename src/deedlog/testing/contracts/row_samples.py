"""Rows as the read store's contract writes them, and the store it writes them to."""

import datetime as dt
import enum
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from deedlog.reads.model import ReadModel, RowType
from deedlog.reads.port import ReadStore
from deedlog.reads.reader import Reader
from deedlog.reads.values import Changes, Checkpoint, Projected, Stored, Wanted


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Part(msgspec.Struct):
    """A piece of a JSON column."""

    name: str
    price: Decimal
    on: dt.date | None = None


class Sample(ReadModel):
    """A row with a column of every kind."""

    id: str
    name: str = ""
    number: int | None = None
    amount: Decimal | None = None
    ratio: float | None = None
    at: dt.datetime | None = None
    day: dt.date | None = None
    hour: dt.time | None = None
    code: uuid.UUID | None = None
    color: Color | None = None
    level: Level | None = None
    flag: bool | None = None
    parts: list[Part] = msgspec.field(default_factory=list)
    extra: dict[str, int] | None = None


class Other(ReadModel):
    """A row of a second model under the same checkpoint; its key is a number."""

    number: int
    text: str = ""


SAMPLE = RowType(Sample, key="id", indexes=["number", ("color", "day"), "name"], search=["name"])
OTHER = RowType(Other, key="number")
PROJECTED = Projected("Sample+Other", (SAMPLE, OTHER), "first", "shape")
CHANGED = msgspec.structs.replace(PROJECTED, definition="second", shape="other shape")
REFOLDED = msgspec.structs.replace(PROJECTED, definition="third")


class ReadStoreTests(ABC):
    """What all tests of a read store share."""

    capabilities: ClassVar[frozenset[str]] = frozenset()
    """`sql`: answers SELECTs; without it they raise NotSupported. `typed`: refuses values of another type than the column's.
    `reopen`: a second store made in the same folder has what the first had. `shared`: also while the first is open."""

    @abstractmethod
    async def make_store(self, folder: Path) -> ReadStore:
        """A store that is not open yet. `folder` is empty at first and the test's own."""

    @asynccontextmanager
    async def opened(self, folder: Path) -> AsyncIterator[ReadStore]:
        store = await self.make_store(folder)
        await store.open()
        try:
            yield store
        finally:
            await store.close()

    @asynccontextmanager
    async def holding(self, folder: Path, *rows: Any) -> AsyncIterator[ReadStore]:
        """A store in which these rows are, written by the first event."""
        async with self.opened(folder) as store:
            await put(store, await store.prepare(PROJECTED, 0), rows)
            yield store


def changes(rows: Iterable[Any] = (), *, position: int = 1, deletes: Sequence[str] = ()) -> Changes:
    stored = [Stored(row, position, position * 1_000_000) for row in rows]
    upserts = {m.name: [s for s in stored if isinstance(s.row, m.cls)] for m in PROJECTED.models}
    return Changes(upserts, {SAMPLE.name: list(deletes)})


async def put(
    store: ReadStore,
    before: Checkpoint,
    rows: Iterable[Any] = (),
    *,
    deletes: Sequence[str] = (),
    projected: Projected = PROJECTED,
) -> Checkpoint:
    """Writes what one event does; the checkpoint afterwards."""
    after = moved(before)
    await store.write(projected, changes(rows, position=after.position, deletes=deletes), before, after)
    return after


def moved(before: Checkpoint, by: int = 1) -> Checkpoint:
    position = before.position + by
    return msgspec.structs.replace(before, position=position, events=before.events + by, updated_at=position * 1_000_000)


@asynccontextmanager
async def reading(store: ReadStore, projected: Projected = PROJECTED) -> AsyncIterator[Reader[Sample]]:
    async with store.snapshot([projected]) as snapshot:
        yield Reader(snapshot, SAMPLE)


async def rows_in(store: ReadStore, projected: Projected = PROJECTED) -> list[Sample]:
    """All live samples, by key."""
    async with reading(store, projected) as reader:
        return (await reader.find(limit=1_000)).rows


async def loaded(
    store: ReadStore, checkpoint: Checkpoint, *keys: Any, where: tuple[str, Sequence[Any]] | None = None
) -> list[Stored]:
    by_column = {(SAMPLE.name, where[0]): where[1]} if where else {}
    found = await store.load(PROJECTED, checkpoint, Wanted({SAMPLE.name: keys}, by_column))
    return sorted(found[SAMPLE.name], key=lambda stored: str(stored.row.id))
