"""Many callers on few aggregates, some of whom go away, with strangers writing behind the app's back: P1, P2, P3, P4."""

import asyncio
import random
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from deedlog import App, DeedlogError
from deedlog.errors import Unavailable
from deedlog.messages.envelope import RecordedEvent
from deedlog.reads.memory import MemoryReadStore
from deedlog.sqlite.database import Database
from deedlog.store.batch import Outcome as Answered
from deedlog.store.memory import MemoryEventStore
from deedlog.store.port import PAGE, EventStore, StreamWrite, Submission
from deedlog.store.sqlite import SqliteEventStore
from deedlog.testing import TestClock
from deedlog.types import Any as AnyVersion
from deedlog.types import Position, StreamName, Version
from tests.property.counters import Add, Added, Broken, Outcome, check_log, check_outcomes, check_receipt, codec, counters
from tests.property.schedules import rounds, run


class Caller(msgspec.Struct, frozen=True):
    """One task that sends one command: when, how often the same at once, and when it goes away."""

    counter: str
    amount: int
    parts: int
    start: int
    with_id: bool
    twice: bool
    cancel_after: int | None


class Stranger(msgspec.Struct, frozen=True):
    """Somebody who writes into the log without the app."""

    counter: str
    amount: int
    start: int


small = st.integers(0, 8)
counter_names = st.sampled_from(["a", "a", "a", "b"])
callers = st.builds(
    Caller,
    counter_names,
    st.integers(-3, 9) | st.just(13),
    st.integers(0, 3),
    small,
    st.booleans(),
    st.booleans(),
    st.none() | small,
)
strangers = st.builds(Stranger, counter_names, st.integers(-3, 9), small)


class Scheduled(MemoryEventStore):
    """Takes its time at each step, as the seed says; a write may fail before or after it is done."""

    def __init__(self, chance: random.Random, failures: float) -> None:
        super().__init__(TestClock())
        self._chance = chance
        self._failures = failures

    async def _write(self, batch: list[Submission]) -> Sequence[Answered]:
        await self._dawdle()
        if self._chance.random() < self._failures:
            raise Unavailable("before the write")
        answers = await super()._write(batch)
        await self._dawdle()
        if self._chance.random() < self._failures:
            raise Unavailable("after the write")
        return answers

    async def behind_its_back(self, submission: Submission) -> None:
        """A write by somebody else: between any two steps of this store's own."""
        await super()._write([submission])

    async def read_stream(self, stream: StreamName, after: Version = 0, limit: int = PAGE) -> Sequence[RecordedEvent]:
        await self._dawdle()
        found = await super().read_stream(stream, after, min(limit, PAGE))
        await self._dawdle()
        return found

    async def read_all(
        self, after: Position = 0, limit: int = PAGE, *, categories: Collection[str] = (), names: Collection[str] = ()
    ) -> Sequence[RecordedEvent]:
        await self._dawdle()
        return await super().read_all(after, limit, categories=categories, names=names)

    async def command(self, command_id: str) -> Any:
        found = await super().command(command_id)
        await self._dawdle()
        return found

    async def _dawdle(self) -> None:
        await rounds(self._chance.randrange(4))


async def _call(app: App, caller: Caller, number: int) -> list[Outcome]:
    """What the caller heard; of a command that it sends twice at once, both answers."""
    await rounds(caller.start)
    command = Add(caller.counter, caller.amount, f"w{number}", caller.parts)
    id = f"c{number}" if caller.with_id else None
    outcomes = [Outcome(command, id) for _ in range(2 if caller.twice and id else 1)]
    tasks = [asyncio.create_task(_send(app, outcome)) for outcome in outcomes]
    if caller.cancel_after is not None:
        await rounds(caller.cancel_after)
        tasks[0].cancel()
    await asyncio.wait(tasks)
    return outcomes


async def _send(app: App, outcome: Outcome) -> None:
    try:
        outcome.receipt = await app.execute(outcome.command, id=outcome.id)
    except (DeedlogError, Broken) as error:
        outcome.error = error


def _write_of(stranger: Stranger) -> StreamWrite:
    event = Added(stranger.counter, stranger.amount, "stranger")
    return StreamWrite(f"counter_of-{stranger.counter}", (codec.new_event(event, "{}"),), AnyVersion())


async def _intrude(store: EventStore, stranger: Stranger) -> None:
    await rounds(stranger.start)
    if isinstance(store, Scheduled):
        await store.behind_its_back(Submission((_write_of(stranger),)))
    else:
        await store.append((_write_of(stranger),))


async def _follow(store: EventStore, until: asyncio.Event) -> list[RecordedEvent]:
    """A reader that goes along with the writers in small pages: what it has seen in the end."""
    seen: list[RecordedEvent] = []
    while True:
        last_look = until.is_set()
        page = await store.read_all(len(seen), 3)
        seen += page
        if last_look and not page:
            return seen
        await rounds(2)


async def _settled(store: EventStore) -> None:
    """Returns when what callers that went away have left in the queue is stored or not."""
    for _ in range(50):
        with suppress(Unavailable):
            await store.append((StreamWrite("counter_of-a", (), AnyVersion()),))
            return
    raise AssertionError("the store always fails")


async def _play(app: App, strange: EventStore, callers: Sequence[Caller], strangers: Sequence[Stranger]) -> None:
    async with app:
        store = app.running.store
        done = asyncio.Event()
        reader = asyncio.create_task(_follow(strange, done))
        intruding = asyncio.gather(*(_intrude(strange, stranger) for stranger in strangers))
        heard = await asyncio.gather(*(_call(app, caller, number) for number, caller in enumerate(callers)))
        outcomes = [outcome for pair in heard for outcome in pair]
        await intruding
        await _settled(store)
        done.set()
        log = list(await store.read_all(0, 10_000))
        assert await reader == log
        check_log(log)
        check_outcomes(log, outcomes)
        await _check_repeats(app, store, outcomes)


async def _check_repeats(app: App, store: EventStore, outcomes: Sequence[Outcome]) -> None:
    """P4: sent again, what was done gives the same receipt; what nobody knows of is done once at last, or refused."""
    for outcome in outcomes:
        if outcome.id is None:
            continue
        again = Outcome(outcome.command, outcome.id)
        for _ in range(50):
            await _send(app, again)
            if not isinstance(again.error, Unavailable):
                break
            again.error = None
        if outcome.receipt is not None:
            assert again.receipt == outcome.receipt
        log = list(await store.read_all(0, 10_000))
        check_log(log)
        check_outcomes(log, [again])
        if again.receipt is not None and again.receipt.events:
            check_receipt(log, [codec.decode(recorded) for recorded in log], again.receipt)
        if again.receipt is None:
            assert all(codec.decode(recorded).wish != outcome.command.wish for recorded in log), "refused, but it was done"


@settings(max_examples=10 * settings().max_examples)
@given(
    st.lists(callers, min_size=2, max_size=12),
    st.lists(strangers, max_size=4),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.0, 0.1]),
)
def test_whatever_the_order_each_event_was_decided_on_the_state_before_it(
    callers: list[Caller], strangers: list[Stranger], seed: int, failures: float
) -> None:
    chance = random.Random(seed)

    async def play() -> None:
        store = Scheduled(chance, failures)
        with patch("deedlog.app.open_stores", lambda *_, **__: (store, MemoryReadStore())):
            app = App("counters", store="memory://", clock=TestClock())
            app.include(counters)
            await _play(app, store, callers, strangers)

    run(chance, play)


@given(st.lists(callers, min_size=2, max_size=12), st.lists(strangers, max_size=4), st.integers(0, 2**32))
def test_so_it_is_with_a_second_process_on_the_file(callers: list[Caller], strangers: list[Stranger], seed: int) -> None:
    async def play(path: Path) -> None:
        app = App("counters", store=f"sqlite:///{path}", clock=TestClock())
        app.include(counters)
        await app.start()
        strange = SqliteEventStore(Database(path), TestClock())
        await strange.open()
        try:
            await _play(app, strange, callers, strangers)
        finally:
            await strange.close()

    with tempfile.TemporaryDirectory() as folder:
        run(random.Random(seed), lambda: play(Path(folder) / "counters.db"))
