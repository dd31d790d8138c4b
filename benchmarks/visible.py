"""From a command's receipt until an async read model shows it, in milliseconds, projections in the same process.

"seen" is until the projection has committed it, which nobody asked for; "asked" is until a query with the receipt's token is
answered, which hurries the projection.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import TypeAlias

from benchmarks.harness import Limit, Options, gathered, options, report_limits, workspace
from benchmarks.parcels import GetParcel, fresh_key, register, service
from deedlog import App, Receipt

Look: TypeAlias = Callable[[Receipt, str], Awaitable[object]]
MOST = {50: 5.0, 99: 50.0}
CALLERS = (1, 16)


async def main(asked: Options, folder: Path) -> None:
    commands = asked.pick(960, 32)
    app = service(folder / "parcels.db")
    await app.start()
    looks: dict[str, Look] = {"seen": seen_by(app), "asked": asked_of(app)}
    found: dict[str, list[float]] = {}
    for number in range(asked.rounds + 1):
        for callers in CALLERS:
            for name, look in looks.items():
                waits = await milliseconds(app, callers, commands // callers, look)
                cuts = quantiles(waits, n=100, method="inclusive")
                for percent in MOST if number else ():  # the first round warms up
                    shown = f"{name}, {callers} caller{'s' if callers > 1 else ''}, p{percent} ms"
                    found.setdefault(shown, []).append(round(cuts[percent - 1], 3))
    await app.stop()
    limits = [Limit(name, rounds, MOST[int(name.split("p")[-1].split()[0])]) for name, rounds in found.items()]
    settings = {"commands_per_round": commands, "read_models": 1, "synchronous": "FULL"}
    report_limits("visible", asked, limits, settings)


async def milliseconds(app: App, callers: int, turns: int, look: Look) -> list[float]:
    """How long each command's caller waited, from its receipt on."""
    waits: list[float] = []

    async def one() -> None:
        key = fresh_key()
        receipt = await app.execute(register(key))
        started = perf_counter()
        await look(receipt, key)
        waits.append(1e3 * (perf_counter() - started))

    await gathered(callers, turns, one)
    return waits


def seen_by(app: App) -> Look:
    runner = app.running.runners["ParcelRow"]

    async def look(receipt: Receipt, key: str) -> None:
        while runner.checkpoint.position < receipt.position:
            await runner.moved.wait(1.0)

    return look


def asked_of(app: App) -> Look:
    return lambda receipt, key: app.ask(GetParcel(key), after=receipt.token)


if __name__ == "__main__":
    given = options(__doc__)
    with workspace(given) as data:
        asyncio.run(main(given, data))
