"""What it takes to be there: importing the package, starting an app on a new file, the command line's help.

Imports and the command line are measured as processes, from start to exit, so the interpreter's own start is in both sides.
"""

import asyncio
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path

from benchmarks.harness import ROOT, Case, Options, compare, options, report, timed, workspace
from benchmarks.parcels import service
from benchmarks.raw import connect, create

LIBRARIES = "import msgspec, asyncio, sqlite3"
HELP = "import sys; sys.argv = ['deedlog', '--help']; from deedlog.ops.cli import main; main()"
BARE_HELP = "import click, sys; sys.argv = ['bare', '--help']; click.Group('bare')()"


async def main(asked: Options, folder: Path) -> None:
    starts = asked.pick(10, 2)
    results = await compare(
        asked,
        [
            Case("import deedlog", process(LIBRARIES), process("import deedlog")),
            Case("bare interpreter to import deedlog", process("pass"), process("import deedlog")),
            Case("start an app on a new file", made_by_hand(folder, starts), started(folder, starts)),
            Case("deedlog --help", process(BARE_HELP), process(HELP)),
        ],
    )
    milliseconds = {result.name: {"raw": median_ms(result.raw), "ours": median_ms(result.ours)} for result in results}
    for name, value in milliseconds.items():
        print(f"  {name:<34} raw {value['raw']:.1f} ms   ours {value['ours']:.1f} ms")
    settings = {"processes_per_round": 1, "app_starts_per_round": starts, "raw_of_import": LIBRARIES}
    report("startup", "starts/s", asked, results, settings, milliseconds=milliseconds)


def median_ms(rates: Sequence[float]) -> float:
    return round(1000 / statistics.median(rates), 2)


def process(program: str) -> Callable[[], Awaitable[float]]:
    """A Python process that runs `program` and ends."""

    async def work() -> None:
        running = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=ROOT, stdout=subprocess.DEVNULL)
        if await running.wait():
            raise RuntimeError(f"it failed: {program}")

    return lambda: timed(1, work)


def started(folder: Path, starts: int) -> Callable[[], Awaitable[float]]:
    """Declarations read, tables made, projections running; and stopped again."""
    numbers = count(1)

    async def work() -> None:
        for _ in range(starts):
            app = service(folder / f"ours-{next(numbers)}.db")
            await app.start()
            await app.stop()

    return lambda: timed(starts, work)


def made_by_hand(folder: Path, starts: int) -> Callable[[], Awaitable[float]]:
    """A new file with the log's tables and the read model's, durably, and closed again."""
    numbers = count(1)

    async def work() -> None:
        for _ in range(starts):
            connection = connect(folder / f"raw-{next(numbers)}.db")
            create(connection)
            connection.execute("create table parcel_row (parcel text primary key, depot text, weight integer) strict")
            connection.close()

    return lambda: timed(starts, work)


if __name__ == "__main__":
    given = options(__doc__)
    with workspace(given) as data:
        asyncio.run(main(given, data))
