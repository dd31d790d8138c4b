"""Cancelled at any await: the app still answers, nothing is left open, and a command is stored whole or not at all."""

import asyncio
import threading
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest

from deedlog import App, Append, Command, Query, Reader, Receipt, Sql
from tests.faults.bank import Account, Balance, Deposit, Deposited, GetBalance, Open, Opened, bank_app
from tests.faults.cancelling import TURNS, at_each_await

WAIT = 10.0
MORE_THAN_CONNECTIONS = 17


class OpenTwo(Command):
    first: str
    second: str


class Look(Query[int]):
    account: str


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    app = bank_app(f"sqlite:///{tmp_path / 'bank.db'}")

    @app.command_handler
    async def open_two(command: OpenTwo) -> list[Append]:
        return [
            Append(f"pair-{name}", [Opened(name, "Ann"), Deposited(name, Decimal(1))]) for name in (command.first, command.second)
        ]

    @app.query
    async def look(query: Look, balances: Reader[Balance], sql: Sql) -> int:
        await balances.get(query.account)
        await balances.find({"owner": "Ann"})
        await sql.all("select count(*) as many from balance")
        return await balances.count()

    async with app:
        await app.execute(Open("a", "Ann"))
        await app.catch_up()
        yield app


class Names:
    """A new name for each turn."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.last = ""

    def next(self) -> str:
        self.last = f"n{next(self._numbers)}"
        return self.last


async def still_answers(app: App, id: str) -> None:
    receipt = await asyncio.wait_for(app.execute(Deposit("a", Decimal(1)), id=id), WAIT)
    answer = await asyncio.wait_for(app.ask(GetBalance("a"), after=receipt.token), WAIT)
    assert answer.value.deposits == receipt.version - 1


async def caused_by(app: App, id: str) -> int:
    events = await app.running.store.read_all(0, 5_000)
    return sum(f'"causation_id":"{id}"' in event.metadata for event in events)


async def test_a_command_is_stored_whole_or_not_at_all(app: App) -> None:
    names = Names()

    async def call() -> None:
        await app.execute(OpenTwo(f"{names.next()}x", f"{names.last}y"), id=names.last)

    async def afterwards(cancelled: bool) -> None:
        await still_answers(app, f"after {names.last}")
        assert await caused_by(app, names.last) in ((0, 4) if cancelled else (4,))
        receipt = await app.execute(OpenTwo(f"{names.last}x", f"{names.last}y"), id=names.last)
        assert len(receipt.events) == 4
        assert await caused_by(app, names.last) == 4

    assert await at_each_await(call, afterwards) >= 1


async def test_a_command_among_others_takes_none_of_them_along(app: App) -> None:
    """They share a batch; one of them is cancelled."""
    names = Names()
    others: list[asyncio.Task[Receipt]] = []

    async def call() -> None:
        name = names.next()
        others[:] = [asyncio.create_task(app.execute(Open(f"{name}-{n}", "Ann"))) for n in range(20)]
        await app.execute(Open(name, "Ann"), id=name)

    async def afterwards(cancelled: bool) -> None:
        assert len(await asyncio.wait_for(asyncio.gather(*others), WAIT)) == 20
        await still_answers(app, f"after {names.last}")

    await at_each_await(call, afterwards)


async def test_a_query_gives_its_connection_back(app: App) -> None:
    """Finding, SQL and counting run on threads: it waits for each. Cancelled at each more often than there are connections."""
    names = Names()

    async def call() -> None:
        assert await app.ask(Look("a")) is not None

    async def afterwards(cancelled: bool) -> None:
        await still_answers(app, names.next())

    for _ in range(MORE_THAN_CONNECTIONS // len(TURNS) + 1):
        assert await at_each_await(call, afterwards) >= 3


async def test_a_query_that_waits_for_its_write(app: App) -> None:
    names = Names()

    async def call() -> None:
        receipt = await app.execute(Deposit("a", Decimal(1)))
        await app.ask(GetBalance("a"), after=receipt.token)

    async def afterwards(cancelled: bool) -> None:
        await still_answers(app, names.next())

    assert await at_each_await(call, afterwards) >= 2


async def test_a_load(app: App) -> None:
    names = Names()

    async def call() -> None:
        assert (await app.load(Account, "a", version=1)).version == 1

    async def afterwards(cancelled: bool) -> None:
        await still_answers(app, names.next())

    await at_each_await(call, afterwards)


async def test_a_projection_folds_each_event_once(tmp_path: Path) -> None:
    app, names = bank_app(f"sqlite:///{tmp_path / 'bank.db'}"), Names()
    await app.start(projections=False)
    await app.execute(Open("a", "Ann"))

    async def afterwards(cancelled: bool) -> None:
        receipt = await app.execute(Deposit("a", Decimal(1)), id=names.next())
        await asyncio.wait_for(app.catch_up(), WAIT)
        answer = await app.ask(GetBalance("a"), after=receipt.token)
        assert answer.value.deposits == receipt.version - 1
        await app.execute(Deposit("a", Decimal(1)))  # for the next turn

    assert await at_each_await(app.catch_up, afterwards) >= 3
    await app.stop()


async def test_a_rebuild_leaves_the_live_rows(app: App) -> None:
    names = Names()

    async def call() -> None:
        await app.rebuild("Balance")

    async def afterwards(cancelled: bool) -> None:
        await still_answers(app, names.next())

    assert await at_each_await(call, afterwards) >= 4


async def test_a_start_leaves_nothing_open_and_can_be_repeated(tmp_path: Path) -> None:
    app, names = bank_app(f"sqlite:///{tmp_path / 'bank.db'}"), Names()

    async def call() -> None:
        await app.start()

    async def afterwards(cancelled: bool) -> None:
        if cancelled:
            assert threads() == []
        await app.execute(Open(names.next(), "Ann"))
        await app.stop()
        assert threads() == []

    assert await at_each_await(call, afterwards) >= 2


async def test_a_stop_leaves_nothing_open(tmp_path: Path) -> None:
    app, names = bank_app(f"sqlite:///{tmp_path / 'bank.db'}"), Names()

    async def call() -> None:
        await app.execute(Open(names.next(), "Ann"))
        await app.stop()

    async def afterwards(cancelled: bool) -> None:
        await app.stop()
        assert threads() == []

    assert await at_each_await(call, afterwards) >= 2


def threads() -> list[str]:
    """Those of a store that is open."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("deedlog")]
