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

import msgspec

from deedlog import NotFound
from tests.faults.bank import GetBalance
from tests.torture.checks import Ack, Acks, Findings, Known, send
from tests.torture.inspection import inspect
from tests.torture.load import CALLERS, IMPORT, Options, id_of
from tests.torture.mending import check_at_once
from tests.torture.service import ACCOUNTS, MODELS, torture_app

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
POINT_SECONDS = 8.0
FIRST_RANDOM, LAST_RANDOM = 0.05, 0.9
UNCHECKED = 0.25
"""So often a kill follows the last without a check between: also recovery is interrupted."""
PAIRED = 0.2
"""So often a second process works on the file, and goes on when the first is killed."""
STOPPED, STOPPED_SECONDS = 0.5, 0.5
"""So often that one is stopped for a while, for longer than its leases."""
WILD = ("import", "close", "rebuild", "switch")
"""A calm child does not come to these."""
CALM, SPOILT = 0.4, 0.6
"""So often a child does nothing that leaves an inline model behind; so often its folds fail at some accounts."""


class Plan(NamedTuple):
    """How a child is killed: at a point, the `at`-th time, or after so many seconds."""

    point: str | None
    at: int
    seconds: float
    paired: bool
    checked: bool
    stopped: bool = False
    calm: bool = False
    calls: bool = True
    unfoldable: tuple[str, ...] = ()

    @property
    def fault(self) -> str:
        return f"{self.point}=kill@{self.at}" if self.point else ""

    def __str__(self) -> str:
        where = f"{self.point} the {self.at}. time" if self.point else f"{self.seconds:.3f} s after its start"
        beside = f", beside a second process{', stopped for a while' if self.stopped else ''}" if self.paired else ""
        spoilt = f", folds fail at {' '.join(self.unfoldable)}" if self.unfoldable else ""
        return where + beside + spoilt + (", calm" if self.calm else "")


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
        calm = dice.random() < CALM and not (point and point.partition(".")[0] in WILD)
        stopped, calls, spoilt = dice.random() < STOPPED, dice.random() < 0.5, dice.random() < SPOILT
        spoilt = spoilt and not (surely and point and point.startswith("switch"))  # a rebuild that parks keys does not switch
        accounts = tuple(f"a{account}" for account in dice.sample(range(ACCOUNTS), dice.randint(1, 6))) if spoilt else ()
        found.append(Plan(point, at, seconds, paired, checked, paired and stopped, calm, calls, accounts))
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


def copy_of(path: Path, other: Path) -> Path:
    """A copy of a file, and of what SQLite has beside it."""
    for ending in ("", "-wal"):
        if (source := Path(f"{path}{ending}")).exists():
            shutil.copy(source, f"{other}{ending}")
    return other


class Child:
    """A process that works on the file. Its lines are read when it is dead."""

    def __init__(self, path: Path, seed: str, options: Options, fault: str = "") -> None:
        self.seed = seed
        self.options = options
        self._out = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `acks`
        environment = {**os.environ, "DEEDLOG_FAULT": fault}
        command = [sys.executable, "-m", "tests.torture.child", str(path), seed, msgspec.json.encode(options).decode()]
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=self._out, stderr=subprocess.PIPE)

    def ends_within(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop_for(self, seconds: float) -> None:
        """It stands still, wherever it is."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

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
        self._settled = True

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
        copy_of(self.path, folder / f"{self.record.seed}.db")

    def _kill(self, plan: Plan, seed: str) -> None:
        self._settled = self._settled and plan.calm
        options = Options(plan.unfoldable, plan.calm, self._settled, forget_before=self._known.forget_before)
        sound = msgspec.structs.replace(options, unfoldable=(), calls=plan.calls)
        second = Child(self.path, f"{seed}b", sound) if plan.paired else None
        first = Child(self.path, f"{seed}a", options, plan.fault)
        if second is not None and plan.stopped:
            second.ends_within(plan.seconds)
            second.stop_for(STOPPED_SECONDS)
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
        if child.options.calls:
            self._unknown += [id_of(child.seed, caller, last.get(caller, 0) + 1) for caller in range(CALLERS)]

    def _acknowledged(self, id: str, ack: Ack) -> None:
        if id not in self._last:
            self.record.acknowledged += 1
        if self._last.setdefault(id, ack) != ack:
            self.record.wrong.append(f"two receipts of {id}: {self._last[id]}, {ack}")

    def _restart(self) -> list[str]:
        """What is wrong after it; an error that nobody should get, too."""
        found = Findings()
        try:
            self._look(found)
            if not found.wrong:
                asyncio.run(self._check(found))
        except Exception:
            return [*found.wrong, traceback.format_exc()]
        self.record.checks += found.checks
        return found.wrong

    def _look(self, found: Findings) -> None:
        """At a copy, so that it is the service that recovers the file."""
        with tempfile.TemporaryDirectory(prefix="deedlog-torture-") as folder:
            if self.path.exists():
                copied = copy_of(self.path, Path(folder) / "copy.db")
                check_at_once(copied, self._known, found, calm=self._settled)

    async def _check(self, found: Findings) -> None:
        """Restarts on the file, and checks it. The app has recovered when it has answered a command and a fresh query."""
        now = int(time.time() * 1e6)
        started = time.perf_counter()
        async with torture_app(f"sqlite:///{self.path}") as app:
            for name in MODELS:
                await app.running.projections.resume(name)
            probed = await send(app, self._unknown[:1])
            with suppress(NotFound):
                await app.ask(GetBalance("a0"), max_staleness=0)
            self.record.recoveries.append(time.perf_counter() - started)
            await inspect(app, self.path, self._last | probed, self._known, self._unknown, found, self._dice)
            self._last, self._unknown, self._known.forget_before, self._settled = {}, [], now, True
            self.record.events = await app.running.store.head()
