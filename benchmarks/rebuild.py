"""The memory that a rebuild takes: a process that builds a read model anew from 1,000,000 events, and does nothing else.

`python -m benchmarks.rebuild --child FILE` is that process. Memory is the most that was ever resident, its code included.
"""

import asyncio
import sys
from pathlib import Path
from time import perf_counter

import msgspec

from benchmarks.harness import ROOT, Limit, Options, options, report_limits, workspace
from benchmarks.logs import long_log
from benchmarks.parcels import service

MOST_MEGABYTES = 200.0


class Rebuilt(msgspec.Struct, frozen=True):
    """What the child says."""

    megabytes: float
    events_per_second: float


async def main(asked: Options, folder: Path) -> None:
    events = asked.pick(1_000_000, 5_000)
    app = await long_log(folder / "parcels.db", events)
    await app.stop()
    runs = [await rebuilt(folder / "parcels.db") for _ in range(min(asked.rounds, 3))]
    limits = [
        Limit("resident memory, MB", [round(run.megabytes, 1) for run in runs], MOST_MEGABYTES),
        Limit("microseconds an event", [round(1e6 / run.events_per_second, 2) for run in runs]),
    ]
    report_limits("rebuild", asked, limits, {"events": events, "keys": events // 2, "synchronous": "NORMAL"})


async def rebuilt(path: Path) -> Rebuilt:
    words = (sys.executable, "-m", "benchmarks.rebuild", "--child", str(path))
    child = await asyncio.create_subprocess_exec(*words, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await child.communicate()
    if child.returncode:
        raise RuntimeError(f"the process that rebuilds ended with {child.returncode}")
    return msgspec.json.decode(said, type=Rebuilt)


async def child(path: Path) -> Rebuilt:
    app = service(path)
    await app.start(projections=False)
    started = perf_counter()
    checkpoint = await app.rebuild("ParcelRow")
    rate = checkpoint.position / (perf_counter() - started)
    await app.stop()
    return Rebuilt(most_megabytes(), rate)


def most_megabytes() -> float:
    """The most that was resident; 0 where the system does not say."""
    if sys.platform == "win32":
        return 0.0
    from resource import RUSAGE_SELF, getrusage

    return getrusage(RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024 * 1024)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(msgspec.json.encode(asyncio.run(child(Path(sys.argv[2])))).decode())
    else:
        given = options(__doc__)
        with workspace(given) as data:
            asyncio.run(main(given, data))
