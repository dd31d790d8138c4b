"""Queries: read your writes, freshness, refusals, SQL, several models in one snapshot."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deedlog import (
    App,
    Building,
    InvalidMessage,
    Misuse,
    Module,
    NotFound,
    NotSupported,
    Query,
    Reader,
    ReadModel,
    Sql,
    Stale,
    UnknownMessage,
    starts,
)
from deedlog.consistency.token import positions_in, token_of
from deedlog.testing import TestClock
from tests.faults.bank import Account, Balance, Deposit, GetBalance, Open, Opened, OwnerTotal, Rename, bank, bank_app

ONE = Decimal(1)


class Summary(msgspec.Struct):
    owner: str
    accounts: int


class BySql(Query[list[Summary]]):
    pass


class Both(Query[tuple[Balance, Decimal]]):
    account: str


class Bad(Query[list[Any]]):
    statement: str


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> App:
    return with_queries(bank_app("memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'bank.db'}"))


@pytest.fixture
def sql_app(tmp_path: Path) -> App:
    return with_queries(bank_app(f"sqlite:///{tmp_path / 'bank.db'}"))


def with_queries(app: App) -> App:
    @app.query(reads=[Balance])
    async def by_sql(query: BySql, sql: Sql) -> list[Summary]:
        return await sql.all("select owner, count(*) as accounts from balance group by owner order by owner", into=Summary)

    @app.query
    async def both(query: Both, balances: Reader[Balance], totals: Reader[OwnerTotal]) -> tuple[Balance, Decimal]:
        return await balances.get(query.account), (await totals.get("everybody")).total

    @app.query
    async def bad(query: Bad, sql: Sql) -> list[Any]:
        return await sql.all(query.statement)

    return app


async def test_a_query_with_the_token_of_a_write_sees_that_write(app: App) -> None:
    async with app:
        for number in range(50):
            receipt = await app.execute(Open(f"a{number}", "Ann"))
            answer = await app.ask(GetBalance(f"a{number}"), after=receipt.token)
            assert answer.value.owner == "Ann"
            assert answer.freshness.position >= receipt.position


async def test_many_readers_of_their_own_writes(app: App) -> None:
    async def write_and_read(number: int) -> None:
        receipt = await app.execute(Open(f"a{number}", "Ann"))
        receipt = await app.execute(Deposit(f"a{number}", ONE))
        assert (await app.ask(GetBalance(f"a{number}"), after=receipt.token)).value.balance == ONE

    async with app:
        await asyncio.gather(*(write_and_read(number) for number in range(200)))


async def test_an_answer_that_can_not_be_fresh_enough_in_time_is_stale(app: App) -> None:
    await app.start(projections=False)
    receipt = await app.execute(Open("a", "Ann"))
    with pytest.raises(Stale) as caught:
        await app.ask(GetBalance("a"), after=receipt.token, timeout=0.05)
    assert caught.value.reached == 0
    assert caught.value.waited >= 0.05
    await app.stop()


async def test_without_a_demand_an_old_answer_says_how_old_it_is(app: App) -> None:
    await app.start(projections=False)
    await app.execute(Open("a", "Ann"))
    await app.catch_up()
    await app.execute(Deposit("a", ONE))
    await app.execute(Deposit("a", ONE))
    fresh = (await app.ask(GetBalance("a"))).freshness
    assert (fresh.position, fresh.head, fresh.behind_events) == (1, 3, 2)
    assert fresh.behind_seconds > 0
    assert fresh.updated_at is not None
    await app.stop()


async def test_a_demand_on_age_is_met_or_stale(app: App) -> None:
    await app.start(projections=False)
    await app.execute(Open("a", "Ann"))
    await app.catch_up()
    assert (await app.ask(GetBalance("a"), max_staleness=0.0)).freshness.behind_seconds == 0
    await app.execute(Deposit("a", ONE))
    with pytest.raises(Stale, match=r"at most 0\.0 s old"):
        await app.ask(GetBalance("a"), max_staleness=0.0, timeout=0.01)
    await app.stop()


@pytest.mark.parametrize("token", ["", "x", "d1.", "d1.a.b", "d1.a.-1", "d1.a.1.2", "d1.a.²", "d1.a." + "9" * 99])
async def test_a_text_that_is_no_token_is_refused(app: App, token: str) -> None:
    async with app:
        with pytest.raises(InvalidMessage, match="token"):
            await app.ask(GetBalance("a"), after=token)


async def test_a_token_of_another_store_is_refused(app: App) -> None:
    async with app:
        with pytest.raises(InvalidMessage, match="another store"):
            await app.ask(GetBalance("a"), after=token_of("elsewhere", 1))


def test_a_token_is_store_and_position() -> None:
    assert positions_in(token_of("abc", 7)) == {"abc": 7}


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
async def test_a_negative_age_is_refused(app: App, seconds: float) -> None:
    async with app:
        with pytest.raises(InvalidMessage, match="max_staleness"):
            await app.ask(GetBalance("a"), max_staleness=seconds)


async def test_a_row_that_is_not_there_is_not_found(app: App) -> None:
    async with app:
        with pytest.raises(NotFound, match="no Balance with key 'zz'"):
            await app.ask(GetBalance("zz"))


async def test_a_query_that_nobody_answers_is_refused(app: App) -> None:
    class Nobody(Query[int]):
        pass

    async with app:
        with pytest.raises(UnknownMessage, match="Nobody"):
            await app.ask(Nobody())


async def test_sql_reads_the_view_of_a_model(sql_app: App) -> None:
    async with sql_app as app:
        await app.execute(Open("a", "Ann"))
        receipt = await app.execute(Open("b", "Ann"))
        assert (await app.ask(BySql(), after=receipt.token)).value == [Summary("Ann", 2)]


async def test_sql_without_a_sql_store_is_not_supported() -> None:
    async with with_queries(bank_app("memory://")) as app:
        with pytest.raises(NotSupported):
            await app.ask(BySql())


@pytest.mark.parametrize("statement", ["select nothing", "delete from balance__g1", "drop view balance", "select 1; select 2"])
async def test_sql_that_is_wrong_or_writes_is_refused(sql_app: App, statement: str) -> None:
    async with sql_app as app:
        with pytest.raises(Misuse, match="SQL"):
            await app.ask(Bad(statement))
        assert (await app.ask(Bad("select count(*) as n from balance"))).value == [{"n": 0}]


async def test_rows_of_two_models_are_of_one_moment(app: App) -> None:
    """A lookup puts two models under one checkpoint: what one says is never ahead of the other."""

    async def deposit() -> None:
        for _ in range(200):
            await app.execute(Deposit("a", ONE))

    async with app:
        await app.execute(Open("a", "Ann"))
        first = await app.execute(Deposit("a", ONE))
        await app.ask(Both("a"), after=first.token)
        writing = asyncio.create_task(deposit())
        while not writing.done():
            balance, total = (await app.ask(Both("a"))).value
            assert balance.balance == total
            await asyncio.sleep(0)
        await writing


async def test_a_renamed_owner_reaches_each_row(app: App) -> None:
    async with app:
        await app.execute(Open("a", "Ann"))
        receipt = await app.execute(Rename("a", "Bob"))
        assert (await app.ask(GetBalance("a"), after=receipt.token)).value.owner == "Bob"


async def test_a_worker_of_another_process_serves_the_wait(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bank.db'}"
    commands, worker = bank_app(url), bank_app(url)
    await commands.start(projections=False)
    await worker.start()
    for number in range(20):
        receipt = await commands.execute(Open(f"a{number}", "Ann"))
        assert (await commands.ask(GetBalance(f"a{number}"), after=receipt.token)).value.owner == "Ann"
    await worker.stop()
    await commands.stop()


async def test_a_changed_definition_is_built_before_it_answers(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bank.db'}"
    async with bank_app(url) as app:
        await app.execute(Open("a", "Ann"))
        await app.catch_up()
    changed = App("bank", store=url)
    changed.include(bank_with_more_columns())
    async with changed:
        await changed.catch_up()
        rows = await changed.ask(Rows())
        assert rows.value == [("a", "Ann", 7)]


class Rows(Query[list[tuple[str, str, int]]]):
    pass


def bank_with_more_columns() -> Module:
    module = Module()

    @module.read_model(key="account", table="balance", indexes=["owner"])
    class Balance(ReadModel):
        account: str
        owner: str
        luck: int

        @starts
        @classmethod
        def opened(cls, event: Opened) -> "Balance":
            return cls(event.account, event.owner, 7)

    @module.query
    async def rows(query: Rows, balances: Reader[Balance]) -> list[tuple[str, str, int]]:
        return [(row.account, row.owner, row.luck) for row in (await balances.find()).rows]

    return module


async def test_a_new_model_over_an_old_log_is_built_before_it_answers(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bank.db'}"
    commands = App("bank", store=url)
    commands.include(only_commands())
    async with commands:
        for number in range(20):
            await commands.execute(Open(f"a{number}", "Ann"))
    app = bank_app(url)
    await app.start(projections=False)
    with pytest.raises(Building, match="being built: event 0 of 20"):
        await app.ask(GetBalance("a0"), timeout=0.01)
    await app.catch_up()
    assert (await app.ask(GetBalance("a0"))).value.owner == "Ann"
    await app.stop()


def only_commands() -> Module:
    module = Module()
    module.aggregate(key="account")(Account)
    return module


class Broken(ReadModel):
    account: str

    @starts
    @classmethod
    def opened(cls, event: Opened) -> "Broken":
        raise RuntimeError("a typo")


class GetBroken(Query[Broken]):
    account: str


async def test_a_write_that_is_in_the_dead_letters_is_never_silently_missing(app: App) -> None:
    app.read_model(key="account")(Broken)

    @app.query
    async def get_broken(query: GetBroken, rows: Reader[Broken]) -> Broken:
        return await rows.get(query.account)

    async with app:
        receipt = await app.execute(Open("a", "Ann"))
        with pytest.raises(Stale, match="events of account-a are in its dead letters") as caught:
            await app.ask(GetBroken("a"), after=receipt.token, timeout=30)
        assert caught.value.waited < 30
        assert (await app.ask(GetBalance("a"), after=receipt.token)).value.owner == "Ann"


async def test_no_staleness_at_all_trusts_no_clock() -> None:
    """The clock stands still, so no event is older than 0 seconds: it is missing all the same."""
    app = App("bank", store="memory://", clock=TestClock())
    app.include(bank)
    await app.start(projections=False)
    await app.execute(Open("a", "Ann"))
    with pytest.raises(Stale):
        await app.ask(GetBalance("a"), max_staleness=0, timeout=0.01)
    await app.stop()


async def test_a_query_with_a_value_of_a_wrong_type_is_refused(app: App) -> None:
    async with app:
        with pytest.raises(InvalidMessage, match="GetBalance: account: Expected str, got int"):
            await app.ask(GetBalance(5))  # type: ignore[arg-type]


class Slow(Query[int]):
    """Reads for some seconds in SQLite, unless it is interrupted."""


SLOW = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000000) select count(*) as n from n"


def with_slow_queries(app: App, kept: list[Any]) -> App:
    @app.query(reads=[Balance])
    async def slow(query: Slow, sql: Sql, balances: Reader[Balance]) -> int:
        kept.append(balances)
        await asyncio.gather(sql.all(SLOW), fail())
        return 0

    async def fail() -> None:
        raise NotFound("anything", "at all")

    return app


async def test_a_read_whose_query_has_failed_is_ended_before_its_connection_is_used_again(sql_app: App) -> None:
    async with with_slow_queries(sql_app, []) as app:
        await app.execute(Open("a", "Ann"))
        with pytest.raises(NotFound):
            await app.ask(Slow(), max_staleness=60)
        receipt = await app.execute(Open("b", "Bob"))
        assert (await app.ask(BySql(), after=receipt.token)).value == [Summary("Ann", 1), Summary("Bob", 1)]


async def test_a_cancelled_query_ends_its_reads(sql_app: App) -> None:
    @sql_app.query(reads=[])
    async def slow(query: Slow, sql: Sql) -> int:
        return len(await sql.all(SLOW))

    async with sql_app as app:
        asking = asyncio.create_task(app.ask(Slow()))
        await asyncio.wait([asking], timeout=0.05)
        asking.cancel()
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await app.ask(BySql())).value == []


async def test_a_reader_kept_after_its_query_is_misuse(sql_app: App) -> None:
    kept: list[Any] = []
    async with with_slow_queries(sql_app, kept) as app:
        with pytest.raises(NotFound):
            await app.ask(Slow())
        with pytest.raises(Misuse, match="after its query was answered"):
            await kept[0].get("a")


async def test_who_waits_for_a_paused_read_model_learns_who_paused_it_and_why(app: App) -> None:
    async with app:
        await app.running.projections.pause("Balance", by="ann", why="looking at it")
        receipt = await app.execute(Open("a", "Ann"))
        with pytest.raises(Stale, match="paused by ann: looking at it") as caught:
            await app.ask(GetBalance("a"), after=receipt.token, timeout=0.2)
        assert "resume" in caught.value.fix
        await app.running.projections.resume("Balance")
        assert (await app.ask(GetBalance("a"), after=receipt.token)).value.owner == "Ann"
