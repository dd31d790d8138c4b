"""Read models that are folded in the commit of each append, beside it, or when they are read: one declaration, one answer."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deedlog import App, InvalidDeclaration, Misuse, NotSupported, Query, Reader, ReadModel, Sql, starts
from deedlog.errors import InvalidMessage
from tests.faults.bank import Balance, Deposit, GetBalance, Open, Opened, OwnerTotal, bank_app


class Total(ReadModel):
    owner: str
    count: int = 0
    cents: int = 0

    @starts
    @classmethod
    def opened(cls, event: Opened) -> "Total":
        if event.owner == "nobody":
            raise ValueError("nobody owns nothing")
        return cls(event.owner)


class GetTotal(Query[Total]):
    owner: str


class CountBoth(Query[tuple[int, int]]):
    pass


@pytest.fixture(params=["memory", "sqlite"])
def url(request: Any, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'bank.db'}"


def app_with(url: str, mode: Any) -> App:
    app = bank_app(url)
    app.read_model(key="owner", mode=mode)(Total)

    @app.query
    async def get_total(query: GetTotal, totals: Reader[Total]) -> Total:
        return await totals.get(query.owner)

    @app.query
    async def count_both(query: CountBoth, totals: Reader[Total], balances: Reader[Balance]) -> tuple[int, int]:
        return await totals.count(), await balances.count()

    return app


async def test_an_inline_row_is_there_with_the_receipt_though_nothing_runs(url: str) -> None:
    app = app_with(url, "inline")
    await app.start(projections=False)
    try:
        await asyncio.gather(*(app.execute(Open(f"a{n}", f"owner {n}")) for n in range(50)))
        answer = await app.ask(GetTotal("owner 7"), timeout=0)
        assert answer.value == Total("owner 7")
        assert answer.freshness.behind_events == 0
    finally:
        await app.stop()


async def test_an_inline_model_that_is_behind_is_brought_to_the_head_and_is_inline_again(url: str) -> None:
    if url == "memory://":
        return
    async with bank_app(url) as before:
        await before.execute(Open("a", "Ann"))
    app = app_with(url, "inline")
    await app.start(projections=False)
    try:
        await app.execute(Open("b", "Bob"))
        assert (await app.running.reads.current(app.running.runners["Total"].projection.projected)).position == 0  # type: ignore[union-attr]
        await app.catch_up()
        await app.execute(Open("c", "Cem"))
        assert (await app.ask(GetTotal("Cem"), timeout=0)).value == Total("Cem")
        assert (await app.ask(GetTotal("Ann"), timeout=0)).value == Total("Ann")
    finally:
        await app.stop()


async def test_a_bad_event_parks_its_key_inline_too_and_the_command_goes_through(url: str) -> None:
    app = app_with(url, "inline")
    await app.start(projections=False)
    try:
        receipt = await app.execute(Open("x", "nobody"))
        assert receipt.version == 1
        await app.execute(Open("a", "Ann"))
        assert (await app.ask(GetTotal("Ann"), timeout=0)).value == Total("Ann")
        letters = await app.running.projections.letters_of("Total").list()
        assert [(letter.key, letter.position) for letter in letters] == [("nobody", 1)]
    finally:
        await app.stop()


async def test_inline_rows_equal_a_rebuild(url: str) -> None:
    app = app_with(url, "inline")
    async with app:
        await asyncio.gather(*(app.execute(Open(f"a{n}", f"owner {n % 5}")) for n in range(40)))
        found = await app.running.projections.verify("Total")
        assert (found.comparison.different, found.position) == (0, 40)
        assert await app.running.projections.audit(whole=True) == []


async def test_a_live_row_is_folded_when_it_is_read(url: str) -> None:
    app = app_with(url, "live")
    await app.start(projections=False)
    try:
        await app.execute(Open("a", "Ann"))
        assert (await app.ask(GetTotal("Ann"))).value == Total("Ann")
        await app.execute(Open("b", "Bob"))
        answer = await app.ask(GetTotal("Bob"))
        assert (answer.value, answer.freshness.behind_events) == (Total("Bob"), 0)
        assert "Total" not in app.running.runners
    finally:
        await app.stop()


async def test_live_and_stored_models_are_read_in_one_query(url: str) -> None:
    app = app_with(url, "live")
    async with app:
        receipt = await app.execute(Open("a", "Ann"))
        assert (await app.ask(CountBoth(), after=receipt.token)).value == (1, 1)


async def test_a_live_model_has_no_sql(url: str) -> None:
    class ByHand(Query[int]):
        pass

    app = app_with(url, "live")

    @app.query(reads=[Total])
    async def by_hand(query: ByHand, sql: Sql) -> int:
        return len(await sql.all("select * from total"))

    async with app:
        with pytest.raises(NotSupported):
            await app.ask(ByHand())


def test_models_that_look_each_other_up_have_one_mode() -> None:
    app = App("modes", store="memory://")
    app.read_model(key="account", indexes=["owner"], mode="inline")(Balance)
    app.read_model(key="owner")(OwnerTotal)
    with pytest.raises(InvalidDeclaration, match="give both the same mode"):
        app.build()


def test_an_unknown_mode_is_refused_with_its_place() -> None:
    app = App("modes", store="memory://")
    app.read_model(key="owner", mode="sometimes")(Total)  # type: ignore[arg-type]
    with pytest.raises(InvalidDeclaration, match=r"test_modes\.py:\d+: mode 'sometimes' of Total"):
        app.build()


async def test_a_strong_query_folds_what_is_missing(url: str) -> None:
    app = bank_app(url)
    await app.start(projections=False)
    try:
        await app.execute(Open("a", "Ann"))
        answer = await app.ask(GetBalance("a"), strong=True)
        assert (answer.value.owner, answer.freshness.behind_events) == ("Ann", 0)
    finally:
        await app.stop()


async def test_a_query_of_the_past_gives_the_rows_of_then(url: str) -> None:
    async with bank_app(url) as app:
        await app.execute(Open("a", "Ann"))
        receipt = await app.execute(Deposit("a", Decimal(5)))
        await app.execute(Deposit("a", Decimal(7)))
        then = await app.ask(GetBalance("a"), at=receipt.position)
        assert (then.value.balance, then.value.deposits) == (Decimal(5), 1)
        assert then.freshness.position == receipt.position
        with pytest.raises(InvalidMessage, match="at: position 9"):
            await app.ask(GetBalance("a"), at=9)


async def test_a_row_is_explained_by_the_events_that_made_it(url: str) -> None:
    async with bank_app(url) as app:
        await app.execute(Open("a", "Ann"))
        await app.execute(Open("b", "Bob"))
        await app.execute(Deposit("a", Decimal(5)))
        changes = await app.explain("Balance", "a")
        assert [(one.recorded.position, one.handler) for one in changes] == [(1, "Balance.opened"), (3, "Balance.deposited")]
        assert changes[0].before is None
        assert (changes[1].before.balance, changes[1].after.balance) == (0, 5)  # type: ignore[union-attr]


async def test_a_live_model_has_nothing_to_rebuild_and_says_so(url: str) -> None:
    async with app_with(url, "live") as app:
        with pytest.raises(Misuse, match="Total is folded when it is read"):
            await app.rebuild("Total")
