"""What the command bus costs around an async handler that stores nothing, in microseconds over awaiting the handler.

The store is the one in memory, so that asking it for its head (the receipt names it) is no disk's business.
"""

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.harness import Case, Options, Result, compare, options, report, timed, workspace
from benchmarks.parcels import Ping, ping, service
from deedlog import App, CommandContext
from deedlog.messages.envelope import Metadata

TARGET_MICROSECONDS = 3.0
MIDDLEWARES = 3


async def main(asked: Options, folder: Path) -> None:
    calls = asked.pick(50_000, 5_000)
    plain, layered, on_disk = service(None), service(None, middlewares=MIDDLEWARES), service(folder / "parcels.db")
    for app in (plain, layered, on_disk):
        await app.start(projections=False)
    bare = handled(calls)
    results = await compare(
        asked,
        [
            Case(f"bus, {MIDDLEWARES} middlewares", bare, proceeded(layered, calls)),
            Case("bus, no middleware", bare, proceeded(plain, calls)),
            Case("bus, no middleware, SQLite store", bare, proceeded(on_disk, calls)),
            Case(f"App.execute, {MIDDLEWARES} middlewares", bare, executed(layered, calls)),
        ],
    )
    for app in (plain, layered, on_disk):
        await app.stop()
    over = {result.name: round(microseconds(result), 2) for result in results}
    for name, value in over.items():
        print(f"  {name:<34} {value:.2f} µs over the bare handler")
    main_case = over[results[0].name]
    settings = {"calls_per_round": calls, "middlewares": MIDDLEWARES, "store": "memory, but for the case that says SQLite"}
    report(
        "dispatch",
        "commands/s",
        asked,
        results,
        settings,
        microseconds_over=over,
        target_microseconds=TARGET_MICROSECONDS,
        met_microseconds=main_case <= TARGET_MICROSECONDS,
    )


def microseconds(result: Result) -> float:
    """Median over the rounds of our time less the bare one."""
    return statistics.median(1e6 / ours - 1e6 / raw for raw, ours in zip(result.raw, result.ours, strict=True))


def handled(calls: int) -> Callable[[], Awaitable[float]]:
    command = Ping("hello")

    async def work() -> None:
        for _ in range(calls):
            await ping(command)

    return lambda: timed(calls, work)


def proceeded(app: App, calls: int) -> Callable[[], Awaitable[float]]:
    context = CommandContext(Ping("hello"), "id", Metadata("id", "id"))
    proceed = app.running.commands.proceed

    async def work() -> None:
        for _ in range(calls):
            await proceed(context)

    return lambda: timed(calls, work)


def executed(app: App, calls: int) -> Callable[[], Awaitable[float]]:
    """The whole way: checks and encodes the command, gives it an id."""
    command = Ping("hello")

    async def work() -> None:
        for _ in range(calls):
            await app.execute(command)

    return lambda: timed(calls, work)


if __name__ == "__main__":
    given = options(__doc__)
    with workspace(given) as data:
        asyncio.run(main(given, data))
