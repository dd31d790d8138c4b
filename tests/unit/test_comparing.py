"""A changed or rebuilt read model beside the one it follows: what is different is said before it is live."""

import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import defstruct

from deedlog import App, Event, ReadModel, on, starts
from deedlog.reads.values import Changes, Wanted
from tests.faults.bank import Deposit, Deposited, Open, Opened, bank_app


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bank.db'}"


def first_fold() -> type[ReadModel]:
    class Sum(ReadModel):
        account: str
        total: Decimal = Decimal(0)

        @starts
        @classmethod
        def opened(cls, event: Opened) -> "Sum":
            return cls(event.account)

        @on
        def deposited(self, event: Deposited) -> None:
            self.total += event.amount

    return Sum


def second_fold() -> type[ReadModel]:
    class Sum(ReadModel):
        account: str
        total: Decimal = Decimal(0)

        @starts
        @classmethod
        def opened(cls, event: Opened) -> "Sum":
            return cls(event.account)

        @on
        def deposited(self, event: Deposited) -> None:
            self.total += 2 * event.amount

    return Sum


def version_of(url: str, number: int) -> App:
    app = bank_app(url)
    app.read_model(key="account")(first_fold() if number == 1 else second_fold())
    return app


async def fill(url: str) -> None:
    async with version_of(url, 1) as app:
        await app.execute(Open("a", "Ann"))
        await app.execute(Open("b", "Bob"))
        await app.execute(Deposit("a", Decimal(5)))
        await app.catch_up()


async def test_a_changed_fold_says_which_rows_it_makes_different_before_it_is_live(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "deedlog.projections")
    await fill(url)
    async with version_of(url, 2) as app:
        await app.catch_up()
        live = await app.running.reads.checkpoint("Sum")
        assert live is not None
        assert (live.position, live.definition) == (3, app.running.runners["Sum"].projection.projected.definition)
    assert "at 3 differs from" in caplog.text
    assert "in 1 rows, 1 are the same; first Sum 'a'" in caplog.text


async def test_a_rebuild_that_gives_other_rows_is_a_warning(url: str, caplog: pytest.LogCaptureFixture) -> None:
    await fill(url)
    app = version_of(url, 1)
    running = await app.start(projections=False)
    projected = running.runners["Sum"].projection.projected
    at = await running.reads.current(projected)
    assert at is not None
    (stored,) = (await running.reads.load(projected, at, Wanted({"Sum": ["b"]}, {})))["Sum"]
    stored.row.total = Decimal(7)
    await running.reads.write(projected, Changes({"Sum": [stored]}), at, at)
    await app.rebuild("Sum")
    await app.stop()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("differs from" in words and "Sum 'b'" in words for words in warnings)


async def test_a_rebuild_that_gives_the_same_rows_is_no_warning(url: str, caplog: pytest.LogCaptureFixture) -> None:
    await fill(url)
    async with version_of(url, 1) as app:
        await app.rebuild("Sum")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def paying_app(amount: type[int] | type[float]) -> App:
    """The same fold of an event that is not the same."""
    paid = defstruct("Paid", [("account", str), ("amount", amount)], bases=(Event,), frozen=True)
    app = App("paying", store="memory://")

    class Paying(ReadModel):
        account: str
        count: int = 0

        @on(start_missing=True)
        def paid(self, event: Any) -> None:
            self.count += 1

    Paying.paid.__annotations__["event"] = paid
    app.read_model(key="account")(Paying)
    return app


def test_a_changed_event_class_is_a_changed_definition() -> None:
    def definition(amount: type[int] | type[float]) -> str:
        return paying_app(amount).build().projections[0].projected.definition

    assert definition(int) == definition(int)
    assert definition(int) != definition(float)
