"""Two event stores live the same life, one in memory, one in a file that is opened again and again: none can tell them apart."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from deedlog.errors import ConditionFailed, DeedlogError
from deedlog.messages.envelope import NewEvent, RecordedEvent, to_micros
from deedlog.sqlite.database import Database, Durability, Writer
from deedlog.store.memory import MemoryEventStore
from deedlog.store.port import (
    Appended,
    EventStore,
    ImportedEvent,
    Matching,
    StoredState,
    StreamWrite,
    Submission,
    Unless,
)
from deedlog.store.sqlite import SqliteEventStore
from deedlog.testing import TestClock, counting_ids
from tests.property.test_stores_agree import expectations, keys

NAMES = ["X", "Y", "Z"]
TAGS = ["t:1", "t:2", "u:é\n"]
STREAMS = ["a-1", "a-2", "b-1", "ü-😀"]
START = to_micros(TestClock().now())

streams = st.sampled_from(STREAMS)
event_bodies = st.builds(
    lambda name, data, tags: NewEvent("", name, 1, data, "{}", tuple(tags)),
    st.sampled_from(NAMES),
    st.sampled_from(["{}", '{"a":"é\\u0000"}']),
    st.lists(st.sampled_from(TAGS), max_size=2),
)
tips = st.none() | st.just("the last one's") | st.just("another one's")
writes = st.builds(StreamWrite, streams, st.lists(event_bodies, max_size=3).map(tuple), expectations, tips)
several = st.lists(writes, max_size=3, unique_by=lambda write: write.stream).map(tuple)
tag_sets = st.lists(st.sampled_from(TAGS), max_size=2, unique=True).map(tuple)
name_sets = st.lists(st.sampled_from([*NAMES, "never"]), max_size=2, unique=True).map(tuple)
matchings = st.tuples(tag_sets, name_sets).filter(any).map(lambda both: Matching(*both))
any_of = st.lists(matchings, max_size=2).map(tuple)
positions = st.integers(0, 40)
unless = st.builds(Unless, any_of, positions)
submissions = st.builds(Submission, several, keys, st.lists(unless, max_size=2).map(tuple))
times = st.integers(-2, 12).map(lambda seconds: START + seconds * 1_000_000)
imported = st.builds(ImportedEvent, streams, event_bodies, st.none() | times)
limits = st.integers(1, 6)


class Quick(Database):
    """Waits for no disk: what a power cut leaves is tested elsewhere."""

    def writer(self, durability: Durability) -> Writer:
        return super().writer("NORMAL")


class Stores(RuleBasedStateMachine):
    """Every rule is done to both; what they say must be equal, and so must be the log that they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = TestClock()
        self.ids = counting_ids()
        self.log: list[RecordedEvent] = []
        self.tags: dict[str, frozenset[str]] = {}
        self.memory: EventStore = MemoryEventStore(self.clock)
        self.loop.run(self.memory.open())
        self.file = self.opened()

    def opened(self) -> EventStore:
        store = SqliteEventStore(Quick(Path(self.folder.name) / "events.db"), self.clock)
        self.loop.run(store.open())
        return store

    def both(self, ask: Callable[[EventStore], Awaitable[Any]]) -> Any:
        """What both stores say: a value, or an error's class and data."""

        async def said(store: EventStore) -> Any:
            try:
                found = await ask(store)
            except DeedlogError as error:
                return type(error), error.data
            return list(found) if isinstance(found, Sequence) else found

        mine, other = self.loop.run(said(self.memory)), self.loop.run(said(self.file))
        assert mine == other
        return mine

    def numbered(self, write: StreamWrite) -> StreamWrite:
        """With an id for each event, the same for both stores, and with the tip that is meant."""
        events = tuple(self.with_id(new) for new in write.events)
        mine = [event.id for event in self.log if event.stream == write.stream]
        tip = (mine[-1] if mine else "none") if write.tip == "the last one's" else write.tip
        return msgspec.structs.replace(write, events=events, tip=tip)

    def with_id(self, new: NewEvent) -> NewEvent:
        numbered = msgspec.structs.replace(new, id=self.ids())
        self.tags[numbered.id] = frozenset(new.tags)
        return numbered

    def fits(self, event: RecordedEvent, matching: Matching) -> bool:
        names_fit = event.name in matching.names if matching.names else True
        return names_fit and set(matching.tags) <= self.tags[event.id]

    @rule(batch=st.lists(submissions, min_size=1, max_size=6))
    def appends_at_once(self, batch: list[Submission]) -> None:
        wanted = [(tuple(self.numbered(w) for w in one.writes), one.command, one.conditions) for one in batch]

        async def submit(store: EventStore) -> list[Any]:
            answers = await asyncio.gather(*(store.append(*one) for one in wanted), return_exceptions=True)
            return [(type(a), a.data, str(a)) if isinstance(a, DeedlogError) else a for a in answers]

        answers = self.both(submit)
        self.log = self.whole_log()
        for one, answer in zip(wanted, answers, strict=True):
            self.check(one[0], one[2], answer)

    def check(self, writes: Sequence[StreamWrite], conditions: Sequence[Unless], answer: Any) -> None:
        """An answer that is no error has its events where it says; one that is has none. No accepted write broke a condition."""
        ids = [new.id for write in writes for new in write.events]
        if isinstance(answer, Appended) and not answer.repeated:
            assert [event.id for event in self.log[answer.position - answer.count : answer.position]] == ids
            seen = self.log[: answer.position - answer.count]
            for condition in conditions:
                broken = [e for e in seen[condition.after :] for m in condition.matching if self.fits(e, m)]
                assert not broken, (condition, broken)
        else:
            assert not {event.id for event in self.log} & set(ids)
        if isinstance(answer, tuple) and answer[0] is ConditionFailed:
            culprit = self.log[answer[1]["position"] - 1]
            assert any(self.fits(culprit, m) for condition in conditions for m in condition.matching)

    @rule(events=st.lists(imported, max_size=5), head=st.none() | positions)
    def imports(self, events: list[ImportedEvent], head: int | None) -> None:
        numbered = [msgspec.structs.replace(one, event=self.with_id(one.event)) for one in events]
        self.both(lambda store: store.import_events(numbered, expected_head=head))
        self.log = self.whole_log()

    @rule(stream=streams, expected=expectations)
    def closes_a_stream(self, stream: str, expected: Any) -> None:
        self.both(lambda store: store.close_stream(stream, expected, by="me", why="enough"))
        self.both(lambda store: store.closing(stream))

    @rule()
    def the_file_is_closed_and_opened(self) -> None:
        self.loop.run(self.file.close())
        self.file = self.opened()

    @rule(seconds=st.sampled_from([1, 1, 1, -1]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(stream=streams, after=st.integers(0, 8), limit=limits)
    def reads_a_stream(self, stream: str, after: int, limit: int) -> None:
        wanted = [event for event in self.log if event.stream == stream and event.version > after][:limit]
        assert self.both(lambda store: store.read_stream(stream, after, limit)) == wanted

    @rule(after=positions, limit=limits, categories=st.sets(st.sampled_from(["a", "b", "ü"])), names=name_sets)
    def reads_all(self, after: int, limit: int, categories: set[str], names: tuple[str, ...]) -> None:
        wanted = [
            event
            for event in self.log[after:]
            if (not categories or event.category in categories) and (not names or event.name in names)
        ]
        found = self.both(lambda store: store.read_all(after, limit, categories=categories, names=names))
        assert found == wanted[:limit]

    @rule(wanted=any_of, after=positions, limit=limits)
    def reads_matching(self, wanted: tuple[Matching, ...], after: int, limit: int) -> None:
        fitting = [event for event in self.log[after:] if any(self.fits(event, one) for one in wanted)]
        assert self.both(lambda store: store.read_matching(wanted, after, limit)) == fitting[:limit]

    @rule(id=st.sampled_from(["c1", "c2", "c3", "never"]))
    def asks_for_a_command(self, id: str) -> None:
        self.both(lambda store: store.command(id))

    @rule(before=times, limit=limits)
    def forgets_commands(self, before: int, limit: int) -> None:
        self.both(lambda store: store.forget_commands(before, limit))

    @rule(prefix=st.sampled_from(["", "a", "a-", "ü", "x"]), after=st.sampled_from(["", *STREAMS]), limit=limits)
    def lists_streams(self, prefix: str, after: str, limit: int) -> None:
        found = self.both(lambda store: store.streams(prefix, after, limit))
        names = sorted({e.stream for e in self.log if e.stream.startswith(prefix) and e.stream > after}, key=str.encode)
        assert [summary.stream for summary in found] == names[:limit]

    @rule(time=times)
    def asks_for_a_position_at_a_time(self, time: int) -> None:
        for store in (self.memory, self.file):  # with a clock that goes back there may be several right answers
            found = self.loop.run(store.position_at(time))
            assert found == 0 or self.log[found - 1].recorded_at <= time
            assert found == len(self.log) or self.log[found].recorded_at > time

    @rule(stream=streams, position=positions)
    def asks_for_a_version_at_a_position(self, stream: str, position: int) -> None:
        wanted = sum(1 for event in self.log[:position] if event.stream == stream)
        assert self.both(lambda store: store.version_at(stream, position)) == wanted

    @rule(stream=streams, version=st.integers(0, 6), right=st.booleans())
    def saves_a_state(self, stream: str, version: int, right: bool) -> None:
        mine = [event for event in self.log if event.stream == stream]
        id = mine[version - 1].id if right and 0 < version <= len(mine) else "another"
        state = StoredState(stream, version, id, "d", f'{{"v":{version}}}', START)
        self.both(lambda store: store.save_state(state))
        kept = self.both(lambda store: store.state(stream))
        assert kept is None or mine[kept.version - 1].id == kept.event_id

    @rule(stream=st.none() | streams)
    def drops_states(self, stream: str | None) -> None:
        self.both(lambda store: store.drop_states(stream))

    def whole_log(self) -> list[RecordedEvent]:
        found: list[RecordedEvent] = self.both(lambda store: store.read_all(0, 10_000))
        return found

    @invariant()
    def positions_and_versions_have_no_holes(self) -> None:
        assert [event.position for event in self.log] == list(range(1, len(self.log) + 1))
        for stream in STREAMS:
            versions = [event.version for event in self.log if event.stream == stream]
            assert versions == list(range(1, len(versions) + 1))
        assert self.both(lambda store: store.head()) == len(self.log)

    def teardown(self) -> None:
        self.loop.run(self.file.close())
        self.loop.run(self.memory.close())
        self.loop.close()
        self.folder.cleanup()


TestStores = Stores.TestCase
TestStores.settings = settings(max_examples=settings().max_examples // 2)
