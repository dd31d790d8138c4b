"""Runs two sides of a comparison in turn, many times, and prints what came out; the last line is one JSON object.

Only the ratio of two runs side by side is worth something: the machine's disk and its other work change by the minute.
So each round runs both sides of each case, and every second round the other way round.
"""

import argparse
import asyncio
import gc
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import msgspec

Measure: TypeAlias = Callable[[], Awaitable[float]]
"""Does its work once and says how fast: operations per second."""

ROOT = Path(__file__).resolve().parent.parent
MEMORY_DISKS = frozenset({"tmpfs", "ramfs", "devtmpfs"})


class Options(msgspec.Struct, frozen=True):
    """How a benchmark was asked to run."""

    quick: bool
    rounds: int
    folder: Path

    def pick(self, full: int, quick: int) -> int:
        """How many of something a round does."""
        return quick if self.quick else full


class Case(msgspec.Struct, frozen=True):
    """One comparison. `target` is the ratio wanted, None where the figure is for information."""

    name: str
    raw: Measure
    ours: Measure
    target: float | None = None


class Result(msgspec.Struct):
    """The rounds of one case: operations per second of both sides, in pairs."""

    name: str
    target: float | None
    raw: list[float] = []
    ours: list[float] = []

    @property
    def ratios(self) -> list[float]:
        return [ours / raw for raw, ours in zip(self.raw, self.ours, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios, not the ratio of the medians."""
        return statistics.median(self.ratios)

    def figures(self) -> dict[str, Any]:
        ratios = self.ratios
        return {
            "ratio": round(self.ratio, 4),
            "min": round(min(ratios), 4),
            "max": round(max(ratios), 4),
            "target": self.target,
            "met": None if self.target is None else self.ratio >= self.target,
            "raw": [round(value, 1) for value in self.raw],
            "ours": [round(value, 1) for value in self.ours],
        }


def options(what: str, rounds: int = 7) -> Options:
    """The command line: `--quick`, `--rounds`, `--dir`."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--quick", action="store_true", help="three short rounds: shows that it runs, not how fast")
    parser.add_argument("--rounds", type=int, default=0, help=f"rounds of each case (default {rounds}, quick 3)")
    parser.add_argument("--dir", type=Path, help="folder on the disk to measure (default: the first temp folder on a disk)")
    given = parser.parse_args()
    return Options(given.quick, given.rounds or (3 if given.quick else rounds), given.dir or _disk_folder())


@contextmanager
def workspace(asked: Options) -> Iterator[Path]:
    """A new folder for the data, gone afterwards. Warns where it is in memory: then a commit waits for no disk."""
    kind = filesystem(asked.folder)
    print(f"data under {asked.folder} ({kind})", flush=True)
    if kind in MEMORY_DISKS:
        print("WARNING: that is memory, not a disk; say --dir: the figures of writes mean nothing here", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="deedlog-bench-", dir=asked.folder))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def timed(operations: int, work: Callable[[], Awaitable[object]]) -> float:
    """Operations per second of `work`, which does that many."""
    gc.collect()
    started = perf_counter()
    await work()
    return operations / (perf_counter() - started)


async def gathered(callers: int, turns: int, one: Callable[[], Awaitable[object]]) -> None:
    """`callers` at the same time, each doing `one` after the other, `turns` times."""

    async def caller() -> None:
        for _ in range(turns):
            await one()

    await asyncio.gather(*(caller() for _ in range(callers)))


async def compare(asked: Options, cases: list[Case]) -> list[Result]:
    """Both sides of all cases, once to warm up and then `rounds` times; the order within a pair alternates."""
    for case in cases:
        await case.raw()
        await case.ours()
    results = [Result(case.name, case.target) for case in cases]
    for number in range(asked.rounds):
        for case, result in zip(cases, results, strict=True):
            if number % 2:
                result.ours.append(await case.ours())
                result.raw.append(await case.raw())
            else:
                result.raw.append(await case.raw())
                result.ours.append(await case.ours())
            shown = f"raw {result.raw[-1]:>11,.1f}   ours {result.ours[-1]:>11,.1f}   ratio {result.ratios[-1]:.3f}"
            print(f"round {number + 1}  {case.name:<34} {shown}", flush=True)
    return results


def report(benchmark: str, unit: str, asked: Options, results: list[Result], settings: dict[str, Any], **more: Any) -> None:
    """A table for people, then the JSON line. The first result is the benchmark's `ratio`."""
    print()
    print(f"{benchmark}, {unit}: median of {asked.rounds} rounds")
    for result in results:
        wanted = (
            "" if result.target is None else f"  target {result.target:g} {'met' if result.ratio >= result.target else 'MISSED'}"
        )
        print(
            f"  {result.name:<34} raw {statistics.median(result.raw):>11,.1f}   ours {statistics.median(result.ours):>11,.1f}"
            f"   ratio {result.ratio:.3f} ({min(result.ratios):.3f}-{max(result.ratios):.3f}){wanted}"
        )
    first = results[0].figures()
    line = {
        "benchmark": benchmark,
        "ratio": first["ratio"],
        "target": first["target"],
        "met": first["met"],
        "unit": unit,
        "cases": {result.name: result.figures() for result in results},
        **more,
        "settings": {**_machine(asked), **settings},
    }
    print(msgspec.json.encode(line).decode(), flush=True)


class Limit(msgspec.Struct, frozen=True):
    """Something measured that must not be more than `most`, where that is given. Its unit stands in its name."""

    name: str
    rounds: list[float]
    most: float | None = None

    @property
    def value(self) -> float:
        return statistics.median(self.rounds)

    @property
    def met(self) -> bool | None:
        return None if self.most is None else self.value <= self.most


def report_limits(benchmark: str, asked: Options, limits: list[Limit], settings: dict[str, Any]) -> None:
    """As `report`, for what is no ratio."""
    print()
    print(f"{benchmark}: median of the rounds")
    for limit in limits:
        wanted = "" if limit.most is None else f"  at most {limit.most:g} {'met' if limit.met else 'MISSED'}"
        spread = f"({min(limit.rounds):,.3g}-{max(limit.rounds):,.3g})"
        print(f"  {limit.name:<44} {limit.value:>9,.3g} {spread}{wanted}")
    figures = {
        limit.name: {"value": limit.value, "most": limit.most, "met": limit.met, "rounds": limit.rounds} for limit in limits
    }
    judged = [limit.met for limit in limits if limit.met is not None]
    line = {"benchmark": benchmark, "met": all(judged), "limits": figures, "settings": {**_machine(asked), **settings}}
    print(msgspec.json.encode(line).decode(), flush=True)


def _machine(asked: Options) -> dict[str, Any]:
    return {
        "quick": asked.quick,
        "rounds": asked.rounds,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cpus": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "filesystem": filesystem(asked.folder),
        "commit": _commit(),
    }


def _commit() -> str:
    """The commit measured; a plus where `src` differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", "src") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def filesystem(folder: Path) -> str:
    """The kind of file system that `folder` is on, `unknown` where the system does not say."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown"
    found, longest = "unknown", -1
    real = folder.resolve()
    for line in mounts.read_text(encoding="utf-8").splitlines():
        _, point, kind, *_ = line.split(" ")
        if len(point) > longest and real.is_relative_to(point.replace("\\040", " ")):
            found, longest = kind, len(point)
    return found


def _disk_folder() -> Path:
    """The system's temp folder; where that is in memory, the one that outlives a boot; else the checkout."""
    places = [Path(tempfile.gettempdir()), *([Path("/var/tmp")] if sys.platform != "win32" else []), ROOT]
    for place in places:
        if place.is_dir() and os.access(place, os.W_OK) and filesystem(place) not in MEMORY_DISKS:
            return place
    return places[0]
