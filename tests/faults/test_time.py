"""Clocks that are set back, and handlers that take long: letters m and o of the list of faults."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from deedlog import App, Append, Command, Event, Query, ReadModel, Stale, on
from deedlog.testing import TestClock
from tests.faults.bank import Balance, Deposit, GetBalance, Open, bank, bank_app

BACK = -600.0
WAIT = 10.0


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'bank.db'}"


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
async def app(url: str, clock: TestClock) -> AsyncIterator[App]:
    """Not projecting: a test catches up when it wants to."""
    app = App("bank", store=url, clock=clock)
    app.include(bank)
    await app.start(projections=False)
    yield app
    await app.stop()


async def test_events_after_the_clock_was_set_back_come_after_those_before(app: App, clock: TestClock) -> None:
    await app.execute(Open("a", "Ann"))
    clock.advance(BACK)
    receipt = await app.execute(Deposit("a", Decimal(1)))
    assert (receipt.version, receipt.position) == (2, 2)
    first, second = await app.running.store.read_all()
    assert second.recorded_at < first.recorded_at
    await app.catch_up()
    assert (await app.ask(GetBalance("a"), after=receipt.token)).value.deposits == 1


async def test_a_row_says_when_it_was_changed_last_by_the_clock_of_then(app: App, clock: TestClock) -> None:
    await app.execute(Open("a", "Ann"))
    back = clock.advance(BACK)
    await app.execute(Deposit("a", Decimal(1)))
    await app.catch_up()
    assert (await app.ask(GetBalance("a"))).freshness.updated_at == back


async def test_an_answer_is_never_behind_by_less_than_nothing(app: App, clock: TestClock) -> None:
    """The event that is missing was recorded in what is the future by now."""
    await app.execute(Open("a", "Ann"))
    await app.catch_up()
    await app.execute(Deposit("a", Decimal(1)))
    clock.advance(BACK)
    freshness = (await app.ask(GetBalance("a"))).freshness
    assert (freshness.behind_events, freshness.behind_seconds) == (1, 0.0)


async def test_no_staleness_at_all_trusts_no_clock(app: App, clock: TestClock) -> None:
    await app.execute(Open("a", "Ann"))
    await app.catch_up()
    await app.execute(Deposit("a", Decimal(1)))
    clock.advance(BACK)
    with pytest.raises(Stale):
        await app.ask(GetBalance("a"), max_staleness=0, timeout=0)


async def test_a_command_repeated_after_the_clock_was_set_back_is_done_once(app: App, clock: TestClock) -> None:
    await app.execute(Open("a", "Ann"))
    receipt = await app.execute(Deposit("a", Decimal(1)), id="once")
    clock.advance(BACK)
    assert await app.execute(Deposit("a", Decimal(1)), id="once") == receipt
    assert await app.running.store.head() == 2


async def test_a_rebuild_over_times_that_go_back_is_as_the_live_rows(app: App, clock: TestClock) -> None:
    for number in range(20):
        await app.execute(Open(f"a{number}", "Ann"))
        clock.advance(BACK if number % 3 == 0 else 200)
    await app.catch_up()
    live = [await app.ask(GetBalance(f"a{number}")) for number in range(20)]
    await app.rebuild("Balance")
    assert [await app.ask(GetBalance(f"a{number}")) for number in range(20)] == live


class Wait(Command):
    account: str


class Ask(Query[int]):
    pass


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What slow handlers wait for; opened at the end, so that no thread stays."""
    gate = threading.Event()
    yield gate
    gate.set()


async def others_go_on(app: App) -> None:
    receipt = await asyncio.wait_for(app.execute(Open("b", "Bob")), WAIT)
    answer = await asyncio.wait_for(app.ask(GetBalance("b"), after=receipt.token), WAIT)
    assert answer.value.owner == "Bob"


async def test_a_command_handler_that_waits_holds_up_nobody(url: str) -> None:
    app, gate, inside = bank_app(url), asyncio.Event(), asyncio.Event()

    @app.command_handler
    async def wait(command: Wait) -> None:
        inside.set()
        await gate.wait()

    async with app:
        waiting = asyncio.create_task(app.execute(Wait("a")))
        await inside.wait()
        await others_go_on(app)
        assert not waiting.done()
        gate.set()
        await waiting


async def test_a_plain_command_handler_that_blocks_its_thread_holds_up_nobody(url: str, gate: threading.Event) -> None:
    app, inside = bank_app(url), threading.Event()

    @app.command_handler
    def wait(command: Wait) -> None:
        inside.set()
        gate.wait(WAIT)

    async with app:
        waiting = asyncio.create_task(app.execute(Wait("a")))
        await asyncio.to_thread(inside.wait, WAIT)
        await others_go_on(app)
        assert not waiting.done()
        gate.set()
        await waiting


async def test_a_plain_query_handler_that_blocks_its_thread_holds_up_nobody(url: str, gate: threading.Event) -> None:
    app, inside = bank_app(url), threading.Event()

    @app.query(reads=[Balance])
    def ask(query: Ask) -> int:
        inside.set()
        gate.wait(WAIT)
        return 1

    async with app:
        waiting = asyncio.create_task(app.ask(Ask()))
        await asyncio.to_thread(inside.wait, WAIT)
        await others_go_on(app)
        assert not waiting.done()
        gate.set()
        assert (await waiting).value == 1


async def test_folding_a_long_page_lets_commands_in_between() -> None:
    """A fold runs on the event loop, which breathes after some hundred events: a command is done before all are folded.

    In memory: there a command takes turns of the loop only, so that the outcome is no matter of speed.
    """

    class Happened(Event):
        thing: str

    class Happen(Command):
        times: int

    app, started, folded = bank_app("memory://"), asyncio.Event(), 0

    @app.read_model(key="thing")
    class Happenings(ReadModel):
        thing: str

        @on(start_missing=True)
        def happened(self, event: Happened) -> None:
            nonlocal folded
            folded += 1
            started.set()

    @app.command_handler
    async def happen(command: Happen) -> Append:
        return Append("thing-1", [Happened(f"thing {number}") for number in range(command.times)])

    await app.start(projections=False)
    await app.execute(Happen(4_000))
    folding = asyncio.create_task(app.catch_up())
    await started.wait()
    await app.execute(Open("a", "Ann"))
    assert folded < 4_000
    await folding
    assert folded == 4_000
    await app.stop()
