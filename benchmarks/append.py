"""`SqliteEventStore.append` against a hand-written coalescing writer on the same schema. One event per append.

Half of the appends start a stream, half go to a stream that exists; each names the version it expects.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.harness import Case, Measure, Options, compare, gathered, options, report, timed, workspace
from benchmarks.parcels import event_text, fresh_key
from benchmarks.raw import RawLog
from deedlog.messages.envelope import NewEvent
from deedlog.sqlite.database import Database
from deedlog.store.port import StreamWrite
from deedlog.store.sqlite import SqliteEventStore
from deedlog.types import Exactly, SystemClock

DATA = event_text(fresh_key())
METADATA = '{"correlation_id":"0197e2a0-7000-7abc-8def-0123456789ab"}   '
CALLERS = (64, 16, 1)
TARGETS = {64: 0.85}


async def main(asked: Options, folder: Path) -> None:
    raw = RawLog(folder / "raw.db")
    ours = SqliteEventStore(Database(folder / "ours.db"), SystemClock())
    await ours.open()
    turns = {callers: asked.pick(full, quick) for callers, full, quick in ((64, 100, 8), (16, 120, 10), (1, 400, 20))}
    cases = [
        Case(
            f"{callers} caller{'s' if callers > 1 else ''}",
            measure(callers, turns[callers], raw_pair(raw)),
            measure(callers, turns[callers], our_pair(ours)),
            TARGETS.get(callers),
        )
        for callers in CALLERS
    ]
    results = await compare(asked, cases)
    await ours.close()
    raw.close()
    settings = {
        "callers": CALLERS,
        "appends_per_round": {str(callers): callers * turns[callers] * 2 for callers in CALLERS},
        "events_per_append": 1,
        "payload_bytes": len(DATA),
        "metadata_bytes": len(METADATA),
        "streams": "half new, half existing",
        "synchronous": "FULL",
    }
    report("append", "appends/s", asked, results, settings)


def measure(callers: int, turns: int, pair: Callable[[], Awaitable[None]]) -> Measure:
    return lambda: timed(callers * turns * 2, lambda: gathered(callers, turns, pair))


def raw_pair(log: RawLog, metadata: str = METADATA) -> Callable[[], Awaitable[None]]:
    """Two appends to a stream of its own, as the raw writer takes them."""

    async def pair() -> None:
        key = fresh_key()
        stream = f"parcel-{key}"
        await log.append((stream, 0, "Registered", DATA, metadata, f"{key}-1"))
        await log.append((stream, 1, "Registered", DATA, metadata, f"{key}-2"))

    return pair


def our_pair(store: SqliteEventStore) -> Callable[[], Awaitable[None]]:
    """The same two appends through the store's port."""

    async def pair() -> None:
        key = fresh_key()
        stream = f"parcel-{key}"
        await store.append((StreamWrite(stream, (NewEvent(f"{key}-1", "Registered", 1, DATA, METADATA),), Exactly(0)),))
        await store.append((StreamWrite(stream, (NewEvent(f"{key}-2", "Registered", 1, DATA, METADATA),), Exactly(1)),))

    return pair


if __name__ == "__main__":
    given = options(__doc__)
    with workspace(given) as data:
        asyncio.run(main(given, data))
