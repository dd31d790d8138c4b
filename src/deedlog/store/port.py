"""The event store's port: what every adapter promises, and the values that cross it."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

import msgspec

from deedlog.messages.envelope import NewEvent, RecordedEvent
from deedlog.types import ExpectedVersion, Position, StreamName, Version

PAGE = 500


class StreamWrite(msgspec.Struct, frozen=True):
    """Events for one stream under one condition. No events: only the condition is asserted.

    `tip`, where it is given, is the id that the stream's last event must have: for a writer who expects an event that may not
    be stored, since another one may have taken its version.
    """

    stream: StreamName
    events: tuple[NewEvent, ...]
    expected: ExpectedVersion
    tip: str | None = None


class CommandKey(msgspec.Struct, frozen=True):
    """A command's id and a digest of its content: the same id with another digest is a DuplicateMessage."""

    id: str
    digest: str


class Submission(msgspec.Struct, frozen=True):
    """What one caller wants stored: all of it or nothing."""

    writes: tuple[StreamWrite, ...]
    command: CommandKey | None = None


class Appended(msgspec.Struct, frozen=True):
    """What an append has done.

    The events are the `count` ones up to and including `position`; with count 0, `position` is the head at that moment.
    `stream` and `version` are those of the first write. `repeated`: the command was already done, this is its answer.
    """

    stream: StreamName
    version: Version
    position: Position
    count: int
    repeated: bool = False


class StoredCommand(msgspec.Struct, frozen=True):
    """A command that was done, and its answer."""

    key: CommandKey
    appended: Appended


class StreamSummary(msgspec.Struct, frozen=True):
    """A stream at a glance. `last_position` is the position of its newest event."""

    stream: StreamName
    version: Version
    last_position: Position
    recorded_at: int


class EventStore(ABC):
    """One totally ordered log of events, in streams.

    Positions are 1, 2, 3 … in commit order, without holes (P2). All methods raise Unavailable where trying again can help.
    """

    id: str
    """Names this log for ever, in tokens; another database has another."""

    @abstractmethod
    async def open(self) -> None:
        """Makes the schema where there is none. Raises Misuse for a newer schema, Corrupt for a damaged file."""

    @abstractmethod
    async def close(self) -> None:
        """Stores what was submitted, then lets go of the file."""

    @abstractmethod
    async def append(self, writes: Sequence[StreamWrite], command: CommandKey | None = None) -> Appended:
        """Stores all writes or none; returns when they are durable (P1).

        Raises WrongExpectedVersion (P3), DuplicateMessage, InvalidMessage, Unavailable when too many callers wait.
        Cancelling the caller does not say whether the events were stored: repeat with the same command id.
        """

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
    async def head(self) -> Position:
        """Position of the newest committed event; 0 in an empty store."""

    @abstractmethod
    async def command(self, command_id: str) -> StoredCommand | None:
        """The answer that was stored with a command's events, or None."""

    @abstractmethod
    async def streams(self, prefix: str = "", after: str = "", limit: int = PAGE) -> Sequence[StreamSummary]:
        """Streams whose name starts with `prefix` and is > `after`, by name, at most `limit`."""

    @abstractmethod
    async def wait(self, after: Position, timeout: float) -> None:
        """Returns soon after the head passes `after`, or after `timeout` seconds. A hint: read to know."""
