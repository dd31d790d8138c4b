"""`SqliteEventStore.import_events` against inserting the same rows, made before, in one transaction on the same schema.

The raw side checks nothing, numbers nothing and asks for no version; its rows and tags are ready, in the order of their tables.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from itertools import count
from pathlib import Path
from typing import TypeAlias

from benchmarks.harness import Case, Measure, Options, compare, options, report, timed, workspace
from benchmarks.parcels import event_text, fresh_key
from benchmarks.raw import Row, connect, create, insert, row_of
from deedlog.messages.envelope import NewEvent
from deedlog.sqlite.database import Database
from deedlog.store.port import ImportedEvent
from deedlog.store.sqlite import SqliteEventStore
from deedlog.types import SystemClock

DATA = event_text(fresh_key())
METADATA = '{"correlation_id":"0197e2a0-7000-7abc-8def-0123456789ab"}   '
INSERT_TAGS = "insert into deedlog_tags (tag, position) values (?, ?)"
SIZES = ((20_000, 0), (20_000, 2), (5_000, 0), (50_000, 0))
"""Events of a chunk, and tags of each."""
Chunk: TypeAlias = list[tuple[str, int, str]]
"""Stream, version, event id; half of the events start a stream, half follow later in the chunk."""


async def main(asked: Options, folder: Path) -> None:
    async with AsyncExitStack() as opened:
        cases = [await case(asked, opened, folder / f"{size}-{tags}", size, tags) for size, tags in SIZES]
        results = await compare(asked, cases)
    settings = {
        "payload_bytes": len(DATA),
        "metadata_bytes": len(METADATA),
        "streams": "two events each, the second half a chunk later",
        "quick_divides_events_by": 20,
        "synchronous": "FULL",
    }
    report("import_events", "events/s", asked, results, settings)


async def case(asked: Options, opened: AsyncExitStack, folder: Path, size: int, tags: int) -> Case:
    """On two files of its own, so that each side's grows by what it imports alone."""
    folder.mkdir()  # noqa: ASYNC240  # before anything is measured
    raw = opened.enter_context(closing(connect(folder / "raw.db")))
    create(raw)
    ours = SqliteEventStore(Database(folder / "ours.db"), SystemClock())
    await ours.open()
    opened.push_async_callback(ours.close)
    events = asked.pick(size, size // 20)
    name = f"{size:,} events{f', {tags} tags each' if tags else ''}"
    return Case(name, raw_import(raw, events, tags), our_import(ours, events, tags), 0.5)


def chunk(events: int) -> Chunk:
    """As many events, on half as many streams that are new."""
    keys = [fresh_key() for _ in range(events // 2)]
    return [(f"parcel-{key}", version, f"{key}-{version}") for version in (1, 2) for key in keys]


def tags_of(stream: str, tags: int) -> tuple[str, ...]:
    return (f"parcel:{stream}", f"depot:{stream[-2:]}")[:tags]


def raw_import(connection: sqlite3.Connection, events: int, tags: int) -> Measure:
    positions = count(1)

    def rows(wanted: Chunk) -> Iterator[Row]:
        for stream, version, id in wanted:
            yield row_of((stream, version - 1, "Registered", DATA, METADATA, id), next(positions), version, 1)

    async def measure() -> float:
        ready = list(rows(chunk(events)))
        tagged = sorted((tag, row[0]) for row in ready for tag in tags_of(row[1], tags))

        async def work() -> None:
            connection.execute("begin immediate")
            insert(connection, ready)
            connection.executemany(INSERT_TAGS, tagged)
            connection.execute("commit")

        return await timed(events, work)

    return measure


def our_import(store: SqliteEventStore, events: int, tags: int) -> Measure:
    async def measure() -> float:
        ready = [
            ImportedEvent(stream, NewEvent(id, "Registered", 1, DATA, METADATA, tags_of(stream, tags)), 1)
            for stream, _, id in chunk(events)
        ]
        return await timed(events, lambda: store.import_events(ready))

    return measure


if __name__ == "__main__":
    given = options(__doc__)
    with workspace(given) as data:
        asyncio.run(main(given, data))
