"""A command's own time: what is raised when it is over, what is stored, and that the aggregate stays usable."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from deedlog import App, Append, Command, CommandContext, Commands, DeadlineExceeded, Event, Proceed, Receipt, Unavailable
from tests.faults.bank import Deposit, Open, bank_app
from tests.unit.test_commands import ONE

LONG = 60.0
SHORT = 0.02


class Stall:
    """Holds every batch that the writer takes until it is let go."""

    def __init__(self, app: App) -> None:
        self.free = asyncio.Event()
        self.taken = asyncio.Event()
        coalescer = app.running.store._coalescer  # type: ignore[attr-defined]
        self._write = coalescer._write
        coalescer._write = self._stalled
        self._later: list[asyncio.Task[None]] = []

    def _stalled(self, batch: list[Any], answer: Any) -> None:
        self.taken.set()
        self._later.append(asyncio.create_task(self._when_free(batch, answer)))

    async def _when_free(self, batch: list[Any], answer: Any) -> None:
        await self.free.wait()
        self._write(batch, answer)


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> App:
    return bank_app("memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'bank.db'}")


async def test_a_command_that_is_done_in_time_gives_its_receipt(app: App) -> None:
    async with app:
        assert (await app.execute(Open("a", "Ann"), timeout=LONG)).version == 1


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan")])
async def test_no_time_at_all_is_over_before_anything_happens(app: App, timeout: float) -> None:
    async with app:
        with pytest.raises(DeadlineExceeded) as caught:
            await app.execute(Open("a", "Ann"), timeout=timeout)
        assert (caught.value.stored, caught.value.data["stored"]) == (False, False)
        assert await app.running.store.head() == 0


async def test_a_command_whose_time_is_over_before_its_turn_is_not_stored(app: App) -> None:
    async with app:
        await app.execute(Open("a", "Ann"))
        stall = Stall(app)
        first = asyncio.create_task(app.execute(Deposit("a", ONE)))
        await stall.taken.wait()
        with pytest.raises(DeadlineExceeded, match="repeat it with the same id") as caught:
            await app.execute(Deposit("a", ONE), timeout=SHORT)
        assert caught.value.waited >= SHORT
        stall.free.set()
        assert (await first).version == 2
        assert (await app.execute(Deposit("a", ONE))).version == 3


async def test_a_command_that_was_being_stored_may_have_been_and_is_repeated_with_its_id(app: App) -> None:
    async with app:
        await app.execute(Open("a", "Ann"))
        stall = Stall(app)
        with pytest.raises(DeadlineExceeded) as caught:
            await app.execute(Deposit("a", ONE), id="d1", timeout=SHORT)
        assert caught.value.stored is None
        stall.free.set()
        assert (await app.execute(Deposit("a", ONE), id="d1")).version == 2
        assert await app.running.store.head() == 2


async def test_those_behind_a_command_whose_time_is_over_decide_on_what_is_stored(app: App) -> None:
    async with app:
        await app.execute(Open("a", "Ann"))
        stall = Stall(app)
        first = asyncio.create_task(app.execute(Deposit("a", ONE)))
        await stall.taken.wait()
        hasty = asyncio.create_task(app.execute(Deposit("a", ONE), timeout=SHORT))
        behind = [asyncio.create_task(app.execute(Deposit("a", ONE))) for _ in range(5)]
        with pytest.raises(DeadlineExceeded):
            await hasty
        stall.free.set()
        assert [(await task).version for task in (first, *behind)] == [2, 3, 4, 5, 6, 7]


class Ask(Command):
    account: str


class Asked(Event):
    account: str


async def test_a_handler_is_cancelled_and_nothing_is_stored(app: App) -> None:
    cancelled = asyncio.Event()

    @app.command_handler
    async def ask(command: Ask) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with app:
        with pytest.raises(DeadlineExceeded) as caught:
            await app.execute(Ask("a"), timeout=SHORT)
        assert caught.value.stored is False
        assert cancelled.is_set()


async def test_a_handler_that_had_sent_a_command_may_have_stored_something(app: App) -> None:
    @app.command_handler
    async def ask(command: Ask, commands: Commands) -> None:
        await commands.execute(Open("a", "Ann"))
        await asyncio.Event().wait()

    async with app:
        with pytest.raises(DeadlineExceeded) as caught:
            await app.execute(Ask("a"), timeout=0.2)
        assert caught.value.stored is None
        assert await app.running.store.head() == 1


async def test_a_plain_handler_goes_on_but_what_it_returns_is_not_stored(app: App) -> None:
    free, done = threading.Event(), threading.Event()
    app.event(Asked)

    @app.command_handler
    def ask(command: Ask) -> Append:
        free.wait(LONG)
        done.set()
        return Append("asked-a", [Asked("a")])

    async with app:
        with pytest.raises(DeadlineExceeded) as caught:
            await app.execute(Ask("a"), timeout=SHORT)
        assert caught.value.stored is False
        free.set()
        await asyncio.to_thread(done.wait, LONG)
        await app.execute(Open("a", "Ann"))
        assert await app.running.store.head() == 1


async def test_a_timeout_of_the_handlers_own_leaves_as_it_is(app: App) -> None:
    @app.command_handler
    async def ask(command: Ask) -> None:
        raise TimeoutError("the catalogue does not answer")

    async with app:
        with pytest.raises(TimeoutError, match="catalogue"):
            await app.execute(Ask("a"), timeout=LONG)


async def test_middleware_counts_too(app: App) -> None:
    @app.middleware
    async def slow(context: CommandContext, proceed: Proceed) -> Receipt:
        await asyncio.Event().wait()
        return await proceed(context)

    async with app:
        with pytest.raises(Unavailable) as caught:
            await app.execute(Open("a", "Ann"), timeout=SHORT)
        assert caught.value.code == "deadline_exceeded"
