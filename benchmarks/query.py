"""`App.ask` for one row by key against the bare SELECT that builds the same row object from the same table.

The bare SELECT promises nothing about freshness. The second case does by hand what the answer's freshness takes: a snapshot,
the checkpoint and the head of the log in it; the difference between the two is the price of the promise, not of Python.
Asks that follow each other within a millisecond share a read transaction; the third case keeps them apart.
"""

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.harness import Case, Options, compare, options, report, timed, workspace
from benchmarks.parcels import GetParcel, ParcelRow, service
from benchmarks.project import write_log
from benchmarks.raw import connect
from deedlog import App

SELECT = "select parcel, depot, weight, price, moves, last, _position, _updated_at from parcel_row__g1 where parcel = ?"
CHECKPOINT = "select position, updated_at from deedlog_projections where name = 'ParcelRow' and live = 1"
HEAD = "select seq from sqlite_sequence where name = 'deedlog_events'"


async def main(asked: Options, folder: Path) -> None:
    rows, asks = asked.pick(20_000, 2_000), asked.pick(10_000, 1_000)
    path = folder / "parcels.db"
    await write_log(path, rows * 2)
    app = service(path)
    await app.start(projections=False)
    await app.catch_up()
    raw = connect(path)
    keys = [key for (key,) in raw.execute("select parcel from parcel_row")]
    assert len(keys) == rows
    keys = random.Random(7).sample(keys, asks)
    bare = selects(raw, keys, get)
    by_hand = selects(raw, keys, get_with_freshness)
    asking = questions(app, keys)
    few = keys[: asked.pick(400, 40)]
    results = await compare(
        asked,
        [
            Case("get by key", bare, asking, 0.4),
            Case("raw with freshness by hand", by_hand, asking),
            Case(
                "get by key, 2 ms apart",
                apart(few, lambda key: done(get(raw, key))),
                apart(few, lambda key: app.ask(GetParcel(key))),
            ),
        ],
    )
    await app.stop()
    raw.close()
    settings = {"rows": rows, "asks_per_round": asks, "callers": 1, "keys": "random, each once a round", "journal": "WAL"}
    report("query", "answers/s", asked, results, settings)


def get(connection: sqlite3.Connection, key: str) -> ParcelRow:
    parcel, depot, weight, price, moves, last, _, _ = connection.execute(SELECT, (key,)).fetchone()
    return ParcelRow(parcel, depot, weight, Decimal(price), moves, datetime.fromisoformat(last))


def get_with_freshness(connection: sqlite3.Connection, key: str) -> tuple[ParcelRow, int, int, int]:
    connection.execute("begin")
    position, updated = connection.execute(CHECKPOINT).fetchone()
    (head,) = connection.execute(HEAD).fetchone()
    row = get(connection, key)
    connection.execute("rollback")
    return row, position, head, updated


def selects(
    connection: sqlite3.Connection, keys: list[str], one: Callable[[sqlite3.Connection, str], Any]
) -> Callable[[], Awaitable[float]]:
    async def work() -> None:
        for key in keys:
            one(connection, key)

    return lambda: timed(len(keys), work)


def apart(keys: list[str], one: Callable[[str], Awaitable[Any]]) -> Callable[[], Awaitable[float]]:
    """Only the time inside the calls counts; before each, the loop is idle for two milliseconds."""

    async def measure() -> float:
        inside = 0.0
        for key in keys:
            await asyncio.sleep(0.002)
            started = perf_counter()
            await one(key)
            inside += perf_counter() - started
        return len(keys) / inside

    return measure


async def done(value: Any) -> Any:
    return value


def questions(app: App, keys: list[str]) -> Callable[[], Awaitable[float]]:
    async def work() -> None:
        for key in keys:
            await app.ask(GetParcel(key))

    return lambda: timed(len(keys), work)


if __name__ == "__main__":
    given = options(__doc__)
    with workspace(given) as data:
        asyncio.run(main(given, data))
