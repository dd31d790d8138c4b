"""The runner: what goes wrong around it does not end it, what goes wrong in a batch is found in the batch."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from deedlog import App, Conflict, Event, Query, Reader, ReadModel, Unavailable, on
from deedlog.reads.values import STREAM, Find, Order
from deedlog.sqlite.bulk import insert_many
from deedlog.store.port import StreamWrite
from deedlog.types import Any as AnyVersion
from tests.faults.bank import Balance, GetBalance, Open, bank_app


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'bank.db'}"


async def test_a_store_that_fails_for_a_moment_while_nothing_is_to_do_ends_no_projection(url: str) -> None:
    async with bank_app(url) as app:
        store = app.running.store
        wait, failed = store.wait, asyncio.Event()

        async def failing(after: int, timeout: float) -> None:
            failed.set()
            raise Unavailable("not now")

        store.wait = failing  # type: ignore[method-assign]
        await asyncio.wait_for(failed.wait(), 5)
        store.wait = wait  # type: ignore[method-assign]
        receipt = await app.execute(Open("a", "Ann"))
        assert (await app.ask(GetBalance("a"), after=receipt.token)).value.owner == "Ann"


async def test_of_two_rebuilds_at_once_one_is_told_that_it_was_replaced(url: str) -> None:
    async with bank_app(url) as app:
        await asyncio.gather(*(app.execute(Open(f"a{number}", "Ann")) for number in range(300)))
        outcomes = await asyncio.gather(app.rebuild("Balance"), app.rebuild("Balance"), return_exceptions=True)
        (refused,) = (outcome for outcome in outcomes if isinstance(outcome, BaseException))
        assert isinstance(refused, Conflict)
        assert "another rebuild replaced this one" in str(refused)


async def test_queries_that_take_long_hold_up_no_projection(tmp_path: Path) -> None:
    class Slow(Query[int]):
        account: str

    app, gate = bank_app(f"sqlite:///{tmp_path / 'bank.db'}"), asyncio.Event()
    all_inside = asyncio.Barrier(17)

    @app.query
    async def slow(query: Slow, balances: Reader[Balance]) -> int:
        await all_inside.wait()
        await gate.wait()
        return 0

    async with app:
        queries = [asyncio.create_task(app.ask(Slow("a"))) for _ in range(16)]
        await all_inside.wait()
        await app.execute(Open("a", "Ann"))
        await asyncio.wait_for(app.catch_up(), 5)
        gate.set()
        await asyncio.gather(*queries)


class Strange(Event):
    account: str
    keys: Any


def tallies(url: str) -> App:
    app = App("tally", store=url)

    @app.read_model(key="account")
    class Tally(ReadModel):
        account: str
        count: int = 0

        @on(key=lambda event: event.keys, start_missing=True)
        def counted(self, event: Strange) -> None:
            self.count += 1

    return app


@pytest.mark.parametrize("keys", [[["a list"]], [{"an": "object"}], {"an": "object"}, None], ids=str)
async def test_a_key_that_can_not_be_one_parks_the_stream_and_all_before_is_written(url: str, keys: Any) -> None:
    app = tallies(url)
    await app.start(projections=False)
    try:
        store, codec = app.running.store, app.running.codec
        said = [Strange("x", ["x"]), Strange("x", ["x"]), Strange("y", keys), Strange("x", ["x"])]
        for event in said:
            await store.append([StreamWrite("strange-1", (codec.new_event(event, "{}"),), AnyVersion())])
        await app.catch_up()
        letters = await app.running.projections.letters_of("Tally").list()
        assert [(letter.model, letter.key, letter.position) for letter in letters] == [(STREAM, "strange-1", p) for p in (3, 4)]
        async with app.running.reads.snapshot([app.running.runners["Tally"].projection.projected]) as snapshot:
            model = app.running.runners["Tally"].projection.folds[0].model
            found = await snapshot.find(model, Find(order=(Order(model.key),)))
        assert [row.count for row in found] == [2]
    finally:
        await app.stop()


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Named(Event):
    account: str
    level: str


async def test_a_value_that_its_column_can_not_have_is_found_in_the_batch(tmp_path: Path) -> None:
    app = App("levels", store=f"sqlite:///{tmp_path / 'levels.db'}")

    @app.read_model(key="account", indexes=["level"])
    class Levelled(ReadModel):
        account: str
        level: Level = Level.LOW
        count: int = 0

        @on(start_missing=True)
        def counted(self, event: Strange) -> None:
            self.count += 1

        @on(where="level")
        def named(self, event: Named) -> None:
            self.count += 1

    await app.start(projections=False)
    try:
        store, codec = app.running.store, app.running.codec
        for event in (Strange("x", None), Named("x", "low")):
            await store.append([StreamWrite("strange-1", (codec.new_event(event, "{}"),), AnyVersion())])
        await app.catch_up()
        letters = await app.running.projections.letters_of("Levelled").list()
        assert [(letter.key, letter.position) for letter in letters] == [("strange-1", 2)]
    finally:
        await app.stop()


class Booked(Event):
    account: str
    day: date | None


async def test_a_lookup_by_a_field_that_is_none_finds_no_row(url: str) -> None:
    app = App("days", store=url)

    @app.read_model(key="day")
    class Day(ReadModel):
        day: date
        name: str = ""

        @on(key=lambda event: [event.day] if event.day else [], start_missing=True)
        def booked(self, event: Booked) -> None:
            self.name = "booked"

    @app.read_model(key="account")
    class Booking(ReadModel):
        account: str
        name: str = "-"

        @on(start_missing=True)
        def booked(self, event: Booked, day: Day | None) -> None:
            self.name = day.name if day is not None else "none"

    @app.query
    async def get(query: GetBalance, bookings: Reader[Booking]) -> Booking:
        return await bookings.get(query.account)

    await app.start(projections=False)
    try:
        store, codec = app.running.store, app.running.codec
        await store.append([StreamWrite("booking-1", (codec.new_event(Booked("a", None), "{}"),), AnyVersion())])
        await app.catch_up()
        assert (await app.ask(GetBalance("a"))).value.name == "none"  # type: ignore[attr-defined]
    finally:
        await app.stop()


class Started(Event):
    account: str
    at: datetime


class Tagged(Event):
    account: str
    tags: list[str]


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_row_is_the_same_whether_or_not_it_was_stored_between_two_events(url: str, at_once: bool) -> None:
    """Its times are in UTC, and its lists are its own, before a store has made them so."""
    app = App("forms", store=url)

    @app.read_model(key="account")
    class Form(ReadModel):
        account: str
        at: datetime | None = None
        day: date | None = None
        tags: list[str] = []
        more: list[str] = []

        @on(start_missing=True)
        def started(self, event: Started) -> None:
            self.at = event.at

        @on(key=lambda event: ["a", "b"], start_missing=True)
        def tagged(self, event: Tagged) -> None:
            self.tags = self.more = event.tags

        @on
        def counted(self, event: Strange) -> None:
            self.day = self.at.date() if self.at is not None else None
            self.tags.append("counted")

    @app.query
    async def get(query: GetBalance, forms: Reader[Form]) -> Form:
        return await forms.get(query.account)

    async def row_of(account: str) -> Any:
        return (await app.ask(GetBalance(account))).value

    await app.start(projections=False)
    try:
        store, codec = app.running.store, app.running.codec
        in_paris = datetime(2025, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))
        for event in (Started("a", in_paris), Tagged("a", ["x"]), Strange("a", None)):
            await store.append([StreamWrite("form-1", (codec.new_event(event, "{}"),), AnyVersion())])
            if not at_once:
                await app.catch_up()
        await app.catch_up()
        first = await row_of("a")
        assert (first.at, first.day, first.tags, first.more) == (in_paris, date(2024, 12, 31), ["x", "counted"], ["x"])
        assert (await row_of("b")).tags == ["x"]
    finally:
        await app.stop()


def test_rows_of_many_columns_fit_into_the_statements_of_any_sqlite() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)
        connection.execute(f"create table wide ({', '.join(f'c{number}' for number in range(600))})")
        insert_many(connection, "insert into wide", [[number] * 600 for number in range(100)])
        assert connection.execute("select count(*), sum(c599) from wide").fetchone() == (100, 4950)
