"""Streams as a whole: read as of a version or a time, closed, imported; and how long receipts are kept."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deedlog import (
    App,
    EventImport,
    Imported,
    InvalidMessage,
    Metadata,
    Misuse,
    NotFound,
    Refused,
    StreamClosed,
    Unavailable,
    UnitOfWork,
)
from deedlog.commands import importing, receipts
from deedlog.store.port import EventStore
from deedlog.testing import TestClock
from tests.faults.bank import Account, Deposit, Deposited, Open, Opened, Rename, bank
from tests.unit.test_commands import ONE, Notify

AT = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path, clock: TestClock) -> App:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'bank.db'}"
    app = App("bank", store=url, clock=clock, keep_receipts=timedelta(days=1))
    app.include(bank)
    return app


async def deposits(app: App, clock: TestClock) -> None:
    """An account with 1 more each minute, 3 events."""
    await app.execute(Open("a", "Ann"))
    for _ in range(2):
        clock.advance(60)
        await app.execute(Deposit("a", ONE))


async def test_an_aggregate_is_read_as_it_is_now(app: App, clock: TestClock) -> None:
    async with app:
        await deposits(app, clock)
        loaded = await app.load(Account, "a")
        assert (loaded.stream, loaded.version, loaded.exists) == ("account-a", 3, True)
        assert (loaded.state.owner, loaded.state.balance) == ("Ann", Decimal(2))


async def test_an_aggregate_is_read_as_of_a_version(app: App, clock: TestClock) -> None:
    async with app:
        await deposits(app, clock)
        for version, balance in ((1, 0), (2, 1), (3, 2)):
            loaded = await app.load("Account", "a", version=version)
            assert (loaded.version, loaded.state.balance) == (version, Decimal(balance))


async def test_an_aggregate_is_read_as_of_a_time(app: App, clock: TestClock) -> None:
    start = clock.now()
    async with app:
        await deposits(app, clock)
        for seconds, version in ((0, 1), (59, 1), (60, 2), (9999, 3)):
            assert (await app.load(Account, "a", at=start + timedelta(seconds=seconds))).version == version
        with pytest.raises(NotFound):
            await app.load(Account, "a", at=start - timedelta(seconds=1))


async def test_what_was_read_is_not_moved_by_what_comes_later(app: App, clock: TestClock) -> None:
    async with app:
        await deposits(app, clock)
        loaded = await app.load(Account, "a")
        loaded.state.owner = "Eve"
        await app.execute(Deposit("a", ONE))
        assert (loaded.version, loaded.state.balance) == (3, Decimal(2))
        assert (await app.execute(Rename("a", "Ann"))).events == ()


async def test_an_aggregate_without_events_is_not_found(app: App) -> None:
    async with app:
        with pytest.raises(NotFound, match="no Account with key 'a'"):
            await app.load(Account, "a")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"version": 0}, "a version from 1 on"),
        ({"version": 4}, "has 3 events, not 4"),
        ({"version": 1, "at": AT}, "or neither"),
        ({"at": datetime(2024, 5, 1)}, "has no time zone"),  # noqa: DTZ001  # that is the mistake
    ],
)
async def test_a_version_or_time_that_can_not_be_is_refused(app: App, clock: TestClock, asked: Any, said: str) -> None:
    async with app:
        await deposits(app, clock)
        with pytest.raises(InvalidMessage, match=said):
            await app.load(Account, "a", **asked)


async def test_only_aggregates_are_loaded(app: App) -> None:
    async with app:
        with pytest.raises(Misuse, match="Decimal is no aggregate of this app"):
            await app.load(Decimal, "a")


async def test_a_closed_stream_takes_no_command_at_the_first_attempt(app: App, clock: TestClock) -> None:
    async with app:
        await deposits(app, clock)
        closing = await app.close_stream(Account, "a", by="ada", why="moved to another bank")
        assert (closing.stream, closing.version, closing.by) == ("account-a", 3, "ada")
        appends = count_appends(app.running.store)
        with pytest.raises(StreamClosed, match=r"closed by ada .*: moved to another bank"):
            await app.execute(Deposit("a", ONE))
        assert appends == [1]
        assert (await app.load(Account, "a")).version == 3


def count_appends(store: EventStore) -> list[int]:
    append, counted = store.append, [0]

    async def counting(writes: Any, command: Any = None, conditions: Any = ()) -> Any:
        counted[0] += 1
        return await append(writes, command, conditions)

    store.append = counting  # type: ignore[method-assign]
    return counted


async def test_a_closed_stream_still_refuses_and_still_has_nothing_to_do(app: App, clock: TestClock) -> None:
    async with app:
        await deposits(app, clock)
        await app.close_stream(Account, "a", by="ada", why="moved")
        with pytest.raises(Refused):
            await app.execute(Open("a", "Ann"))
        assert (await app.execute(Rename("a", "Ann"))).events == ()


async def test_a_unit_of_work_on_a_closed_stream_is_not_tried_again(app: App, clock: TestClock) -> None:
    runs: list[str] = []

    @app.command_handler
    async def deposit(command: Notify, work: UnitOfWork) -> None:
        runs.append(command.account)
        (await work.load(Account, command.account)).decide(Deposit(command.account, ONE))

    async with app:
        await deposits(app, clock)
        await app.close_stream(Account, "a", by="ada", why="moved")
        with pytest.raises(StreamClosed):
            await app.execute(Notify("a"))
        assert runs == ["a"]


async def test_old_receipts_are_forgotten_and_newer_ones_are_not(app: App, clock: TestClock) -> None:
    async with app:
        await app.execute(Open("a", "Ann"), id="old")
        clock.advance(23 * 3600)
        await app.execute(Deposit("a", ONE), id="new")
        clock.advance(2 * 3600)
        sweep = app.running.receipts
        assert sweep is not None
        assert await sweep.sweep() == 1
        assert await app.running.store.command("old") is None
        assert (await app.execute(Deposit("a", ONE), id="new")).version == 2


async def test_receipts_are_forgotten_in_small_steps(app: App, clock: TestClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "STEP", 2)
    async with app:
        await asyncio.gather(*(app.execute(Open(str(number), "Ann"), id=str(number)) for number in range(5)))
        clock.advance(25 * 3600)
        assert app.running.receipts is not None
        assert await app.running.receipts.sweep() == 5


async def test_the_sweep_runs_at_the_start_and_again_also_after_a_failure(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps, twice = [0], asyncio.Event()
    monkeypatch.setattr(receipts, "SWEEP_SECONDS", 0.0)

    async def forget(self: EventStore, before: int, limit: int = 1000) -> int:
        sweeps[0] += 1
        if sweeps[0] == 1:
            raise Unavailable("locked")
        twice.set()
        return 0

    store = App("other", store=app.url)
    async with store:
        monkeypatch.setattr(type(store.running.store), "forget_commands", forget)
    async with app:
        await asyncio.wait_for(twice.wait(), 10)


async def test_receipts_are_kept_for_ever_unless_told_otherwise() -> None:
    async with App("bank", store="memory://") as app:
        assert app.running.receipts is None


async def test_events_are_imported_behind_what_is_there(app: App, clock: TestClock) -> None:
    async with app:
        await app.execute(Open("a", "Ann"))
        done = await app.import_events([("account-a", Deposited("a", ONE)), ("account-b", Opened("b", "Bob"))])
        assert done == Imported(2, 3)
        assert (await app.load(Account, "a")).state.balance == ONE
        assert (await app.execute(Deposit("a", ONE))).version == 3


async def test_imported_events_keep_their_time_and_metadata(app: App) -> None:
    async with app:
        await app.import_events([EventImport("account-a", Opened("a", "Ann"), AT, Metadata("talk", "cause"))])
        (recorded,) = await app.running.store.read_all()
        assert recorded.time == AT
        assert recorded.metadata == '{"correlation_id":"talk","causation_id":"cause"}'


async def test_many_events_are_imported_in_chunks(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "CHUNK", 30)

    def many() -> Iterator[tuple[str, Any]]:
        yield "account-a", Opened("a", "Ann")
        for _ in range(99):
            yield "account-a", Deposited("a", ONE)

    async with app:
        assert await app.import_events(many()) == Imported(100, 100)
        assert (await app.load(Account, "a")).state.balance == 99


async def test_nothing_to_import_is_nothing(app: App) -> None:
    async with app:
        assert await app.import_events([]) == Imported(0, 0)


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        (("account", Opened("a", "Ann")), "events[4].stream"),
        (("account-a", Open("a", "Ann")), "events[4].event"),
        (("account-a", Opened("a", 5)), "events[4].event.owner"),  # type: ignore[arg-type]  # that is the mistake
        (("account-a", object()), "events[4].event"),
        (EventImport("account-a", Opened("a", "Ann"), datetime(2024, 5, 1)), "events[4].recorded_at"),  # noqa: DTZ001
        (EventImport("account-a", Opened("a", "Ann"), None, Metadata("\ud800", "")), "events[4].metadata.correlation_id"),
    ],
)
async def test_a_bad_event_is_refused_by_index_and_field_and_nothing_of_its_chunk_is_stored(
    app: App, monkeypatch: pytest.MonkeyPatch, bad: Any, path: str
) -> None:
    monkeypatch.setattr(importing, "CHUNK", 3)
    good = ("account-b", Deposited("b", ONE))
    async with app:
        with pytest.raises(InvalidMessage) as caught:
            await app.import_events([good, good, good, good, bad, good])
        assert caught.value.path == path
        assert caught.value.data == {"index": 4, "stored": 3}
        assert await app.running.store.head() == 3
