"""The life of a projection with dead letters: accounts break and are mended, events can't be read, rows are retried, skipped,
rebuilt, rolled back. At any time what is not parked is right; when all is mended, everything is.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from deedlog.errors import Misuse
from deedlog.messages.envelope import RecordedEvent
from deedlog.projections.letters import DeadLetters
from deedlog.projections.rebuild import rebuild, verify
from deedlog.projections.runner import Runner
from deedlog.reads.memory import MemoryReadStore
from deedlog.reads.port import ReadStore
from deedlog.reads.sqlite import SqliteReadStore
from deedlog.reads.values import STREAM, Letter, Place
from deedlog.store.memory import MemoryEventStore
from deedlog.store.port import PAGE, EventStore
from deedlog.store.sqlite import SqliteEventStore
from deedlog.testing import TestClock
from deedlog.testing.contracts.faults import SmallPages
from deedlog.testing.contracts.ledger import (
    Account,
    Closed,
    Deposited,
    Moved,
    Opened,
    Owner,
    OwnerNamed,
    Statement,
    broken,
    codec,
    record,
    together,
)
from deedlog.testing.contracts.ledger_stores import rows_in
from deedlog.types import Position
from tests.property.test_stores_machine import Quick

Rows: TypeAlias = dict[Place, Any]
Skips: TypeAlias = Collection[tuple[Place, Position]]

accounts = st.sampled_from(["a1", "b1"])
owners = st.sampled_from(["ann", "bob"])
events = st.one_of(
    st.builds(Opened, accounts, owners),
    st.builds(Deposited, accounts, st.integers(1, 99)),
    st.builds(Deposited, accounts, st.integers(1, 99)),
    st.builds(OwnerNamed, owners, st.sampled_from(["Ann", "Bob", "Cem"])),
    st.builds(Moved, accounts, owners),
    st.builds(Closed, accounts),
)


def stream_of(event: Any) -> str:
    return f"ledger-{getattr(event, 'account', 'owner')}"


def rows_after(events: Sequence[Any], skips: Skips) -> Rows:
    """What the rows must be, in plain Python; each row without the events that it skips."""
    rows: Rows = {}
    for position, event in enumerate(events, 1):
        if ((STREAM, stream_of(event)), position) in skips:
            continue
        _apply(rows, event, lambda *place, at=position: (place, at) not in skips)
    return rows


def _apply(rows: Rows, event: Any, gets: Any) -> None:
    account = getattr(event, "account", None)
    here = rows.get(("Account", account))
    match event:
        case OwnerNamed(owner=str(owner), name=name):
            if gets("Owner", owner):
                row = rows.setdefault(("Owner", owner), Owner(owner))
                row.name, row.renamed = name, row.renamed + 1
            for (model, key), one in list(rows.items()):
                if model == "Account" and one.owner == owner and gets(model, key):
                    one.owner_name = name
                    one.history.append(name)
        case Opened(owner=owner) if gets("Account", account):
            named = rows.get(("Owner", owner))
            rows["Account", account] = Account(event.account, owner, named.name if named is not None else "")
        case Deposited(amount=amount):
            if here is not None and gets("Account", account):
                here.balance += amount
                here.history.append(f"+{amount}")
            if gets("Statement", account):
                lines = rows.setdefault(("Statement", account), Statement(event.account)).lines
                lines.append(f"{'nobody' if here is None else here.owner}: {amount}")
        case Moved(owner=owner) if here is not None and gets("Account", account):
            here.owner = owner
        case Closed() if gets("Account", account):
            rows.pop(("Account", account), None)


class Unreadables(SmallPages):
    """Pages of a size that changes; the data of some events fits no class."""

    def __init__(self, inner: EventStore, positions: set[Position]) -> None:
        super().__init__(inner, PAGE)
        self._positions = positions

    def page(self, size: int) -> None:
        self._size = size

    async def read_all(self, *args: Any, **how: Any) -> Sequence[RecordedEvent]:
        page = await super().read_all(*args, **how)
        return [msgspec.structs.replace(e, data="no JSON") if e.position in self._positions else e for e in page]


class ReadSide(RuleBasedStateMachine):
    """One projection; `file` says whether it is on SQLite."""

    file: ClassVar[bool]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.opened = ExitStack()
        self.events: list[Any] = []
        self.skips: set[tuple[Place, Position]] = set()
        self.unreadable: set[Position] = set()
        self.path = Path(self.opened.enter_context(tempfile.TemporaryDirectory())) / "ledger.db"
        broken.update({"a1"})
        self.clock = TestClock()
        self.reads: ReadStore = MemoryReadStore()
        self.inner: EventStore = MemoryEventStore(self.clock)
        self.start()

    def run(self, work: Awaitable[Any]) -> Any:
        async def main() -> Any:
            return await work

        return self.loop.run(main())

    def start(self) -> None:
        if self.file:
            database = Quick(self.path)
            self.inner, self.reads = SqliteEventStore(database, self.clock), SqliteReadStore(database)
        self.run(self.inner.open())
        self.store = Unreadables(self.inner, self.unreadable)
        self.run(self.reads.open())
        self.run(self.reads.prepare(together.projected, len(self.events)))
        self.new_runner()

    def new_runner(self) -> None:
        self.runner = Runner(together, self.store, self.reads, codec)
        self.letters = DeadLetters(together, self.store, self.reads, codec, self.clock)

    def stop(self) -> None:
        if self.file:
            self.run(self.reads.close())
            self.run(self.inner.close())

    @rule(batch=st.lists(events, min_size=1, max_size=8))
    def write(self, batch: list[Any]) -> None:
        self.run(record(self.inner, *batch))
        self.events += batch

    @rule(event=events)
    def write_what_no_class_fits(self, event: Any) -> None:
        self.unreadable.add(len(self.events) + 1)
        self.write([event])

    @rule()
    def make_readable(self) -> None:
        self.unreadable.clear()

    @rule(account=accounts)
    def break_or_mend(self, account: str) -> None:
        broken.symmetric_difference_update({account})

    @rule(size=st.integers(1, 6))
    def step(self, size: int) -> None:
        self.store.page(size)
        self.run(self.runner.step())

    @rule(size=st.integers(1, 6))
    def catch_up(self, size: int) -> None:
        self.store.page(size)
        self.run(self.runner.catch_up())

    @rule()
    def restart(self) -> None:
        self.stop()
        self.start() if self.file else self.new_runner()

    @rule()
    def retry_all(self) -> None:
        self.run(self.letters.retry())

    @rule(which=st.integers(0, 99))
    def retry_one(self, which: int) -> None:
        if places := self.parked():
            self.run(self.letters.retry([places[which % len(places)]]))

    @rule(which=st.integers(0, 99))
    def skip_one(self, which: int) -> None:
        if found := self.listed():
            letter = found[which % len(found)]
            self.run(self.letters.skip(letter.place, letter.position, by="ann", why="typed twice"))
            self.skips.add((letter.place, letter.position))

    @rule(which=st.integers(0, 99))
    def purge_one(self, which: int) -> None:
        if places := self.parked():
            place = places[which % len(places)]
            self.skips |= {(letter.place, letter.position) for letter in self.listed() if letter.place == place}
            self.run(self.letters.purge([place], by="ann", why="a test account"))

    @rule()
    def rebuild(self) -> None:
        try:
            self.run(rebuild(Runner(together, self.store, self.reads, codec), self.reads, self.store))
        except Misuse:  # it would park what is not parked now
            assert broken or self.unreadable

    @rule()
    def roll_back(self) -> None:
        if self.skips:  # the generation before may have folded what was skipped since
            return
        try:
            self.run(self.reads.rollback(together.name))
        except Misuse:
            return

    def listed(self) -> list[Letter]:
        return list(self.run(self.letters.list(limit=100_000)))

    def parked(self) -> list[Place]:
        return sorted({letter.place for letter in self.listed()}, key=repr)

    def rows(self) -> Rows:
        models = {model.name: model for model in together.projected.models}
        found = self.run(rows_in(self.reads, together))
        return {(name, models[name].key_of(row)): row for name, rows in found.items() for row in rows}

    @invariant()
    def what_is_not_parked_is_right(self) -> None:
        at = self.run(self.reads.current(together.projected))
        letters = self.listed()
        parked = {letter.place for letter in letters}
        assert at.parked == len(parked)
        assert [letter.position for letter in letters] == sorted(letter.position for letter in letters)
        assert len({(letter.place, letter.position) for letter in letters}) == len(letters)
        assert all(letter.position <= at.position for letter in letters)
        if any(model == STREAM for model, _ in parked):
            return  # what its events would have changed is as it was before them
        self.are_equal(rows_after(self.events[: at.position], self.skips), parked)

    def are_equal(self, wanted: Rows, parked: Collection[Place] = ()) -> None:
        found = self.rows()
        for place in {*wanted, *found} - set(parked):
            assert found.get(place) == wanted.get(place), place

    def teardown(self) -> None:
        try:
            self.when_all_is_mended_all_is_right()
        finally:
            broken.clear()
            self.stop()
            self.loop.close()
            self.opened.close()

    def when_all_is_mended_all_is_right(self) -> None:
        broken.clear()
        self.unreadable.clear()
        self.store.page(5)
        self.run(self.runner.catch_up())
        assert self.run(self.letters.retry()) == []
        assert self.listed() == []
        self.are_equal(rows_after(self.events, self.skips))
        found = self.run(verify(Runner(together, self.store, self.reads, codec), self.reads, self.store))
        assert found.comparison.different == 0


class InMemory(ReadSide):
    file = False


class InAFile(ReadSide):
    file = True


TestInMemory = InMemory.TestCase
TestInAFile = InAFile.TestCase
