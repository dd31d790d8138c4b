"""The runner: what goes wrong around it does not end it, what goes wrong in a batch is found in the batch."""

import asyncio
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from deedlog import App, Conflict, Event, Query, Reader, ReadModel, Unavailable, on
from deedlog.projections.fold import FoldFailed
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
        assert [type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)] == [Conflict]


async def test_queries_that_take_long_hold_up_no_projection(tmp_path: Path) -> None:
    class Slow(Query[int]):
        account: str

    app, gate = bank_app(f"sqlite:///{tmp_path / 'bank.db'}"), asyncio.Event()

    @app.query
    async def slow(query: Slow, balances: Reader[Balance]) -> int:
        await gate.wait()
        return 0

    async with app:
        queries = [asyncio.create_task(app.ask(Slow("a"))) for _ in range(16)]
        await asyncio.sleep(0.02)
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
async def test_a_key_that_can_not_be_one_stops_before_its_event_and_all_before_is_written(url: str, keys: Any) -> None:
    app = tallies(url)
    await app.start(projections=False)
    try:
        store, codec = app.running.store, app.running.codec
        said = [Strange("x", ["x"]), Strange("x", ["x"]), Strange("y", keys), Strange("x", ["x"])]
        for event in said:
            await store.append([StreamWrite("strange-1", (codec.new_event(event, "{}"),), AnyVersion())])
        with pytest.raises(FoldFailed) as caught:
            await app.catch_up()
        assert caught.value.recorded.position == 3
        checkpoint = await app.running.reads.checkpoint("Tally")
        assert checkpoint is not None
        assert checkpoint.position == 2
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
        with pytest.raises(FoldFailed) as caught:
            await app.catch_up()
        assert caught.value.recorded.position == 2
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
