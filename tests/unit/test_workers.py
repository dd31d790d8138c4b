"""Several workers on one file, in processes of their own: one moves the projections, the others stand by; no event twice."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from deedlog import App, ReadModel, Refused, on, projecting
from deedlog.projections import runner
from tests.docs.pages import ROOT
from tests.faults.bank import Deposited, bank, command_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="other signals there")
WAIT = 20.0
LEASE = 1_000_000
"""Microseconds: short enough to wait for, long enough for a busy machine to renew it in time."""
BEHIND = "select (select max(position) from deedlog_events) - position from deedlog_projections where name = 'Tally'"
Child: TypeAlias = "subprocess.Popen[str]"


class Tally(ReadModel):
    """Folded in the commit of each append."""

    account: str
    deposits: int = 0
    cents: int = 0

    @on(start_missing=True)
    def deposited(self, event: Deposited) -> None:
        self.deposits += 1
        self.cents += int(event.amount * 100)


class SetBack:
    """A clock that is some seconds behind."""

    def __init__(self, seconds: float) -> None:
        self._behind = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return datetime.now(UTC) - self._behind


def tally_app(path: Path | str, behind: float = 0.0) -> App:
    app = App("bank", store=f"sqlite:///{path}", clock=SetBack(behind))
    app.include(bank)
    app.read_model(key="account", mode="inline")(Tally)
    return app


async def work(path: str, behind: float) -> None:
    """A worker, until its input ends."""
    async with tally_app(path, behind):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def write(path: str, seed: str) -> None:
    """Commands from several callers; a line for each that was done."""
    app = tally_app(path)
    await app.start(projections=False)

    async def caller(number: int) -> None:
        for count in range(1_000_000):
            _, command = command_of(f"{seed}-{number}-{count}")
            try:
                await app.execute(command)
            except Refused:
                continue
            print("done", flush=True)

    await asyncio.gather(*(caller(number) for number in range(4)))


def short_leases() -> None:
    for module in (runner, projecting):
        vars(module)["LEASE"] = LEASE


CHILD = """
import asyncio, sys
from tests.unit import test_workers
test_workers.short_leases()
what, path, more = sys.argv[1:]
asyncio.run(test_workers.work(path, float(more)) if what == "work" else test_workers.write(path, more))
"""


@pytest.fixture(autouse=True)
def leases_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LEASE", LEASE)
    monkeypatch.setattr(projecting, "LEASE", LEASE)


@contextmanager
def child_that(what: str, path: Path, more: object, fault: str = "") -> Iterator[Child]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, what, str(path), str(more)],
        cwd=ROOT,
        env={**os.environ, "DEEDLOG_FAULT": fault},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def worker(path: Path, behind: float = 0.0, fault: str = "") -> Any:
    return child_that("work", path, behind, fault)


def lines_of(child: Child, count: int) -> None:
    assert child.stdout is not None
    for _ in range(count):
        assert child.stdout.readline(), "the child ended by itself"


def owner_of(path: Path, name: str = "Balance+OwnerTotal") -> tuple[str, int]:
    """Who has leased a projection, by process id, and in which epoch."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("select owner, epoch from deedlog_projections where name = ? and live", (name,)).fetchone()
    owner, epoch = found if found is not None else ("", 0)
    return (owner.split(":")[1] if owner else "", epoch)


async def until(path: Path, *pids: int, seconds: float = WAIT) -> str:
    """The process that has the lease, once it is one of these."""
    async with asyncio.timeout(seconds):
        while (owner := owner_of(path)[0]) not in {str(pid) for pid in pids}:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.01)  # another process, which can only be asked
    return owner


async def check(path: Path) -> int:
    """Every event changed each row once: all equals a rebuild, and the auditor agrees; how many events there are."""
    async with tally_app(path) as app:
        async with asyncio.timeout(WAIT):
            await app.catch_up()
        for model in ("Balance", "Tally"):
            found = await app.running.projections.verify(model)
            assert found.comparison.different == 0, found.comparison.examples[:3]
            assert found.comparison.same > 0
        assert await app.running.projections.audit(whole=True) == []
        return found.position


@pytest.mark.parametrize("count", [2, 3])
async def test_beside_a_writer_one_of_several_workers_moves_all_and_each_event_counts_once(tmp_path: Path, count: int) -> None:
    path = tmp_path / "bank.db"
    with ExitStack() as children:
        writer = children.enter_context(child_that("write", path, "one"))
        lines_of(writer, 1)
        workers = [children.enter_context(worker(path)) for _ in range(count)]
        for one in workers:
            lines_of(one, 1)
        first = await until(path, *(one.pid for one in workers))
        epoch = owner_of(path)[1]
        lines_of(writer, 300)
        assert owner_of(path) == (first, epoch), "nobody takes what another holds"
    assert await check(path) > 300


async def test_when_the_holder_is_killed_another_takes_over_within_a_lease(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    with child_that("write", path, "one") as writer, worker(path) as first:
        lines_of(writer, 50)
        lines_of(first, 1)
        await until(path, first.pid)
        with worker(path) as second:
            lines_of(second, 1)
            first.kill()
            await until(path, second.pid, seconds=LEASE / 1e6 + 3)
            lines_of(writer, 100)
    await check(path)


async def test_a_clean_stop_gives_the_lease_up_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    with worker(path) as first:
        lines_of(first, 1)
        await until(path, first.pid)
        first.communicate("", timeout=WAIT)
        assert owner_of(path)[0] == ""


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8])
async def test_a_worker_that_is_stopped_as_soon_as_it_is_started_leaves_no_lease(tmp_path: Path, turns: int) -> None:
    path = tmp_path / "bank.db"
    async with tally_app(path):
        for _ in range(turns):
            await asyncio.sleep(0)
    assert (owner_of(path)[0], owner_of(path, "Tally")[0]) == ("", "")


async def test_a_worker_that_sleeps_in_the_middle_of_a_step_adds_nothing_when_it_wakes_up(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    with child_that("write", path, "one") as writer, worker(path, fault="project.begin=stop@5") as sleeper:
        lines_of(writer, 20)
        pid, status = await asyncio.to_thread(os.waitpid, sleeper.pid, os.WUNTRACED)
        assert (pid, os.WIFSTOPPED(status)) == (sleeper.pid, True)
        with worker(path) as second:
            await until(path, second.pid)
            epoch = owner_of(path)[1]
            lines_of(writer, 100)
            sleeper.send_signal(signal.SIGCONT)
            lines_of(writer, 100)
            assert owner_of(path) == (str(second.pid), epoch), "the one that woke up stands by"
            assert sleeper.poll() is None
    await check(path)


async def test_a_worker_whose_clock_was_set_back_and_one_whose_was_not_count_each_event_once(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    with child_that("write", path, "one") as writer, worker(path) as first, worker(path, behind=600.0) as second:
        lines_of(writer, 20)
        lines_of(first, 1)
        lines_of(second, 1)
        await until(path, first.pid, second.pid)
        lines_of(writer, 300)
    await check(path)


async def test_rebuilds_by_a_third_process_beside_two_workers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    with child_that("write", path, "one") as writer, worker(path) as first, worker(path) as second:
        lines_of(writer, 50)
        await until(path, first.pid, second.pid)
        app = tally_app(path)
        await app.start(projections=False)
        for model in ("Balance", "Tally", "Balance"):
            await app.rebuild(model)
            lines_of(writer, 50)
        await app.stop()
    await check(path)


async def test_inline_rows_of_several_writing_processes_are_never_behind_and_equal_a_rebuild(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    with (
        child_that("write", path, "one") as one,
        child_that("write", path, "two") as two,
        child_that("write", path, "three") as three,
    ):
        for _ in range(3):
            for writer in (one, two, three):
                lines_of(writer, 50)
            with closing(sqlite3.connect(path)) as connection:
                behind = (
                    "select (select max(position) from deedlog_events) - position from deedlog_projections where name = 'Tally'"
                )
                assert connection.execute(behind).fetchone() == (0,)
    await check(path)
