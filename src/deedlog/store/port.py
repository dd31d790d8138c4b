"""The event store's port: what every adapter promises, and the values that cross it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

import msgspec

from deedlog.errors import InvalidMessage
from deedlog.messages.envelope import NewEvent, RecordedEvent
from deedlog.types import Any, ExpectedVersion, Position, StreamName, Version

PAGE = 500
ANY = Any()


class StreamWrite(msgspec.Struct, frozen=True, gc=False):
    """Events for one stream under one condition. No events: only the condition is asserted.

    `tip`, where it is given, is the id that the stream's last event must have: for a writer who expects an event that may not
    be stored, since another one may have taken its version.
    """

    stream: StreamName
    events: tuple[NewEvent, ...]
    expected: ExpectedVersion
    tip: str | None = None


class CommandKey(msgspec.Struct, frozen=True, gc=False):
    """A command's id and a digest of its content: the same id with another digest is a DuplicateMessage."""

    id: str
    digest: str


class Matching(msgspec.Struct, frozen=True):
    """The events that have all of `tags` and one of `names`; without names, of any name.

    Tags are text as stored, `field:value`. Put the rarest first: that is the one that is looked up. Raises InvalidMessage for
    what would match every event, and for text that no database can look up.
    """

    tags: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.tags and not self.names:
            raise InvalidMessage(
                "Matching", "$", "it has neither tags nor names", fix="name one of them; all events are read_all"
            )
        if any("\0" in text for text in (*self.tags, *self.names)):
            raise InvalidMessage("Matching", "$", "a tag or name has a NUL character", fix="leave it out")

    def accepts(self, name: str, tags: Collection[str]) -> bool:
        """True for an event of this name with these tags."""
        return (not self.names or name in self.names) and all(tag in tags for tag in self.tags)

    def __str__(self) -> str:
        return " ".join(filter(None, ("|".join(self.names), " ".join(self.tags))))


class Unless(msgspec.Struct, frozen=True):
    """A condition of an append: no event after position `after` matches any of `matching`.

    `after` is the head that the decision was read at, not the last event that it saw: the newer, the less is looked through.
    """

    matching: tuple[Matching, ...]
    after: Position = 0


class Submission(msgspec.Struct, frozen=True, gc=False):
    """What one caller wants stored: all of it or nothing."""

    writes: tuple[StreamWrite, ...]
    command: CommandKey | None = None
    conditions: tuple[Unless, ...] = ()


class Appended(msgspec.Struct, frozen=True, gc=False):
    """What an append has done.

    The events are the `count` ones up to and including `position`; with count 0, `position` is the head at that moment.
    `stream` and `version` are those of the first write. `repeated`: the command was already done, this is its answer.
    """

    stream: StreamName
    version: Version
    position: Position
    count: int
    repeated: bool = False


class StoredCommand(msgspec.Struct, frozen=True, gc=False):
    """A command that was done, and its answer."""

    key: CommandKey
    appended: Appended


class StreamSummary(msgspec.Struct, frozen=True):
    """A stream at a glance. `last_position` is the position of its newest event."""

    stream: StreamName
    version: Version
    last_position: Position
    recorded_at: int


class StoredState(msgspec.Struct, frozen=True):
    """A stream's state at `version`, as JSON text, so that a load need not fold from the start: a snapshot.

    `event_id` is the id of the event of that version, `definition` a digest of the code that folded it.
    """

    stream: StreamName
    version: Version
    event_id: str
    definition: str
    state: str
    recorded_at: int


class StreamClosing(msgspec.Struct, frozen=True):
    """That a stream takes no more events: at which version, and at which head of the store, by whom and why."""

    stream: StreamName
    version: Version
    position: Position
    by: str
    why: str
    recorded_at: int


class ImportedEvent(msgspec.Struct, frozen=True):
    """An event from elsewhere, for the end of a stream. `recorded_at` (microseconds) is kept; None is the time of the import."""

    stream: StreamName
    event: NewEvent
    recorded_at: int | None = None


Inline: TypeAlias = Callable[[object, Sequence[RecordedEvent]], None]
"""Gets the adapter's open transaction (None without one) and the events, in order; what it raises fails the whole batch."""


class EventStore(ABC):
    """One totally ordered log of events, in streams.

    Positions are 1, 2, 3 … in commit order, without holes (P2). All methods raise Unavailable where trying again can help.
    """

    id: str
    """Names this log for ever, in tokens; another database has another."""

    inline: Inline | None = None
    """What is to become of appended events within their commit. An import does not call it, nor does a store elsewhere."""

    @abstractmethod
    async def open(self) -> None:
        """Makes the schema where there is none. Raises Misuse for a newer schema, Corrupt for a damaged file."""

    @abstractmethod
    async def close(self) -> None:
        """Stores what was submitted, then lets go of the file."""

    @abstractmethod
    async def append(
        self, writes: Sequence[StreamWrite], command: CommandKey | None = None, conditions: Sequence[Unless] = ()
    ) -> Appended:
        """Stores all writes or none; returns when they are durable (P1).

        Raises WrongExpectedVersion (P3), ConditionFailed where an event breaks one of `conditions`, StreamClosed for events to
        a closed stream, DuplicateMessage, Unavailable when too many callers wait. No writes: only the conditions are asserted.
        Cancelling the caller does not say whether the events were stored: repeat with the same command id.
        """

    @abstractmethod
    async def import_events(self, events: Sequence[ImportedEvent], *, expected_head: Position | None = None) -> Appended:
        """Stores all, in this order behind the head, or none; returns when they are durable. Versions follow each stream's own.

        `stream` and `version` of the answer are those of the last event. Raises InvalidMessage for a stream name that can't be
        one and for data or metadata that is no JSON object, StreamClosed, Conflict when the head is not `expected_head`. Pass
        that with each chunk: a chunk sent twice is then refused. Ids are not looked at, nobody is asked for a version.
        """

    @abstractmethod
    async def close_stream(self, stream: StreamName, expected: ExpectedVersion = ANY, *, by: str, why: str) -> StreamClosing:
        """Lets no more events into a stream, from the next append that is submitted; of any process.

        Closing it again gives the first closing. Raises WrongExpectedVersion, InvalidMessage for what is no stream name.
        """

    @abstractmethod
    async def closing(self, stream: StreamName) -> StreamClosing | None:
        """When, by whom and why a stream was closed; None for one that is open, also where it does not exist."""

    @abstractmethod
    async def read_stream(self, stream: StreamName, after: Version = 0, limit: int = PAGE) -> Sequence[RecordedEvent]:
        """Events of one stream with version > `after`, in order, at most `limit`; empty: no more."""

    @abstractmethod
    async def read_all(
        self,
        after: Position = 0,
        limit: int = PAGE,
        *,
        categories: Collection[str] = (),
        names: Collection[str] = (),
    ) -> Sequence[RecordedEvent]:
        """Committed events with position > `after`, in position order, at most `limit`; empty: caught up, not finished.

        Without filters the first has position `after + 1`. `categories` and `names` keep only those; empty keeps all.
        Never steps over an event that commits later (P2).
        """

    @abstractmethod
    async def read_matching(
        self, matching: Sequence[Matching], after: Position = 0, limit: int = PAGE
    ) -> Sequence[RecordedEvent]:
        """Events with position > `after` that match any of `matching`, in position order, each once, at most `limit`."""

    @abstractmethod
    async def head(self) -> Position:
        """Position of the newest committed event; 0 in an empty store."""

    @abstractmethod
    async def position_at(self, time_micros: int) -> Position:
        """Position of the last event recorded at or before a time; 0: none.

        Where the clock was set back, or old events were imported, there can be several such places. It is one of them: the
        event there was recorded at or before the time, the next one after it.
        """

    @abstractmethod
    async def version_at(self, stream: StreamName, position: Position) -> Version:
        """How many events a stream had when the store's head was `position`."""

    @abstractmethod
    async def command(self, command_id: str) -> StoredCommand | None:
        """The answer that was stored with a command's events, or None."""

    @abstractmethod
    async def forget_commands(self, before: int, limit: int = 1_000) -> int:
        """Removes stored commands recorded before `before` (microseconds), oldest first, at most `limit`; says how many.

        A command that is forgotten and sent again is done again.
        """

    @abstractmethod
    async def state(self, stream: StreamName) -> StoredState | None:
        """The newest state saved of a stream, or None."""

    @abstractmethod
    async def save_state(self, state: StoredState) -> None:
        """Keeps the state in place of an older one of its stream.

        Ignored where a newer one is kept, or where the log has no such event at that version. In a transaction of its own.
        """

    @abstractmethod
    async def drop_states(self, stream: StreamName | None = None) -> int:
        """Removes the saved state of a stream, or of all; says how many. Nothing is lost: the log has the events."""

    @abstractmethod
    async def streams(self, prefix: str = "", after: str = "", limit: int = PAGE) -> Sequence[StreamSummary]:
        """Streams whose name starts with `prefix` and is > `after`, by name, at most `limit`."""

    @abstractmethod
    async def wait(self, after: Position, timeout: float) -> None:
        """Returns soon after the head passes `after`, or after `timeout` seconds. A hint: read to know."""
