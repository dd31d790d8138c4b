"""Several processes on one file: started at once, writing at once, paused, killed. Letters l, m, n of the list of faults."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deedlog import projecting
from deedlog.projections import runner
from tests.docs.pages import ROOT
from tests.faults.bank import LEASE, Deposit, GetBalance, Open, bank_app
from tests.torture.checks import Findings, check_order
from tests.torture.plain import log_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="other signals there")
SEED = 20261125
WAIT = 20.0


@pytest.fixture(autouse=True)
def leases_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the children, so that nobody takes what another has leased for longer."""
    monkeypatch.setattr(runner, "LEASE", LEASE)
    monkeypatch.setattr(projecting, "LEASE", LEASE)


START = """
import asyncio, sys
from tests.faults.bank import Open, bank_app

async def main():
    async with bank_app(f"sqlite:///{sys.argv[1]}") as app:
        await app.execute(Open(sys.argv[2], "Ann"))
        print(app.running.store.id)

asyncio.run(main())
"""


PROJECT = """
import asyncio, sys
from tests.faults.bank import bank_app, short_leases

async def main():
    async with bank_app(f"sqlite:///{sys.argv[1]}"):
        await asyncio.Event().wait()

short_leases()
asyncio.run(main())
"""


@pytest.mark.parametrize("turn", range(10))
def test_processes_that_start_at_once_on_no_file_or_an_empty_one_agree(tmp_path: Path, turn: int) -> None:
    path, names = tmp_path / "bank.db", "abcd"[: 2 + 2 * (turn % 2)]
    if turn % 4 < 2:
        path.touch()
    command = [sys.executable, "-c", START, str(path)]
    children = [
        subprocess.Popen([*command, name], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for name in names
    ]
    answers = [child.communicate(timeout=WAIT) for child in children]
    assert [child.returncode for child in children] == [0] * len(names), answers
    assert len({out for out, _ in answers}) == 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select position from deedlog_events").fetchall() == [(n + 1,) for n in range(len(names))]


@contextmanager
def loaded(path: Path, seed: str, fault: str = "") -> Iterator["subprocess.Popen[str]"]:
    """A child that sends commands for ever and prints what is acknowledged; killed at the end."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.bank", str(path), seed],
        cwd=ROOT,
        env={**os.environ, "DEEDLOG_FAULT": fault},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def acknowledged(child: "subprocess.Popen[str]", count: int) -> list[str]:
    """The next so many lines of a child."""
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(count)]
    assert all(lines), "the child ended by itself"
    return lines


def is_stopped(child: "subprocess.Popen[Any]") -> None:
    """Returns when the child has stopped itself."""
    pid, status = os.waitpid(child.pid, os.WUNTRACED)
    assert (pid, os.WIFSTOPPED(status)) == (child.pid, True)


async def check(path: Path) -> int:
    """No hole, no event twice, read models equal to a rebuild; how many events."""
    async with bank_app(f"sqlite:///{path}") as app:
        log, found = log_of(path), Findings()
        check_order(log, found)
        assert found.wrong == []
        for name in app.running.runners:  # what that process was doing may have left one paused
            await app.running.reads.pause(name, "")
        await app.catch_up()
        live = rows(path)
        await app.rebuild("Balance")
        assert rows(path) == live
        return len(log)


def rows(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("select * from balance order by account").fetchall()


async def test_two_processes_under_load_make_one_log(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    with loaded(path, "one") as one, loaded(path, "two") as two:
        lines = acknowledged(one, 150) + acknowledged(two, 150) + acknowledged(one, 150) + acknowledged(two, 150)
    stored = {(stream, int(version), int(position)) for _, stream, version, position in map(str.split, lines)}
    await check(path)
    with closing(sqlite3.connect(path)) as connection:
        commands = set(connection.execute("select stream, version, position from deedlog_commands"))
    assert stored <= commands


@pytest.mark.parametrize("point", ["append.commit", "switch.commit"])
async def test_a_process_that_is_paused_with_the_lock_holds_others_up_and_loses_nothing(tmp_path: Path, point: str) -> None:
    """The others wait for it, still answer queries, and go on when it does: what it had begun is stored, too."""
    path = tmp_path / "bank.db"
    async with bank_app(f"sqlite:///{path}") as app:
        receipt = await app.execute(Open("here", "Ann"))
        await app.ask(GetBalance("here"), after=receipt.token)
        with paused(path, point) as child:
            await asyncio.to_thread(is_stopped, child)
            waiting = asyncio.create_task(app.execute(Deposit("here", Decimal(1))))
            assert (await app.ask(GetBalance("here"))).value.owner == "Ann"
            assert not waiting.done()
            child.send_signal(signal.SIGCONT)
            assert (await asyncio.wait_for(waiting, WAIT)).version == 2
            child.kill()
    await check(path)


@contextmanager
def paused(path: Path, point: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A child that stops itself when it comes to a fault point for the first time."""
    work = {"append": ["-m", "tests.faults.bank"], "switch": ["-m", "tests.torture.child"], "project": ["-c", PROJECT]}
    child = subprocess.Popen(
        [sys.executable, *work[point.partition(".")[0]], str(path), "paused"],
        cwd=ROOT,
        env={**os.environ, "DEEDLOG_FAULT": f"{point}=stop"},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


async def test_a_process_that_is_paused_without_the_lock_finds_its_work_done_when_it_goes_on(tmp_path: Path) -> None:
    """It was about to write a page; meanwhile this process writes it. What it then writes is refused, not added."""
    path = tmp_path / "bank.db"
    app = bank_app(f"sqlite:///{path}")
    await app.start(projections=False)
    await app.execute(Open("here", "Ann"))
    with paused(path, "project.begin") as child:
        await asyncio.to_thread(is_stopped, child)
        await app.execute(Deposit("here", Decimal(1)))
        await app.catch_up()
        child.send_signal(signal.SIGCONT)
        receipt = await app.execute(Deposit("here", Decimal(1)))  # folded by the child: nobody does it here
        answer = await app.ask(GetBalance("here"), after=receipt.token, timeout=WAIT)
        assert (answer.value.deposits, answer.value.balance) == (2, Decimal(2))
    await app.stop()
    assert await check(path) == 3


async def test_a_process_killed_with_the_lock_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    with loaded(path, "one", "append.commit=kill@20") as one, loaded(path, "two") as two:
        assert await asyncio.to_thread(one.wait, WAIT) == -signal.SIGKILL
        acknowledged(two, 200)
    await check(path)


async def test_pauses_and_kills_at_random_times(tmp_path: Path) -> None:
    """One process works all the time, the other is paused, continued and killed beside it."""
    path, dice = tmp_path / "bank.db", random.Random(SEED)
    with loaded(path, "steady") as steady:
        acknowledged(steady, 1)
        for turn in range(4):
            with loaded(path, f"paused{turn}") as other:
                acknowledged(other, dice.randrange(1, 40))
                other.send_signal(signal.SIGSTOP)
                is_stopped(other)
                other.send_signal(signal.SIGCONT)
                acknowledged(other, dice.randrange(1, 40))
            acknowledged(steady, 60)
    await check(path)
