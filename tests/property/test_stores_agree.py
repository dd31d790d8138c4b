"""Random histories of appends have the same outcomes on every event store, and those that a few lines of Python say."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from deedlog.errors import DeedlogError
from deedlog.messages.envelope import NewEvent, RecordedEvent
from deedlog.sqlite.database import Database
from deedlog.store.memory import MemoryEventStore
from deedlog.store.port import Appended, CommandKey, EventStore, StreamWrite, Submission
from deedlog.store.sqlite import SqliteEventStore
from deedlog.testing import TestClock, counting_ids
from deedlog.types import Any as AnyVersion
from deedlog.types import Exactly, NoStream, StreamExists

STREAMS = ["a-1", "a-2", "b-1", "ü-😀"]
Batch = list[Submission]

expectations = st.just(AnyVersion()) | st.just(NoStream()) | st.just(StreamExists()) | st.builds(Exactly, st.integers(0, 4))
event_bodies = st.builds(
    lambda name, data: NewEvent("", name, 1, data, "{}"), st.sampled_from("XYZ"), st.sampled_from(["{}", '{"a":"é\\u0000"}'])
)
writes = st.builds(StreamWrite, st.sampled_from(STREAMS), st.lists(event_bodies, max_size=3).map(tuple), expectations)
several = st.lists(writes, min_size=1, max_size=3, unique_by=lambda write: write.stream).map(tuple)
keys = st.none() | st.builds(CommandKey, st.sampled_from(["c1", "c2", "c3"]), st.sampled_from(["d1", "d2"]))
histories = st.lists(st.lists(st.builds(Submission, several, keys), min_size=1, max_size=8), min_size=1, max_size=6)


class Model:
    """What an event store is, without a word about how: a list, and the answers that were given."""

    def __init__(self) -> None:
        self.log: list[tuple[str, int, str]] = []
        self.answers: dict[str, tuple[str, Any]] = {}

    def version(self, stream: str) -> int:
        return sum(1 for name, _, _ in self.log if name == stream)

    def append(self, submission: Submission) -> Any:
        key = submission.command
        if key is not None and key.id in self.answers:
            digest, answer = self.answers[key.id]
            return msgspec.structs.replace(answer, repeated=True) if digest == key.digest else "duplicate_message"
        if not all(self.fits(write) for write in submission.writes):
            return "wrong_expected_version"
        count = 0
        for write in submission.writes:
            for new in write.events:
                self.log.append((write.stream, self.version(write.stream) + 1, new.id))
                count += 1
        first = submission.writes[0].stream
        answer = Appended(first, self.version(first), len(self.log), count)
        if key is not None:
            self.answers[key.id] = (key.digest, answer)
        return answer

    def fits(self, write: StreamWrite) -> bool:
        version = self.version(write.stream)
        match write.expected:
            case Exactly(version=wanted):
                return version == wanted
            case NoStream():
                return version == 0
            case StreamExists():
                return version > 0
            case _:
                return True


def numbered(history: Sequence[Batch]) -> list[Batch]:
    """The same history with an id of its own for each event, so that all stores get the very same ones."""
    ids = counting_ids()

    def with_ids(write: StreamWrite) -> StreamWrite:
        events = tuple(msgspec.structs.replace(new, id=ids()) for new in write.events)
        return msgspec.structs.replace(write, events=events)

    return [[Submission(tuple(with_ids(w) for w in s.writes), s.command) for s in batch] for batch in history]


async def play(store: EventStore, clock: TestClock, history: Sequence[Batch]) -> tuple[list[list[Any]], list[RecordedEvent]]:
    """Submits each batch at once; the outcomes, and the log."""
    await store.open()
    try:
        outcomes = []
        for batch in history:
            callers = (store.append(submission.writes, submission.command) for submission in batch)
            answers = await asyncio.gather(*callers, return_exceptions=True)
            outcomes.append([answer.code if isinstance(answer, DeedlogError) else answer for answer in answers])
            clock.advance(1)
        return outcomes, list(await store.read_all(0, 10_000))
    finally:
        await store.close()


@given(histories)
def test_stores_agree_with_each_other_and_with_the_model(history: list[Batch]) -> None:
    history = numbered(history)
    model = Model()
    wanted = [[model.append(submission) for submission in batch] for batch in history]
    clock = TestClock()
    outcomes, log = asyncio.run(play(MemoryEventStore(clock), clock, history))
    assert outcomes == wanted
    assert [(event.stream, event.version, event.id) for event in log] == model.log
    with tempfile.TemporaryDirectory() as folder:
        clock = TestClock()
        store = SqliteEventStore(Database(Path(folder) / "events.db"), clock)
        assert asyncio.run(play(store, clock, history)) == (outcomes, log)
