"""What a long log costs: the same work on a log of 1,000,000 events and on one of 10,000, in turn.

The raw side is the short log, so a ratio below 1 is what growth takes; the target is a cost of at most 1.2 times.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import count, cycle
from pathlib import Path

from benchmarks.append import measure, our_pair
from benchmarks.harness import Case, Measure, Options, compare, options, report, timed, workspace
from benchmarks.logs import long_log, old_key
from benchmarks.parcels import GetParcel, move
from deedlog import App
from deedlog.store.sqlite import SqliteEventStore

TARGET = 1 / 1.2
CALLERS = 64
PAGE = 500


async def main(asked: Options, folder: Path) -> None:
    few, many = asked.pick(10_000, 2_000), asked.pick(1_000_000, 10_000)
    short, long = await long_log(folder / "short.db", few), await long_log(folder / "long.db", many)
    for app in (short, long):
        await app.catch_up()
    turns, loads, pages, asks = asked.pick(20, 2), asked.pick(4, 1), asked.pick(200, 10), asked.pick(5_000, 200)

    def both(name: str, work: Callable[[App, int], Measure]) -> Case:
        return Case(name, work(short, few), work(long, many), TARGET)

    results = await compare(
        asked,
        [
            both("append", lambda app, _: measure(CALLERS, turns, our_pair(store_of(app)))),
            both("command on an aggregate of the log", lambda app, events: measure(CALLERS, loads, moves(app, few, events))),
            both("page of 500 somewhere in the log", lambda app, events: page_reads(app, events, pages)),
            both("query by key", lambda app, events: questions(app, events, asks)),
        ],
    )
    for app in (short, long):
        await app.stop()
    settings = {
        "events": [few, many],
        "callers": {"append": CALLERS, "command": CALLERS, "page": 1, "query": 1},
        "places": "random",
        "synchronous": "FULL",
    }
    report("growth", "per second", asked, results, settings)


def store_of(app: App) -> SqliteEventStore:
    store = app.running.store
    assert isinstance(store, SqliteEventStore)
    return store


def moves(app: App, parcels: int, events: int) -> Callable[[], Awaitable[None]]:
    """Two commands to parcels all over the log, each loaded from there: as many parcels in both logs, in turn."""
    order = cycle(random.Random(7).sample(range(parcels // 2), parcels // 2))

    async def pair() -> None:
        await app.execute(move(old_key(next(order) * (events // parcels))))
        await app.execute(move(old_key(next(order) * (events // parcels))))

    return pair


def page_reads(app: App, events: int, pages: int) -> Measure:
    choose = random.Random(7)

    async def work() -> None:
        for _ in range(pages):
            page = await app.running.store.read_all(choose.randrange(events - PAGE), PAGE)
            assert len(page) == PAGE

    return lambda: timed(pages, work)


def questions(app: App, events: int, asks: int) -> Measure:
    """Other keys in each round."""
    rounds = count(1)

    async def measured() -> float:
        choose = random.Random(next(rounds))
        keys = [old_key(choose.randrange(events // 2)) for _ in range(asks)]

        async def work() -> None:
            for key in keys:
                await app.ask(GetParcel(key))

        return await timed(asks, work)

    return measured


if __name__ == "__main__":
    given = options(__doc__)
    with workspace(given) as data:
        asyncio.run(main(given, data))
