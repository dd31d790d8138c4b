"""`App.execute` on an aggregate against the hand-written coalescing writer that stores the same bytes, ready-made.

The raw side neither loads, decides, encodes nor checks anything but the version: the ratio says what the command path costs
on top of a bare append. Half of the commands start an aggregate, half go to one that exists.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from benchmarks.append import measure, raw_pair
from benchmarks.harness import Case, Measure, Options, compare, options, report, workspace
from benchmarks.parcels import event_text, fresh_key, move, register, service
from benchmarks.raw import RawLog, commit, connect, create
from deedlog import App
from deedlog.ids import new_id
from deedlog.messages.envelope import Metadata

DATA = event_text(fresh_key())
METADATA = msgspec.json.encode(Metadata(new_id(), new_id())).decode()


async def main(asked: Options, folder: Path) -> None:
    many, one = asked.pick(100, 8), asked.pick(400, 20)
    logs = [RawLog(folder / f"raw-{number}.db") for number in range(5)]
    apps = [service(folder / f"ours-{number}.db") for number in range(5)]
    own, alone, shared, with_ids, projecting = apps
    for app in apps:
        await app.start(projections=app is projecting)
    hot = await hot_parcel(shared)
    plain = connect(folder / "plain.db")
    create(plain)

    def raw(number: int, callers: int = 64) -> Measure:
        """A log of its own for each case, so that both sides' files grow alike."""
        return measure(callers, many if callers > 1 else one, raw_pair(logs[number], METADATA))

    def ours(pair: Callable[[], Awaitable[None]], callers: int = 64) -> Measure:
        return measure(callers, many if callers > 1 else one, pair)

    results = await compare(
        asked,
        [
            Case("64 callers", raw(0), ours(commands(own)), 0.6),
            Case("1 caller", raw(1, 1), ours(commands(alone), 1), 0.8),
            Case("1 caller, raw is a blocking commit", ours(plain_commits(plain), 1), ours(commands(alone), 1)),
            Case("one hot aggregate, 64 callers", raw(2), ours(hot)),
            Case("hot aggregate, raw is 64 callers' own", ours(commands(own)), ours(hot), 0.5),
            Case("64 callers with ids", raw(3), ours(commands(with_ids, ids=True))),
            Case("64 callers, projections on", raw(4), ours(commands(projecting))),
        ],
    )
    for app in apps:
        await app.stop()
    for log in logs:
        log.close()
    plain.close()
    settings = {
        "callers": [64, 1],
        "commands_per_round": {"64": 128 * many, "1": 2 * one},
        "payload_bytes": len(DATA),
        "metadata_bytes": len(METADATA),
        "aggregates": "half new, half existing",
        "synchronous": "FULL",
    }
    report("command", "commands/s", asked, results, settings)


def commands(app: App, *, ids: bool = False) -> Callable[[], Awaitable[None]]:
    """Two commands to an aggregate of its own. With `ids` each is done once (P4)."""

    async def pair() -> None:
        key = fresh_key()
        await app.execute(register(key), id=f"{key}-1" if ids else None)
        await app.execute(move(key), id=f"{key}-2" if ids else None)

    return pair


async def hot_parcel(app: App) -> Callable[[], Awaitable[None]]:
    """Two commands to the one aggregate that all callers share."""
    await app.execute(register("hot"))

    async def pair() -> None:
        await app.execute(move("hot"))
        await app.execute(move("hot"))

    return pair


def plain_commits(connection: sqlite3.Connection) -> Callable[[], Awaitable[None]]:
    """One event, one commit, no thread, no waiting for others: the least that a durable append can cost."""

    async def pair() -> None:
        key = fresh_key()
        commit(connection, [(f"parcel-{key}", 0, "Registered", DATA, METADATA, f"{key}-1")])
        commit(connection, [(f"parcel-{key}", 1, "Registered", DATA, METADATA, f"{key}-2")])

    return pair


if __name__ == "__main__":
    given = options(__doc__)
    with workspace(given) as data:
        asyncio.run(main(given, data))
