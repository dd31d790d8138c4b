"""The auditor: what was changed behind its back is an alert with positions; what was not is none."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from deedlog import App
from tests.faults.bank import Deposit, Open
from tests.unit.test_workers import tally_app

EVENTS = 20


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    """Its models have folded 20 events; nothing runs."""
    app = tally_app(tmp_path / "bank.db")
    await app.start(projections=False)
    await app.execute(Open("a", "Ann"))
    for number in range(1, EVENTS):
        await app.execute(Deposit("a", Decimal(number)))
    await app.catch_up()
    yield app
    await app.stop()


def tamper(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for (name,) in connection.execute("select name from sqlite_schema where type = 'trigger'").fetchall():
            connection.execute(f'drop trigger "{name}"')
        for statement in statements:
            connection.execute(statement)
        connection.commit()


async def alerts_of(app: App) -> dict[str, tuple[int, int]]:
    return {alert.projection: (alert.after, alert.until) for alert in await app.running.projections.audit(whole=True)}


BOTH = {"Balance+OwnerTotal": (0, EVENTS), "Tally": (0, EVENTS)}


async def test_nothing_is_said_of_what_is_right(app: App) -> None:
    assert await alerts_of(app) == {}


async def test_an_event_that_was_deleted_is_an_alert(app: App, tmp_path: Path) -> None:
    tamper(tmp_path / "bank.db", "delete from deedlog_events where position = 7")
    assert await alerts_of(app) == BOTH


async def test_an_event_at_the_end_that_was_deleted_is_an_alert(app: App, tmp_path: Path) -> None:
    tamper(tmp_path / "bank.db", "delete from deedlog_events where position = 20")
    assert set(await alerts_of(app)) == set(BOTH)


async def test_two_events_that_changed_places_are_an_alert(app: App, tmp_path: Path) -> None:
    swap = "update deedlog_events set position = {1} where position = {0}"
    tamper(tmp_path / "bank.db", *(swap.format(*pair) for pair in ((7, 999), (9, 7), (999, 9))))
    assert await alerts_of(app) == BOTH


@pytest.mark.parametrize("change", ["position = position - 3", "position = position - 3, events = events - 3", "events = 4"])
async def test_a_checkpoint_that_was_moved_by_hand_is_an_alert(app: App, tmp_path: Path, change: str) -> None:
    tamper(tmp_path / "bank.db", f"update deedlog_projections set {change} where name = 'Tally'")
    assert set(await alerts_of(app)) == {"Tally"}


async def test_a_checkpoint_behind_the_end_of_the_log_is_an_alert(app: App, tmp_path: Path) -> None:
    tamper(tmp_path / "bank.db", "update deedlog_projections set position = 25, events = 25 where name = 'Tally'")
    assert await alerts_of(app) == {"Tally": (EVENTS, 25)}


async def test_an_alert_goes_when_its_cause_has_gone(app: App, tmp_path: Path) -> None:
    tamper(tmp_path / "bank.db", "update deedlog_projections set events = 4 where name = 'Tally'")
    assert set(await alerts_of(app)) == {"Tally"}
    await app.rebuild("Tally")
    assert await alerts_of(app) == {}


async def test_what_the_auditor_agreed_with_is_kept_and_read_no_more(app: App) -> None:
    await alerts_of(app)
    current = await app.running.reads.current(app.running.runners["Tally"].projection.projected)
    assert current is not None
    assert (current.audited, current.audited_digest) == (EVENTS, current.digest)
