"""What travels with a message: where it came from, and where an event is stored."""

from datetime import UTC, datetime, timedelta

import msgspec

from deedlog.types import Position, StreamName, Version

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where a message came from. `correlation_id` names the conversation, `causation_id` the direct cause."""

    correlation_id: str
    causation_id: str
    traceparent: str | None = None
    actor: str | None = None
    tenant: str | None = None


class _Conversation(msgspec.Struct):
    correlation_id: str | None = None


_read_conversation = msgspec.json.Decoder(_Conversation).decode


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event on its way into the store: encoded, without a place yet."""

    id: str
    name: str
    name_version: int
    data: str
    metadata: str
    tags: tuple[str, ...] = ()


class RecordedEvent(msgspec.Struct, frozen=True, gc=False):
    """A stored event with its place. `data` and `metadata` are JSON text; `recorded_at` microseconds since 1970, UTC."""

    position: Position
    stream: StreamName
    version: Version
    category: str
    bucket: int
    name: str
    name_version: int
    data: str
    metadata: str
    recorded_at: int
    id: str

    @property
    def conversation(self) -> str | None:
        """The correlation id in its metadata; None where that has none."""
        try:
            return _read_conversation(self.metadata).correlation_id
        except msgspec.MsgspecError:
            return None

    @property
    def time(self) -> datetime:
        """When it was stored, by the store's clock."""
        return from_micros(self.recorded_at)


def to_micros(time: datetime) -> int:
    """Whole microseconds since 1970, exact (floats are not)."""
    return (time - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The aware UTC time of `micros` microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)
