"""Snapshots: when one is saved, when it is believed, and that the answer is the same without it."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deedlog import Aggregate, App, Command, Event, InvalidDeclaration, Module, Snapshots, decide, evolve
from deedlog.domain.snapshots import StateForm
from deedlog.store.port import StoredState
from deedlog.testing import TestClock

STREAM = "counter-c"


class Count(Command):
    counter: str
    by: int = 1


class Counted(Event):
    counter: str
    by: int


def counters(policy: Snapshots) -> Module:
    module = Module()

    @module.aggregate(key="counter", snapshots=policy)
    class Counter(Aggregate):
        total: int = 0

        @decide
        def count(self, command: Count) -> Counted:
            return Counted(command.counter, command.by)

        @evolve
        def counted(self, event: Counted) -> None:
            self.total += event.by

    return module


def doubling(policy: Snapshots) -> Module:
    """The same, by other code."""
    module = Module()

    @module.aggregate(key="counter", snapshots=policy)
    class Counter(Aggregate):
        total: int = 0

        @decide
        def count(self, command: Count) -> Counted:
            return Counted(command.counter, command.by)

        @evolve
        def counted(self, event: Counted) -> None:
            self.total += 2 * event.by

    return module


Make = Callable[..., App]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """An app on the test's file; the next one sees what the last one left."""
    clock = TestClock()

    def app(policy: Snapshots, declared: Callable[[Snapshots], Module] = counters) -> App:
        app = App("counting", store=f"sqlite:///{tmp_path / 'counting.db'}", clock=clock)
        app.include(declared(policy))
        return app

    return app


async def count(app: App, times: int) -> None:
    for _ in range(times):
        await app.execute(Count("c"))


async def saved(app: App) -> StoredState | None:
    await app.running.snapshots.settle()
    return await app.running.store.state(STREAM)


async def saved_version(app: App) -> int:
    snapshot = await saved(app)
    assert snapshot is not None
    return snapshot.version


def form_of(app: App) -> StateForm:
    form = app.running.definition.aggregates[0].form
    assert form is not None
    return form


def watch(app: App) -> list[int]:
    """Grows by the number of events for each page of a stream that is read."""
    read, sizes = app.running.store.read_stream, []

    async def watching(stream: str, after: int = 0, limit: int = 500) -> Any:
        page = await read(stream, after, limit)
        sizes.append(len(page))
        return page

    app.running.store.read_stream = watching  # type: ignore[method-assign]
    return sizes


async def test_a_snapshot_is_saved_every_so_many_events(make: Make) -> None:
    async with make(Snapshots(every=10)) as app:
        await count(app, 9)
        assert await saved(app) is None
        await count(app, 1)
        snapshot = await saved(app)
        assert snapshot is not None
        assert (snapshot.version, snapshot.state) == (10, '{"total":10,"_version":10}')
        await count(app, 10)
        assert await saved_version(app) == 20


async def test_a_snapshot_is_saved_after_so_many_bytes(make: Make) -> None:
    async with make(Snapshots(bytes=100)) as app:
        await count(app, 3)
        assert await saved(app) is None
        await count(app, 2)
        assert await saved(app) is not None


async def test_a_load_that_folds_saves_a_snapshot_where_the_last_is_too_old(make: Make) -> None:
    policy = Snapshots(age=timedelta(hours=1))
    async with make(policy) as app:
        await count(app, 3)
        assert await saved(app) is None
    async with make(policy) as app:  # none yet: older than any
        await count(app, 1)
        assert await saved_version(app) == 3
    async with make(policy) as app:
        await count(app, 1)
        assert await saved_version(app) == 3
        app.clock.advance(3601)  # type: ignore[attr-defined]
    async with make(policy) as app:
        await count(app, 1)
        assert await saved_version(app) == 5


async def test_loading_reads_only_what_is_behind_the_snapshot(make: Make) -> None:
    policy = Snapshots(every=10)
    async with make(policy) as app:
        await count(app, 12)
        assert await saved(app) is not None
    async with make(policy) as app:
        sizes = watch(app)
        receipt = await app.execute(Count("c"))
        assert (receipt.version, sizes) == (13, [3])  # the snapshot's own event, and two behind it


async def test_many_at_once_leave_a_snapshot_of_what_is_stored(make: Make) -> None:
    async with make(Snapshots(every=50)) as app:
        await asyncio.gather(*(app.execute(Count("c")) for _ in range(120)))
        snapshot = await saved(app)
        assert snapshot is not None
        stored = await app.running.store.read_stream(STREAM)
        assert stored[snapshot.version - 1].id == snapshot.event_id
        assert msgspec.json.decode(snapshot.state)["total"] == snapshot.version


async def test_a_snapshot_of_other_code_is_not_used_and_is_replaced(make: Make) -> None:
    policy = Snapshots(every=5)
    async with make(policy) as app:
        await count(app, 5)
        old = await saved(app)
    async with make(policy, doubling) as app:
        await count(app, 1)
        new = await saved(app)
        assert old is not None
        assert new is not None
        assert new.definition != old.definition
        assert msgspec.json.decode(new.state)["total"] == 10


async def test_another_version_of_the_policy_is_other_code(make: Make) -> None:
    async with make(Snapshots(every=5)) as app:
        await count(app, 5)
        assert await saved(app) is not None
    async with make(Snapshots(every=5, version=2)) as app:
        sizes = watch(app)
        await count(app, 1)
        assert sizes == [5]


async def test_a_snapshot_of_another_history_is_not_used(make: Make) -> None:
    """As after a backup of the log was put back under newer snapshots."""
    policy = Snapshots(every=100)
    async with make(policy) as app:
        await count(app, 3)
    async with make(policy) as app:
        kept = keep(app, StoredState(STREAM, 3, "another", form_of(app).definition, '{"_version":3,"total":99}', 0))
        loaded = await app.running.loading.load(app.running.definition.aggregates[0], STREAM)
        assert (loaded.version, loaded.state.total, kept) == (3, 3, [None])


def keep(app: App, state: StoredState) -> list[StoredState | None]:
    """The store gives this snapshot until it is told to drop it."""
    kept: list[StoredState | None] = [state]

    async def state_of(stream: str) -> StoredState | None:
        return kept[0]

    async def drop(stream: str | None = None) -> int:
        kept[0] = None
        return 1

    app.running.store.state = state_of  # type: ignore[method-assign]
    app.running.store.drop_states = drop  # type: ignore[method-assign]
    return kept


@pytest.mark.parametrize("text", ["", "{", '{"total":"many"}', "[]"])
async def test_a_damaged_snapshot_is_not_used(make: Make, text: str) -> None:
    policy = Snapshots(every=100)
    async with make(policy) as app:
        await count(app, 3)
        (*_, last) = await app.running.store.read_stream(STREAM)
    async with make(policy) as app:
        keep(app, StoredState(STREAM, 3, last.id, form_of(app).definition, text, 0))
        assert (await app.execute(Count("c"))).version == 4


async def test_a_snapshot_ahead_of_the_log_is_not_used(make: Make) -> None:
    policy = Snapshots(every=100)
    async with make(policy) as app:
        await count(app, 1)
    async with make(policy) as app:
        keep(app, StoredState(STREAM, 50, "gone", form_of(app).definition, '{"_version":50,"total":50}', 0))
        assert (await app.execute(Count("c"))).version == 2


async def test_a_failure_to_save_is_logged_once_and_harmless(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    async with make(Snapshots(every=1)) as app:

        async def full(state: StoredState) -> None:
            raise OSError("no space")

        app.running.store.save_state = full  # type: ignore[method-assign]
        with caplog.at_level(logging.INFO, "deedlog.snapshots"):
            await count(app, 3)
            await app.running.snapshots.settle()
        assert [record.getMessage() for record in caplog.records] == [
            "no snapshot of counter-c is saved (it is loaded from its events): no space"
        ]


class Bag(msgspec.Struct, frozen=True):
    things: Any = ()


async def test_a_state_that_would_come_back_as_another_is_not_saved(caplog: pytest.LogCaptureFixture) -> None:
    app = App("counting", store="memory://")
    app.decider("counter", key="counter", initial=Bag, decide=to_counted, evolve=into_tuple, snapshots=Snapshots(every=1))
    async with app:
        await count(app, 1)
        assert await saved(app) is None
    assert "comes back from JSON as another" in caplog.text


def to_counted(command: Count, state: Bag) -> Counted:
    return Counted(command.counter, command.by)


def into_tuple(state: Bag, event: Counted) -> Bag:
    return Bag((*state.things, event.by))


class Total(msgspec.Struct, frozen=True):
    total: int = 0


def total_counted(command: Count, state: Total) -> Counted:
    return Counted(command.counter, command.by)


def added(state: Total, event: Counted) -> Total:
    return Total(state.total + event.by)


async def test_a_decider_has_snapshots_too() -> None:
    app = App("counting", store="memory://")
    app.decider("counter", key="counter", initial=Total, decide=total_counted, evolve=added, snapshots=Snapshots(every=2))
    async with app:
        await count(app, 2)
        snapshot = await saved(app)
        assert snapshot is not None
        assert snapshot.state == '{"total":2}'


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Snapshots(), "never saves one"),
        (Snapshots(every=0), "saves nothing new"),
        (Snapshots(bytes=0), "saves nothing new"),
        (Snapshots(age=timedelta(seconds=-1)), "negative age"),
    ],
)
def test_a_policy_that_can_not_work_is_refused(policy: Snapshots, said: str) -> None:
    app = App("counting", store="memory://")
    app.include(counters(policy))
    with pytest.raises(InvalidDeclaration, match=f"test_snapshots.py:.*{said}"):
        app.build()


def test_a_state_that_is_no_plain_data_is_refused_with_its_place() -> None:
    app = App("counting", store="memory://")

    @app.aggregate(key="counter", snapshots=Snapshots(every=1))
    class Counter(Aggregate):
        handle: Callable[[], None] | None = None

        @decide
        def count(self, command: Count) -> None: ...

    with pytest.raises(InvalidDeclaration, match=r"test_snapshots\.py:.*a snapshot of Counter can't be stored"):
        app.build()


def test_what_a_helper_method_does_counts_and_what_decides_does_not() -> None:
    def plain(module: Module) -> None:
        @module.aggregate(key="counter", snapshots=Snapshots(every=1))
        class Counter(Aggregate):
            total: int = 0

            @decide
            def count(self, command: Count) -> None: ...

            def add(self, by: int) -> None:
                self.total += by

    def refusing(module: Module) -> None:
        @module.aggregate(key="counter", snapshots=Snapshots(every=1))
        class Counter(Aggregate):
            total: int = 0

            @decide
            def count(self, command: Count) -> None:
                raise ValueError

            def add(self, by: int) -> None:
                self.total += by

    def adding_more(module: Module) -> None:
        @module.aggregate(key="counter", snapshots=Snapshots(every=1))
        class Counter(Aggregate):
            total: int = 0

            @decide
            def count(self, command: Count) -> None: ...

            def add(self, by: int) -> None:
                self.total += by + 1

    assert definition_of(plain) == definition_of(refusing)
    assert definition_of(plain) != definition_of(adding_more)


def definition_of(declare: Callable[[Module], None]) -> str:
    app = App("counting", store="memory://")
    declare(app)
    form = app.build().aggregates[0].form
    assert form is not None
    return form.definition
