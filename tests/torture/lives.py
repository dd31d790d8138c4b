"""Many files, two at a time, each in a process of its own."""

import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import islice
from pathlib import Path

from deedlog import faults
from tests.faults.bank import short_leases
from tests.torture.life import ROOT, Life, Plan, Record, plans

REPORTS = ROOT / "torture"
KILLS_A_FILE = 25
RANDOM_SHARE = 0.3
PROCESSES = min(2, os.cpu_count() or 1)


def plans_of(seed: str, kills: int) -> list[Plan]:
    """All points in an order of this life's own, and kills at random between."""
    dice = random.Random(f"{seed} order")
    wanted: list[str | None] = [*faults.POINTS]
    wanted += [None] * int(len(wanted) * RANDOM_SHARE / (1 - RANDOM_SHARE))
    dice.shuffle(wanted)
    return plans(seed, kills, wanted)


def live(seed: str, plans: Sequence[Plan]) -> Record:
    """One file. What is wrong with it is kept in `torture/`."""
    short_leases()
    with tempfile.TemporaryDirectory(prefix="deedlog-torture-") as folder:
        life = Life(seed, Path(folder))
        record = life.run(plans)
        if record.wrong:
            REPORTS.mkdir(exist_ok=True)
            life.keep(REPORTS)
    return record


def planned(seed: int, kills: int, first: int) -> Iterator[tuple[str, list[Plan]]]:
    """The seed and plans of each file, from the `first` on, for so many kills together."""
    for number, start in enumerate(range(0, kills, KILLS_A_FILE), first):
        yield f"{seed}-{number}", plans_of(f"{seed}-{number}", min(KILLS_A_FILE, kills - start))


def lives(files: Iterable[tuple[str, Sequence[Plan]]], minutes: float | None = None) -> Iterator[Record]:
    """Records as they come, until all files are done or no other may be started because the time is over."""
    until = time.monotonic() + minutes * 60 if minutes else float("inf")
    files = iter(files)
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(live, *file) for file in islice(files, PROCESSES)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            if time.monotonic() < until:
                running |= {pool.submit(live, *file) for file in islice(files, len(done))}
            for future in done:
                yield future.result()
