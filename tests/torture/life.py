"""One file over many kills: run a child, kill it at a point or at random, restart, check; again on the same file."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from deedlog import NotFound, faults
from tests.faults.bank import GetBalance, bank_app
from tests.torture.checks import Ack, Acks, Findings, Known, check_file, send
from tests.torture.load import CALLERS, IMPORT, id_of

ROOT = Path(__file__).parents[2]
RANDOM = "at random"
MOST = {
    "schema": 2,
    "prepare": 1,
    "append": 60,
    "project": 25,
    "rebuild": 3,
    "switch": 3,
    "import": 6,
    "close": 3,
    "snapshot": 20,
    "forget": 6,
    "lease": 5,
}
"""A point is killed at its first to at most this many-th time."""
EARLY = 3
UNREACHED: dict[str, str] = {
    "repair": "no such work yet",
    "letters": "no such work yet",
}
"""Works that no child comes to, with the reason."""
POINT_SECONDS = 8.0
FIRST_RANDOM, LAST_RANDOM = 0.05, 0.9
UNCHECKED = 0.25
"""So often a kill follows the last without a check between: also recovery is interrupted."""
PAIRED = 0.2
"""So often a second process works on the file, and goes on when the first is killed."""


class Plan(NamedTuple):
    """How a child is killed: at a point, the `at`-th time, or after so many seconds."""

    point: str | None
    at: int
    seconds: float
    paired: bool
    checked: bool

    @property
    def fault(self) -> str:
        return f"{self.point}=kill@{self.at}" if self.point else ""

    def __str__(self) -> str:
        where = f"{self.point} the {self.at}. time" if self.point else f"{self.seconds:.3f} s after its start"
        return where + (", beside a second process" if self.paired else "")


def points() -> list[str]:
    return [point for point in faults.POINTS if point.partition(".")[0] not in UNREACHED]


def plans(seed: str, kills: int, wanted: Sequence[str | None], *, surely: bool = False) -> list[Plan]:
    """So many kills, each wanted point in turn; None is at random. The same seed gives the same plans.

    `surely`: early, and alone, since a second process may have the lease; then each point is reached.
    """
    dice = random.Random(seed)
    found = []
    for number in range(kills):
        point = wanted[number % len(wanted)]
        most = MOST[point.partition(".")[0]] if point else 0
        at = dice.randint(1, min(most, EARLY) if surely else most) if point else 0
        seconds = dice.uniform(FIRST_RANDOM, LAST_RANDOM)
        paired = dice.random() < PAIRED and not (point and surely)
        checked = number == kills - 1 or dice.random() >= UNCHECKED
        found.append(Plan(point, at, seconds, paired, checked))
    return found


@dataclass
class Record:
    """What came of one life."""

    seed: str
    kills: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)
    events: int = 0
    acknowledged: int = 0
    checks: int = 0
    wrong: list[str] = field(default_factory=list)


def ack_of(words: Sequence[str]) -> Ack:
    stream, version, position, count = words
    return Ack(stream, int(version), int(position), int(count))


class Child:
    """A process that works on the file. Its lines are read when it is dead."""

    def __init__(self, path: Path, seed: str, fault: str, forget_before: int) -> None:
        self.seed = seed
        self._out = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `acks`
        environment = {**os.environ, "DEEDLOG_FAULT": fault}
        command = [sys.executable, "-m", "tests.torture.load", str(path), seed, str(forget_before)]
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=self._out, stderr=subprocess.PIPE)

    def ends_within(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        self._process.kill()

    def said(self) -> list[str]:
        """All its lines; one that it ended by itself with is an error."""
        _, errors = self._process.communicate()
        with self._out as out:
            out.seek(0)
            lines = out.read().decode().splitlines()
        if self._process.returncode != -signal.SIGKILL:
            lines.append(f"WRONG the child ended by itself, {self._process.returncode}: {errors.decode()[-2000:]}")
        return lines


class Life:
    """One file, from nothing to the end of its plans."""

    def __init__(self, seed: str, folder: Path) -> None:
        self.record = Record(seed)
        self.path = folder / "bank.db"
        self._known = Known()
        self._last: Acks = {}
        self._unknown: list[str] = []
        self._dice = random.Random(f"{seed} checks")

    def run(self, plans: Sequence[Plan]) -> Record:
        for number, plan in enumerate(plans, 1):
            self._kill(plan, f"{self.record.seed}-{number}")
            if plan.checked:
                self.record.wrong += [f"after kill {number} ({plan}): {what}" for what in self._restart()]
            if self.record.wrong:
                break  # what follows would only repeat it
        return self.record

    def keep(self, folder: Path) -> None:
        """Copies the file, for who wants to look at what is wrong."""
        for ending in ("", "-wal"):
            source = Path(f"{self.path}{ending}")
            if source.exists():
                shutil.copy(source, folder / f"{self.record.seed}.db{ending}")

    def _kill(self, plan: Plan, seed: str) -> None:
        second = Child(self.path, f"{seed}b", "", self._known.forget_before) if plan.paired else None
        first = Child(self.path, f"{seed}a", plan.fault, self._known.forget_before)
        ended = first.ends_within(POINT_SECONDS if plan.point else plan.seconds)
        first.kill()
        if plan.point and not ended:
            self.record.missed[plan.point] += 1
        self.record.kills[plan.point if plan.point and ended else RANDOM] += 1
        self._heard(first)
        if second is not None:
            second.ends_within(0.1)
            second.kill()
            self.record.kills[RANDOM] += 1
            self._heard(second)

    def _heard(self, child: Child) -> None:
        last: dict[int, int] = {}
        for line in child.said():
            word, *rest = line.split(" ")
            if word == "WRONG":
                self.record.wrong.append(line)
            elif word == "CLOSED":
                self._known.closed[rest[0]] = int(rest[1])
            elif word.startswith(IMPORT):
                self._known.imports[word] = ack_of(rest)
            else:
                self._acknowledged(word, ack_of(rest))
                caller, number = word.removeprefix(child.seed).split("-")[1:]
                last[int(caller)] = int(number)
        self._unknown += [id_of(child.seed, caller, last.get(caller, 0) + 1) for caller in range(CALLERS)]

    def _acknowledged(self, id: str, ack: Ack) -> None:
        if id not in self._last:
            self.record.acknowledged += 1
        if self._last.setdefault(id, ack) != ack:
            self.record.wrong.append(f"two receipts of {id}: {self._last[id]}, {ack}")

    def _restart(self) -> list[str]:
        """What is wrong after it; an error that nobody should get, too."""
        try:
            found = asyncio.run(self._check())
        except Exception:
            return [traceback.format_exc()]
        self.record.checks += found.checks
        return found.wrong

    async def _check(self) -> Findings:
        """Restarts on the file, and checks it. The app has recovered when it has answered a command and a fresh query."""
        now = int(time.time() * 1e6)
        started = time.perf_counter()
        async with bank_app(f"sqlite:///{self.path}") as app:
            probed = await send(app, self._unknown[:1])
            with suppress(NotFound):
                await app.ask(GetBalance("a0"), max_staleness=0)
            self.record.recoveries.append(time.perf_counter() - started)
            found = await check_file(app, self.path, self._last | probed, self._known, self._unknown, self._dice)
            self._last, self._unknown, self._known.forget_before = {}, [], now
            self.record.events = await app.running.store.head()
        return found
