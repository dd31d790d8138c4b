"""Starting and stopping in any order: nobody waits for ever, nothing stays open, nothing starts again by itself."""

import asyncio
from pathlib import Path

import pytest

from deedlog import App, Command, Commands, DeedlogError, Query, Reader, Receipt, Unavailable
from tests.faults.bank import Balance, GetBalance, Open, bank_app

WAIT = 5


@pytest.fixture
def app(tmp_path: Path) -> App:
    return bank_app(f"sqlite:///{tmp_path / 'bank.db'}")


def opens(app: App, count: int) -> "list[asyncio.Task[Receipt]]":
    return [asyncio.create_task(app.execute(Open(f"a{number}", "Ann"))) for number in range(count)]


async def test_stopping_stores_what_was_accepted(app: App) -> None:
    await app.start()
    tasks = opens(app, 2500)
    await asyncio.sleep(0)
    await app.stop()
    assert len(await asyncio.wait_for(asyncio.gather(*tasks), WAIT)) == 2500


async def test_a_stop_that_is_cancelled_leaves_nobody_waiting_and_nothing_open(app: App) -> None:
    await app.start()
    store, reads = app.running.store, app.running.reads
    tasks = opens(app, 2500)
    await asyncio.sleep(0)
    stopping = asyncio.create_task(app.stop())
    await asyncio.sleep(0.002)
    stopping.cancel()
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), WAIT)
    assert all(isinstance(answer, Receipt | Unavailable) for answer in answers)
    with pytest.raises(Unavailable):
        await store.head()
    with pytest.raises(Unavailable):
        await reads.pause("Balance+OwnerTotal", "")


async def test_what_is_just_starting_is_stopped_too(app: App) -> None:
    starting = asyncio.create_task(app.start())
    await asyncio.sleep(0)
    await app.stop()
    await starting
    with pytest.raises(Unavailable):
        app.running  # noqa: B018


async def test_an_app_starts_again_after_it_was_stopped(app: App) -> None:
    await app.start()
    await asyncio.gather(app.stop(), app.start())
    assert (await app.execute(Open("a", "Ann"))).version == 1
    await app.stop()


async def test_a_rebuild_that_is_running_when_the_app_stops_ends(app: App) -> None:
    await app.start()
    await asyncio.gather(*opens(app, 3000))
    rebuilding = asyncio.create_task(app.rebuild("Balance"))
    await asyncio.sleep(0.01)
    await app.stop()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(rebuilding, WAIT)


async def test_a_handler_that_is_running_does_not_start_the_app_again(app: App) -> None:
    class OpenLater(Command):
        account: str

    gate = asyncio.Event()

    @app.command_handler
    async def open_later(command: OpenLater, commands: Commands) -> None:
        await gate.wait()
        await commands.execute(Open(command.account, "Ann"))

    await app.start()
    handling = asyncio.create_task(app.execute(OpenLater("a")))
    await asyncio.sleep(0)
    await app.stop()
    gate.set()
    with pytest.raises(Unavailable):
        await handling
    with pytest.raises(Unavailable):
        app.running  # noqa: B018


async def test_queries_that_are_running_or_waiting_when_the_app_stops_end(app: App) -> None:
    class Slow(Query[int]):
        account: str

    gate, all_inside = asyncio.Event(), asyncio.Barrier(17)

    @app.query
    async def slow(query: Slow, balances: Reader[Balance]) -> int:
        await all_inside.wait()
        await gate.wait()
        return await balances.count()

    await app.start()
    reads = app.running.reads
    slows = [asyncio.create_task(app.ask(Slow("a"))) for _ in range(16)]
    await all_inside.wait()
    waiting = asyncio.create_task(app.ask(GetBalance("a")))
    await asyncio.sleep(0)
    await app.stop()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(waiting, WAIT)
    gate.set()
    for error in await asyncio.wait_for(asyncio.gather(*slows, return_exceptions=True), WAIT):
        assert isinstance(error, Unavailable), error
    with pytest.raises(DeedlogError):
        await reads.checkpoint("Balance+OwnerTotal")
