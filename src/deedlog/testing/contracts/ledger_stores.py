"""A ledger in a log and a read store: what the contracts of projections start from, and look at."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from deedlog.projections.projection import Projection
from deedlog.projections.runner import Runner
from deedlog.reads.port import ReadStore
from deedlog.reads.values import Find, Order, Stored, Wanted
from deedlog.store.port import EventStore
from deedlog.testing.contracts.ledger import broken, codec, definition, record

Stores = tuple[EventStore, ReadStore]


class LedgerTests(ABC):
    """Stores with a ledger in them."""

    capabilities: ClassVar[frozenset[str]] = frozenset()
    """`typed` and `shared`, as in the read store's contract."""

    @abstractmethod
    async def make_stores(self, folder: Path) -> Stores:
        """A log and a read store that are not open yet; the second may be on another medium than the first."""

    @asynccontextmanager
    async def opened(self, folder: Path, events: Sequence[Any] = ()) -> AsyncIterator[Stores]:
        """Stores with these events in the log and the ledger prepared."""
        store, reads = await self.make_stores(folder)
        await store.open()
        try:
            await reads.open()
            try:
                if events:
                    await record(store, *events)
                for projection in definition.projections:
                    await reads.prepare(projection.projected, 0)
                yield store, reads
            finally:
                await reads.close()
        finally:
            await store.close()


@contextmanager
def breaking(account: str) -> Iterator[None]:
    broken.add(account)
    try:
        yield
    finally:
        broken.discard(account)


async def catch_up(store: EventStore, reads: ReadStore) -> None:
    for projection in definition.projections:
        await Runner(projection, store, reads, codec).catch_up()


async def checkpoint_of(reads: ReadStore, projection: Projection) -> int:
    checkpoint = await reads.checkpoint(projection.name)
    assert checkpoint is not None
    return checkpoint.position


async def rows_in(reads: ReadStore, *projections: Projection) -> dict[str, list[Any]]:
    """All live rows, by read model, in the order of their keys."""
    found: dict[str, list[Any]] = {}
    for projection in projections or definition.projections:
        async with reads.snapshot([projection.projected]) as snapshot:
            for model in projection.projected.models:
                found[model.name] = await snapshot.find(model, Find(order=(Order(model.key),), limit=10_000))
    return found


async def stored_in(reads: ReadStore, projection: Projection) -> dict[tuple[str, Any], Stored]:
    """All live rows with their positions, by read model and key."""
    rows = await rows_in(reads, projection)
    checkpoint = await reads.checkpoint(projection.name)
    assert checkpoint is not None
    models = {model.name: model for model in projection.projected.models}
    wanted = Wanted({name: [models[name].key_of(row) for row in found] for name, found in rows.items()}, {})
    loaded = await reads.load(projection.projected, checkpoint, wanted)
    return {(name, models[name].key_of(one.row)): one for name, found in loaded.items() for one in found}


def only(projection: Projection, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {model.name: rows[model.name] for model in projection.projected.models}
