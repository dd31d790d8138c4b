"""Who moves a projection, and how soon the next one does when that worker is no more."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deedlog.messages.envelope import to_micros
from deedlog.projections.runner import LEASE
from deedlog.projections.worker import Worker, is_gone
from deedlog.types import SystemClock
from tests.faults.bank import GetBalance, Open, bank_app


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bank.db'}"


async def held_by(url: str, owner: str) -> None:
    """Leases every projection to `owner`, for as long as a lease may be."""
    app = bank_app(url)
    running = await app.start(projections=False)
    now = to_micros(SystemClock().now())
    for runner in running.runners.values():
        assert await running.reads.lease(runner.projection.projected, runner.checkpoint, owner, now, now + LEASE) is not None
    await app.stop()


def ended_process() -> int:
    """The number of a process that was here, and is no more."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_worker_of_this_process_is_there_until_it_ends() -> None:
    worker = Worker(SystemClock())
    assert not is_gone(worker.name)
    worker.end()
    assert is_gone(worker.name)


def test_a_process_that_has_ended_is_gone_and_one_elsewhere_may_be_alive() -> None:
    ended = ended_process()
    assert is_gone(f"{socket.gethostname()}:{ended}:0123")
    assert not is_gone(f"{socket.gethostname()}:{os.getppid()}:0123")
    assert not is_gone(f"another-machine:{ended}:0123")
    assert not is_gone("")
    assert not is_gone("words")


async def test_the_lease_of_a_dead_process_is_not_waited_for(url: str) -> None:
    await held_by(url, f"{socket.gethostname()}:{ended_process()}:0123")
    async with bank_app(url) as app:
        receipt = await app.execute(Open("a", "Ann"))
        assert (await app.ask(GetBalance("a"), after=receipt.token)).value.owner == "Ann"
        assert app.running.runners["Balance+OwnerTotal"].checkpoint.epoch == 2


async def test_the_lease_of_another_machine_is_waited_for(url: str) -> None:
    await held_by(url, "another-machine:1:0123")
    async with bank_app(url) as app:
        assert await app.running.runners["Balance+OwnerTotal"].step() == 0
        assert app.running.runners["Balance+OwnerTotal"].checkpoint.owner == "another-machine:1:0123"


def test_after_a_loop_that_ended_without_a_stop_the_next_moves_on_at_once(url: str) -> None:
    app = bank_app(url)

    async def first() -> None:
        await app.execute(Open("a", "Ann"))
        await app.catch_up()

    async def second() -> None:
        receipt = await app.execute(Open("b", "Bob"))
        assert (await app.ask(GetBalance("b"), after=receipt.token)).value.owner == "Bob"
        await app.stop()

    asyncio.run(first())
    asyncio.run(second())


async def test_a_stop_gives_the_leases_up(url: str) -> None:
    async with bank_app(url) as first:
        await first.catch_up()
        store = first.running.reads
        assert (await store.generations("Balance+OwnerTotal"))[0].owner == first.running.projections.worker.name
    second = bank_app(url)
    await second.start(projections=False)
    assert (await second.running.reads.generations("Balance+OwnerTotal"))[0].owner == ""
    await second.stop()
