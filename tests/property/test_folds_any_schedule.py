"""Whatever the order of steps, rebuilds and crashes, with two runners on one store: rows are those of plain Python (P5, P6)."""

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from deedlog.projections.projection import Projection
from deedlog.projections.rebuild import rebuild
from deedlog.projections.runner import Runner
from deedlog.reads.memory import MemoryReadStore
from deedlog.reads.port import ReadStore
from deedlog.reads.sqlite import SqliteReadStore
from deedlog.sqlite.database import Database
from deedlog.store.memory import MemoryEventStore
from deedlog.testing import TestClock
from deedlog.testing.contracts.faults import Crash, SmallPages
from deedlog.testing.contracts.ledger import codec, definition, expected, record
from deedlog.testing.contracts.ledger_stores import rows_in
from tests.property.test_folds import EVENTS

T = TypeVar("T")
Moment = Literal["before", "after"]
projections = st.sampled_from(definition.projections)
workers = st.sampled_from([0, 1])


class Crashing:
    """A read store whose next commits crash when told to; all else is the inner one's."""

    def __init__(self, inner: ReadStore) -> None:
        self._inner = inner
        self.plan: list[Moment | None] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._around(found) if name in ("write", "begin_rebuild", "switch") else found

    def _around(self, commit: Any) -> Any:
        async def around(*args: Any, **options: Any) -> Any:
            moment = self.plan.pop(0) if self.plan else None
            if moment == "before":
                raise Crash
            result = await commit(*args, **options)
            if moment == "after":
                raise Crash
            return result

        return around


class Folding(RuleBasedStateMachine):
    """The log grows; two workers fold it a page at a time, one crashes, somebody rebuilds."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.events: list[Any] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)

    @initialize(file=st.booleans(), size=st.integers(1, 6))
    def opens(self, file: bool, size: int) -> None:
        inner: ReadStore = SqliteReadStore(Database(Path(self.folder.name) / "rows.db")) if file else MemoryReadStore()
        self.inner = inner
        self.reads: Any = Crashing(inner)
        self.store = MemoryEventStore(TestClock())
        self.pages = SmallPages(self.store, size)
        self.run(self.store.open())
        self.run(inner.open())
        for projection in definition.projections:
            self.run(inner.prepare(projection.projected, 0))
        self.runners = {(worker, p.name): self.new_runner(p) for worker in (0, 1) for p in definition.projections}

    def new_runner(self, projection: Projection) -> Runner:
        return Runner(projection, self.pages, self.reads, codec)

    @rule(events=EVENTS)
    def grows(self, events: list[Any]) -> None:
        if events:
            self.run(record(self.store, *events))
            self.events += events

    @rule(worker=workers, projection=projections)
    def steps(self, worker: int, projection: Projection) -> None:
        self.run(self.runners[worker, projection.name].step())

    @rule(projection=projections)
    def both_step_at_once(self, projection: Projection) -> None:
        async def both() -> None:
            await asyncio.gather(*(self.runners[worker, projection.name].step() for worker in (0, 1)))

        self.run(both())

    @rule(worker=workers, projection=projections, moment=st.sampled_from(["before", "after"]), calm=st.integers(0, 2))
    def crashes(self, worker: int, projection: Projection, moment: Moment, calm: int) -> None:
        """In the commit after `calm` others; a new process goes on with the same store."""
        self.reads.plan = [*[None] * calm, moment]
        try:
            self.run(self.runners[worker, projection.name].catch_up())
        except Crash:
            self.runners[worker, projection.name] = self.new_runner(projection)
        self.reads.plan = []

    @rule(projection=projections)
    def rebuilds(self, projection: Projection) -> None:
        self.run(self.rebuild(projection))

    @rule(projection=projections, moment=st.sampled_from(["before", "after"]), calm=st.integers(0, 4))
    def a_rebuild_crashes(self, projection: Projection, moment: Moment, calm: int) -> None:
        self.reads.plan = [*[None] * calm, moment]
        with suppress(Crash):
            self.run(self.rebuild(projection))
        self.reads.plan = []

    @rule(projection=projections)
    def a_rebuild_runs_beside_a_worker(self, projection: Projection) -> None:
        async def both() -> None:
            await asyncio.gather(self.rebuild(projection), self.runners[0, projection.name].catch_up())

        self.run(both())

    async def rebuild(self, projection: Projection) -> None:
        await rebuild(self.new_runner(projection), self.reads, self.pages)

    @rule()
    def all_catch_up(self) -> None:
        for projection in definition.projections:
            self.run(self.runners[0, projection.name].catch_up())
        assert self.run(rows_in(self.inner)) == expected(self.events)

    @precondition(lambda self: hasattr(self, "runners"))
    @invariant()
    def nothing_is_skipped(self) -> None:
        """Every checkpoint has consumed as many events as its position says."""
        for projection in definition.projections:
            checkpoint = self.run(self.inner.checkpoint(projection.name))
            assert checkpoint is not None
            assert checkpoint.events == checkpoint.position <= len(self.events)

    def teardown(self) -> None:
        if hasattr(self, "runners"):
            self.all_catch_up()
            self.run(self.inner.close())
            self.run(self.store.close())
        self.loop.close()
        self.folder.cleanup()


TestFolding = Folding.TestCase
TestFolding.settings = settings(max_examples=max(30, settings().max_examples // 2))
