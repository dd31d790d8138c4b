"""Events as the event store's contract writes them, and the store it writes them to."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from deedlog.ids import new_id
from deedlog.messages.envelope import NewEvent, RecordedEvent
from deedlog.store.coalescer import MAX_WAITING
from deedlog.store.port import Appended, CommandKey, EventStore, StreamWrite, Unless
from deedlog.testing.clock import TestClock
from deedlog.types import Any as AnyVersion
from deedlog.types import Clock, ExpectedVersion

ANY = AnyVersion()


class EventStoreTests(ABC):
    """What all tests of an event store share."""

    capabilities: ClassVar[frozenset[str]] = frozenset()
    """`reopen`: a second store made in the same folder, after the first was closed, has what the first had.
    `shared`: so has one that is open at the same time."""

    @abstractmethod
    async def make_store(self, folder: Path, clock: Clock, max_waiting: int) -> EventStore:
        """A store that is not open yet. `folder` is empty at first and the test's own; `max_waiting` bounds its queue."""

    @asynccontextmanager
    async def opened(
        self, folder: Path, *, clock: Clock | None = None, max_waiting: int = MAX_WAITING
    ) -> AsyncIterator[EventStore]:
        store = await self.make_store(folder, clock or TestClock(), max_waiting)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


def event(data: str = "{}", *, name: str = "Happened", metadata: str = "{}", tags: tuple[str, ...] = ()) -> NewEvent:
    """An event with an id of its own."""
    return NewEvent(new_id(), name, 1, data, metadata, tags)


def events(count: int) -> tuple[NewEvent, ...]:
    return tuple(event(f'{{"n":{number}}}') for number in range(count))


def to(stream: str, *new: NewEvent, expected: ExpectedVersion = ANY) -> StreamWrite:
    return StreamWrite(stream, new, expected)


async def append(
    store: EventStore,
    stream: str,
    *new: NewEvent,
    expected: ExpectedVersion = ANY,
    command: CommandKey | None = None,
    conditions: Sequence[Unless] = (),
) -> Appended:
    return await store.append((to(stream, *new, expected=expected),), command, conditions)


async def everything(store: EventStore, limit: int = 500) -> list[RecordedEvent]:
    """The whole log, read in pages."""
    log: list[RecordedEvent] = []
    while page := await store.read_all(len(log), limit):
        assert [recorded.position for recorded in page] == list(range(len(log) + 1, len(log) + 1 + len(page)))
        log += page
    return log


def assert_sound(log: Sequence[RecordedEvent]) -> None:
    """Positions are 1, 2, 3 …; versions are so in each stream; no event is there twice."""
    assert [recorded.position for recorded in log] == list(range(1, len(log) + 1))
    versions: dict[str, int] = {}
    for recorded in log:
        versions[recorded.stream] = versions.get(recorded.stream, 0) + 1
        assert recorded.version == versions[recorded.stream], recorded
    assert len({recorded.id for recorded in log}) == len(log)


def event_ids(log: Sequence[RecordedEvent]) -> list[str]:
    return [recorded.id for recorded in log]
