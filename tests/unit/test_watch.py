"""Live queries: the answer first, then a new one each time it changes; slow listeners, errors, and how it ends."""

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator, Awaitable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest

from deedlog import (
    App,
    Building,
    InvalidMessage,
    Misuse,
    Module,
    NotFound,
    Query,
    Reader,
    ReadModel,
    Stale,
    UnknownMessage,
    on,
    starts,
)
from deedlog.queries import watch
from deedlog.sync import Sync
from tests.faults.bank import Balance, Deposit, GetBalance, Open, Opened, Rename, Renamed, bank_app

ONE = Decimal(1)
T = TypeVar("T")


class GetTotal(Query[Decimal]):
    pass


class GetTwice(Query[str]):
    account: str


class Odd(Query[Any]):
    pass


class Now(Query[int]):
    pass


live = Module()
asked: list[str] = []


@live.read_model(key="account", mode="live")
class LiveOwner(ReadModel):
    account: str
    owner: str

    @starts
    @classmethod
    def opened(cls, event: Opened) -> "LiveOwner":
        return cls(event.account, event.owner)


@live.query
async def twice(query: GetTwice, owners: Reader[LiveOwner]) -> str:
    return (await owners.get(query.account)).owner


@live.query
async def total(query: GetTotal, balances: Reader[Balance]) -> Decimal:
    asked.append("total")
    return Decimal(sum(row.balance for row in (await balances.find()).rows))


@live.query
async def odd(query: Odd, balances: Reader[Balance]) -> Any:
    return object()


@live.query
def now(query: Now) -> int:
    return 7


async def soon(what: Awaitable[T]) -> T:
    """The result, or a failed test; nobody waits for ever."""
    async with asyncio.timeout(10):
        return await what


@pytest.fixture(params=["memory", "sqlite"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    app = bank_app("memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'bank.db'}")
    app.include(live)
    asked.clear()
    async with app:
        yield app


async def opened(app: App) -> None:
    await app.execute(Open("a", "Ann"))
    await app.catch_up()


async def test_the_answer_comes_first_and_a_new_one_when_it_changes(app: App) -> None:
    await opened(app)
    async with app.watch(GetBalance("a")) as answers:
        assert (await soon(anext(answers))).value.balance == 0
        receipt = await app.execute(Deposit("a", ONE))
        answer = await soon(anext(answers))
        assert answer.value.balance == ONE
        assert answer.freshness.position >= receipt.position


async def test_what_does_not_change_the_answer_gives_none(app: App) -> None:
    await opened(app)
    async with app.watch(GetBalance("a")) as answers:
        await soon(anext(answers))
        await app.execute(Open("b", "Bob"))
        await app.execute(Rename("a", "Anna"))
        assert (await soon(anext(answers))).value.owner == "Anna"


async def test_the_last_of_many_changes_is_always_told(app: App) -> None:
    await opened(app)
    async with app.watch(GetBalance("a")) as answers:
        await asyncio.gather(*(app.execute(Deposit("a", ONE)) for _ in range(50)))
        async with asyncio.timeout(10):
            async for answer in answers:
                if answer.value.balance == 50:
                    break
        assert answers.lost == 0


async def test_the_token_of_a_write_is_in_the_first_answer(app: App) -> None:
    for number in range(10):
        receipt = await app.execute(Open(f"a{number}", "Ann"))
        async with app.watch(GetBalance(f"a{number}"), after=receipt.token) as answers:
            assert (await soon(anext(answers))).freshness.position >= receipt.position


async def test_a_token_that_can_not_be_met_is_stale_and_tried_again(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = await app.execute(Open("a", "Ann"))
    await app.catch_up()
    monkeypatch.setattr(watch, "FIRST_SECONDS", 0.01)
    token = receipt.token.rpartition(".")[0] + ".2"
    async with app.watch(GetBalance("a"), after=token) as answers:
        with pytest.raises(Stale):
            await soon(anext(answers))
        await app.execute(Deposit("a", ONE))
        await app.catch_up()
        assert (await soon(anext(answers))).value.balance == ONE


async def test_many_who_watch_the_same_share_one_evaluation(app: App) -> None:
    await opened(app)
    listeners = [app.watch(GetTotal()) for _ in range(20)]
    await soon(asyncio.gather(*(anext(answers) for answers in listeners)))
    assert (app.running.watching.queries, len(asked)) == (1, 1)
    await app.execute(Deposit("a", ONE))
    answers = await soon(asyncio.gather(*(anext(answers) for answers in listeners)))
    assert {answer.value for answer in answers} == {ONE}
    assert len(asked) == 2
    for listener in listeners:
        await listener.aclose()


async def test_who_joins_later_is_answered_with_how_fresh_it_is_now(app: App) -> None:
    await opened(app)
    async with app.watch(GetTotal()) as first, app.watch(GetTotal()) as second:
        await soon(anext(first))
        await app.execute(Open("b", "Bob"))
        await app.catch_up()
        answer = await soon(anext(second))
        assert answer.value == 0
        assert (answer.freshness.position, answer.freshness.head) == (2, 2)


async def test_a_slow_listener_loses_the_oldest_and_knows_how_many(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FLOOR_SECONDS", 0.0)
    await opened(app)
    async with app.watch(GetBalance("a")) as slow, app.watch(GetBalance("a")) as quick:
        await soon(anext(slow))
        await soon(anext(quick))
        for _ in range(watch.KEPT + 5):
            await app.execute(Deposit("a", ONE))
            await soon(anext(quick))
        kept = [(await soon(anext(slow))).value.balance for _ in range(watch.KEPT)]
    assert kept == [Decimal(number) for number in range(6, watch.KEPT + 6)]
    assert (slow.lost, quick.lost) == (5, 0)


async def test_what_is_not_there_is_raised_once_and_the_watch_goes_on(app: App) -> None:
    async with app.watch(GetBalance("a")) as answers:
        with pytest.raises(NotFound):
            await soon(anext(answers))
        await app.execute(Open("b", "Bob"))
        await app.execute(Open("a", "Ann"))
        assert (await soon(anext(answers))).value.owner == "Ann"


async def test_an_answer_that_is_no_json_is_misuse(app: App) -> None:
    async with app.watch(Odd()) as answers:
        with pytest.raises(Misuse, match="no JSON"):
            await soon(anext(answers))


async def test_a_live_model_is_watched_by_the_head_of_the_log(app: App) -> None:
    async with app.watch(GetTwice("a")) as answers:
        with pytest.raises(NotFound):
            await soon(anext(answers))
        await app.execute(Open("a", "Ann"))
        assert (await soon(anext(answers))).value == "Ann"


async def test_a_query_without_read_models_is_answered_once(app: App) -> None:
    async with app.watch(Now()) as answers:
        assert (await soon(anext(answers))).value == 7


async def test_a_query_that_can_not_be_is_refused_at_the_first_iteration(app: App) -> None:
    with pytest.raises(InvalidMessage):
        await anext(app.watch(GetBalance(7)))  # type: ignore[arg-type]
    with pytest.raises(UnknownMessage):
        await anext(app.watch(Opened("a", "Ann")))


async def test_the_end_of_a_with_block_leaves_nothing_running(app: App) -> None:
    await opened(app)
    before = asyncio.all_tasks()
    async with app.watch(GetBalance("a")) as answers, app.watch(GetTwice("a")) as others:
        await soon(anext(answers))
        await soon(anext(others))
    assert app.running.watching.queries == 0
    assert asyncio.all_tasks() <= before


async def test_a_closed_watch_is_over_for_who_waits_in_it(app: App) -> None:
    await opened(app)
    answers = app.watch(GetBalance("a"))
    await soon(anext(answers))
    waiting = asyncio.ensure_future(anext(answers, None))
    await asyncio.wait([waiting], timeout=0)
    await answers.aclose()
    assert await soon(waiting) is None
    assert await anext(answers, None) is None


async def test_a_wait_that_is_cancelled_does_not_end_the_watch(app: App) -> None:
    await opened(app)
    async with app.watch(GetBalance("a")) as answers:
        await soon(anext(answers))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(answers), 0)
        await app.execute(Deposit("a", ONE))
        assert (await soon(anext(answers))).value.balance == ONE


async def test_a_watch_that_was_dropped_is_forgotten(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)
    await opened(app)
    answers = app.watch(GetBalance("a"))
    await soon(anext(answers))
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "deedlog watch GetBalance"]
    del answers
    gc.collect()
    await soon(task)
    assert app.running.watching.queries == 0


async def test_a_stop_of_the_app_ends_the_iteration(app: App) -> None:
    await opened(app)
    answers = app.watch(GetBalance("a"))
    await soon(anext(answers))
    waiting = asyncio.ensure_future(anext(answers, None))
    await asyncio.wait([waiting], timeout=0)
    await app.stop()
    assert await soon(waiting) is None
    assert await soon(anext(answers, None)) is None
    assert not [task for task in asyncio.all_tasks() if "watch" in task.get_name()]


bad: set[str] = set()


class GetPicky(Query[str]):
    account: str


@live.read_model(key="account")
class Picky(ReadModel):
    account: str
    owner: str

    @on
    def renamed(self, event: Renamed) -> None:
        if event.account in bad:
            raise ValueError("not this one")
        self.owner = event.owner

    @starts
    @classmethod
    def opened(cls, event: Opened) -> "Picky":
        return cls(event.account, event.owner)


@live.query
async def get_picky(query: GetPicky, rows: Reader[Picky]) -> str:
    return (await rows.get(query.account)).owner


async def test_a_row_that_is_taken_up_from_the_dead_letters_is_a_new_answer(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)
    await opened(app)
    bad.add("a")
    await app.execute(Rename("a", "Anna"))
    await app.catch_up()
    async with app.watch(GetPicky("a")) as answers:
        first = await soon(anext(answers))
        assert (first.value, first.freshness.parked) == ("Ann", 1)
        bad.clear()
        await app.running.projections.letters_of("Picky").retry()
        answer = await soon(anext(answers))
        assert (answer.value, answer.freshness.parked) == ("Anna", 0)


async def test_a_read_model_that_is_being_built_is_told_so_and_then_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)
    url = f"sqlite:///{tmp_path / 'bank.db'}"
    async with bank_app(url) as before:
        await before.execute(Open("a", "Ann"))
    after = bank_app(url)
    after.include(live)  # with a read model that is new
    await after.start(projections=False)
    async with after.watch(GetPicky("a")) as answers:
        with pytest.raises(Building):
            await soon(anext(answers))
        await after.catch_up()
        assert (await soon(anext(answers))).value == "Ann"
    await after.stop()


async def test_nothing_is_missed_that_a_later_look_would_have_to_find(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "IDLE_SECONDS", 1_000.0)
    monkeypatch.setattr(watch, "POLL_SECONDS", 1_000.0)
    monkeypatch.setattr(watch, "FLOOR_SECONDS", 0.001)
    await opened(app)
    async with app.watch(GetTwice("a")) as names, app.watch(GetBalance("a")) as balances:
        await soon(anext(balances))
        await soon(anext(names))
        for number in range(1, 100):
            await app.execute(Deposit("a", ONE))
            while (await soon(anext(balances))).value.balance < number:
                pass
        await app.execute(Open("b", "Bob"))
        async with app.watch(GetTwice("b")) as others:
            assert (await soon(anext(others))).value == "Bob"


async def test_what_another_process_moves_is_watched_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bank.db'}"
    looker, mover = bank_app(url), bank_app(url)
    await looker.start(projections=False)
    async with mover, looker.watch(GetBalance("a")) as answers:
        with pytest.raises(NotFound):
            await soon(anext(answers))
        await mover.execute(Open("a", "Ann"))
        assert (await soon(anext(answers))).value.owner == "Ann"
    await looker.stop()


async def test_an_age_that_can_not_be_had_is_stale_once_and_then_answered(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(watch, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)
    await opened(app)
    await app.running.projections.pause("Balance", by="Ann", why="a look")
    await app.execute(Deposit("a", ONE))
    async with app.watch(GetBalance("a"), max_staleness=0) as answers:
        with pytest.raises(Stale):
            await soon(anext(answers))
        await app.running.projections.resume("Balance")
        assert (await soon(anext(answers))).value.balance == ONE


def test_the_blocking_twin_has_the_same_parameters() -> None:
    assert inspect.signature(Sync.watch).parameters == inspect.signature(App.watch).parameters


def test_a_blocking_caller_gets_a_plain_iterator(tmp_path: Path) -> None:
    app = bank_app(f"sqlite:///{tmp_path / 'bank.db'}")
    with app.sync as bank:
        receipt = bank.execute(Open("a", "Ann"))
        with bank.watch(GetBalance("a"), after=receipt.token) as answers:
            assert next(answers).value.balance == 0
            bank.execute(Deposit("a", ONE))
            assert next(answers).value.balance == ONE
            assert answers.lost == 0
        assert list(answers) == []


def test_a_blocking_caller_hears_of_the_stop(tmp_path: Path) -> None:
    app = bank_app(f"sqlite:///{tmp_path / 'bank.db'}")
    app.sync.execute(Open("a", "Ann"))
    app.sync.catch_up()
    answers = app.sync.watch(GetBalance("a"))
    next(answers)
    app.sync.stop()
    assert list(answers) == []
