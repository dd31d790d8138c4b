"""Random appends under conditions, closings and imports: every event store says what a few lines of Python say."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from deedlog.errors import ConditionFailed, DeedlogError
from deedlog.messages.envelope import NewEvent, to_micros
from deedlog.sqlite.database import Database
from deedlog.store.memory import MemoryEventStore
from deedlog.store.port import ANY, Appended, EventStore, ImportedEvent, Matching, StreamWrite, Submission, Unless
from deedlog.store.sqlite import SqliteEventStore
from deedlog.testing import TestClock, counting_ids

STREAMS, NAMES, TAGS = ["a-1", "a-2", "b-ü"], ["X", "Y"], ["k:1", "k:2", "ü:'😀"]


class Close(msgspec.Struct, frozen=True):
    stream: str


class Import(msgspec.Struct, frozen=True):
    events: tuple[ImportedEvent, ...]
    expected_head: int | None


Step: TypeAlias = list[Submission] | Close | Import
Told: TypeAlias = list[Any]

streams = st.sampled_from(STREAMS)
some_tags = st.lists(st.sampled_from(TAGS), max_size=3).map(tuple)
new_events = st.builds(lambda name, tags: NewEvent("", name, 1, "{}", "{}", tags), st.sampled_from(NAMES), some_tags)
matchings = st.tuples(some_tags, st.lists(st.sampled_from([*NAMES, "Z"]), max_size=2).map(tuple))
matchings_of_something = matchings.filter(any).map(lambda both: Matching(*both))
conditions = st.builds(Unless, st.lists(matchings_of_something, max_size=2).map(tuple), st.integers(0, 12))
writes = st.builds(lambda stream, events: StreamWrite(stream, tuple(events), ANY), streams, st.lists(new_events, max_size=2))
appends = st.builds(
    lambda writes, conditions: Submission(tuple(writes), None, tuple(conditions)),
    st.lists(writes, max_size=2, unique_by=lambda write: write.stream),
    st.lists(conditions, max_size=2),
)
imports = st.builds(
    Import,
    st.lists(st.builds(ImportedEvent, streams, new_events, st.none() | st.integers(-(10**15), 2 * 10**15)), max_size=3).map(
        tuple
    ),
    st.none() | st.integers(0, 6),
)
histories = st.lists(st.lists(appends, min_size=1, max_size=6) | st.builds(Close, streams) | imports, min_size=1, max_size=8)


class Model:
    """An event store with conditions and closings: a list of what was stored, and a set of names."""

    def __init__(self) -> None:
        self.log: list[tuple[str, NewEvent]] = []
        self.closed: set[str] = set()

    def version(self, stream: str) -> int:
        return sum(name == stream for name, _ in self.log)

    def fits(self, matching: Matching) -> list[int]:
        found = enumerate(self.log, 1)
        return [place for place, (_, event) in found if matching.accepts(event.name, event.tags)]

    def append(self, wish: Submission) -> Any:
        if any(write.events and write.stream in self.closed for write in wish.writes):
            return "stream_closed"
        for condition in wish.conditions:
            for matching in condition.matching:
                if newest := max((place for place in self.fits(matching) if place > condition.after), default=0):
                    return ("condition_failed", str(matching), condition.after, newest)
        count = sum(len(write.events) for write in wish.writes)
        self.log += [(write.stream, event) for write in wish.writes for event in write.events]
        first = wish.writes[0].stream if wish.writes else ""
        return Appended(first, self.version(first), len(self.log), count)

    def take(self, step: Step) -> Told:
        match step:
            case Close(stream=stream):
                self.closed.add(stream)
                return [stream]
            case Import(events=events, expected_head=expected):
                if expected not in (None, len(self.log)):
                    return ["conflict"]
                if any(event.stream in self.closed for event in events):
                    return ["stream_closed"]
                self.log += [(imported.stream, imported.event) for imported in events]
                last = events[-1].stream if events else ""
                return [Appended(last, self.version(last), len(self.log), len(events))]
            case batch:
                return [self.append(wish) for wish in batch]


def with_ids(history: Sequence[Step]) -> list[Step]:
    """The same history with an id of its own for each event."""
    ids = counting_ids()

    def named(event: NewEvent) -> NewEvent:
        return msgspec.structs.replace(event, id=ids())

    def written(write: StreamWrite) -> StreamWrite:
        return msgspec.structs.replace(write, events=tuple(named(event) for event in write.events))

    def stepped(step: Step) -> Step:
        match step:
            case Close():
                return step
            case Import(events=events):
                return Import(tuple(ImportedEvent(e.stream, named(e.event), e.recorded_at) for e in events), step.expected_head)
            case batch:
                return [msgspec.structs.replace(wish, writes=tuple(written(write) for write in wish.writes)) for wish in batch]

    return [stepped(step) for step in history]


def told(answer: Any) -> Any:
    if isinstance(answer, ConditionFailed):
        return (answer.code, answer.matching, answer.after, answer.position)
    return answer.code if isinstance(answer, DeedlogError) else answer


async def take(store: EventStore, step: Step) -> Told:
    match step:
        case Close(stream=stream):
            return [(await store.close_stream(stream, by="a", why="b")).stream]
        case Import(events=events, expected_head=expected):
            return [
                told(one)
                for one in await asyncio.gather(store.import_events(events, expected_head=expected), return_exceptions=True)
            ]
        case batch:
            callers = (store.append(wish.writes, wish.command, wish.conditions) for wish in batch)
            return [told(answer) for answer in await asyncio.gather(*callers, return_exceptions=True)]


async def play(store: EventStore, clock: TestClock, history: Sequence[Step], matching: Matching) -> tuple[list[Told], list[Any]]:
    """What each step was answered, and all that can be read afterwards."""
    await store.open()
    start = to_micros(clock.now())
    try:
        outcomes = []
        for step in history:
            outcomes.append(await take(store, step))
            clock.advance(1)
        log = await store.read_all(0, 10_000)
        matched = [event.position for event in await store.read_matching([matching, Matching(("k:1",))])]
        versions = [await store.version_at(stream, place) for stream in STREAMS for place in range(len(log) + 1)]
        places = [await store.position_at(start + 500_000 * half) for half in range(-1, 18)]
        return outcomes, [list(log), matched, versions, places]
    finally:
        await store.close()


@given(histories, matchings_of_something)
def test_stores_agree_on_conditions_closings_and_imports(history: list[Step], matching: Matching) -> None:
    history = with_ids(history)
    model = Model()
    wanted = [model.take(step) for step in history]
    clock = TestClock()
    outcomes, read = asyncio.run(play(MemoryEventStore(clock), clock, history, matching))
    assert outcomes == wanted
    assert [(event.stream, event.id) for event in read[0]] == [(stream, event.id) for stream, event in model.log]
    assert read[1] == sorted({*model.fits(matching), *model.fits(Matching(("k:1",)))})
    with tempfile.TemporaryDirectory() as folder:
        clock = TestClock()
        store = SqliteEventStore(Database(Path(folder) / "events.db"), clock)
        assert asyncio.run(play(store, clock, history, matching)) == (outcomes, read)
