"""Catching a read model up with the log, against reading the same log and decoding its events into the same classes.

The raw side folds nothing and writes nothing: the ratio says which part of the speed of mere reading is left once rows are
loaded, folded and written with their checkpoint.
"""

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

import msgspec

from benchmarks.harness import Case, Options, compare, options, report, timed, workspace
from benchmarks.parcels import AT, NOTE, PRICE, Moved, Registered, key_of, service
from benchmarks.raw import INSERT, connect, row_of
from deedlog.projections.runner import MAX_PAGE

SELECT = (
    "select position, stream, version, category, bucket, name, name_version, data, metadata, recorded_at, id "
    "from deedlog_events where position > ? order by position limit ?"
)
METADATA = '{"correlation_id":"0197e2a0-7000-7abc-8def-0123456789ab"}   '


async def main(asked: Options, folder: Path) -> None:
    events = asked.pick(50_000, 10_000)
    log = folder / "log.db"
    await write_log(log, events)
    reader = connect(log)
    results = await compare(asked, [Case("catch up", read_and_decode(reader, events), catch_up(log, folder, events), 0.25)])
    reader.close()
    settings = {
        "events": events,
        "keys": events // 2,
        "page": MAX_PAGE,
        "payload_bytes": len(encoded(Registered, key_of(1))),
        "row": "6 columns, one of them a Decimal, one a time",
        "synchronous": "NORMAL for the read model",
    }
    report("project", "events/s", asked, results, settings)


async def write_log(path: Path, events: int) -> None:
    """Each parcel is registered once and moved once, most of them many pages later: their rows must be loaded."""
    app = service(path)
    await app.start(projections=False)
    await app.stop()
    connection = connect(path, "off")
    connection.execute("begin")
    connection.executemany(INSERT, rows(events))
    connection.execute("commit")
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()


def rows(events: int) -> list[tuple[int, str, int, str, int, str, int, str, str, int, str]]:
    choose = random.Random(7)
    waiting: list[str] = []
    fresh = count(1)
    made = []
    for position in range(1, events + 1):
        left = events - position + 1
        if len(waiting) < left and (not waiting or choose.random() < 0.75):
            waiting.append(key_of(next(fresh)))
            key, version = waiting[-1], 1
        else:
            key, version = waiting.pop(choose.randrange(len(waiting))), 2
        kind = Registered if version == 1 else Moved
        wish = (f"parcel-{key}", version - 1, kind.__name__, encoded(kind, key), METADATA, f"{key}-{version}")
        made.append(row_of(wish, position, version, 1_700_000_000_000_000 + position))
    return made


def encoded(kind: type[Registered] | type[Moved], key: str) -> str:
    return msgspec.json.encode(kind(key, "north", 1200, PRICE, AT, NOTE)).decode()


def read_and_decode(connection: sqlite3.Connection, events: int) -> Callable[[], Awaitable[float]]:
    decoders = {kind.__name__: msgspec.json.Decoder(kind).decode for kind in (Registered, Moved)}

    async def work() -> None:
        after = seen = 0
        while page := connection.execute(SELECT, (after, MAX_PAGE)).fetchall():
            seen += len([decoders[row[5]](row[7]) for row in page])
            after = page[-1][0]
        assert seen == events

    return lambda: timed(events, work)


def catch_up(log: Path, folder: Path, events: int) -> Callable[[], Awaitable[float]]:
    """On a copy of the log whose read model is empty; making the copy is not timed."""
    path = folder / "ours.db"

    async def measure() -> float:
        copy(log, path)
        app = service(path)
        await app.start(projections=False)
        rate = await timed(events, app.catch_up)
        await app.stop()
        return rate

    return measure


def copy(log: Path, path: Path) -> None:
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    shutil.copyfile(log, path)


if __name__ == "__main__":
    given = options(__doc__)
    with workspace(given) as data:
        asyncio.run(main(given, data))
