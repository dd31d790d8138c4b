"""Events from elsewhere: history that was made before this log began, checked like any event, stored in large chunks."""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, TypeAlias

import msgspec

from deedlog.errors import InvalidMessage
from deedlog.ids import IdSource
from deedlog.messages.codec import Codec
from deedlog.messages.envelope import Metadata, NewEvent, to_micros
from deedlog.messages.streams import check_stream
from deedlog.store.port import EventStore, ImportedEvent
from deedlog.types import Position, StreamName

CHUNK = 5_000
PAUSE = 500


class EventImport(msgspec.Struct, frozen=True):
    """An event for the end of a stream. Without `recorded_at` it is recorded at the time of the import."""

    stream: StreamName
    event: Any
    recorded_at: datetime | None = None
    metadata: Metadata | None = None


class Imported(msgspec.Struct, frozen=True):
    """How many events were stored, and the position of the last one; 0 where there was none."""

    count: int
    position: Position


Importable: TypeAlias = EventImport | tuple[StreamName, Any]


class Importing:
    """Encodes and stores chunk by chunk: each chunk is stored whole or not at all."""

    def __init__(self, store: EventStore, codec: Codec, ids: IdSource) -> None:
        self._store = store
        self._codec = codec
        self._ids = ids

    async def run(self, events: Iterable[Importable]) -> Imported:
        """Raises InvalidMessage that names the first bad event by its index; what was stored before its chunk stays."""
        id = self._ids()
        common = self._codec.metadata(Metadata(id, id))
        numbered = enumerate(events)
        done = Imported(0, 0)
        while chunk := list(islice(numbered, CHUNK)):
            encoded: list[ImportedEvent] = []
            while part := chunk[len(encoded) : len(encoded) + PAUSE]:
                encoded += self._encoded(part, common, done.count)
                await asyncio.sleep(0)  # encoding is CPU, and others run beside it
            appended = await self._store.import_events(encoded)
            done = Imported(done.count + len(encoded), appended.position)
        return done

    def _encoded(self, numbered: list[tuple[int, Importable]], common: str, stored: int) -> Iterator[ImportedEvent]:
        for index, given in numbered:
            one = given if isinstance(given, EventImport) else EventImport(*given)
            part_of = "stream"
            try:
                stream = check_stream(one.stream)
                part_of = "recorded_at"
                at = None if one.recorded_at is None else _micros(one.recorded_at)
                part_of = "metadata"
                metadata = common if one.metadata is None else self._codec.metadata(one.metadata)
                part_of = "event"
                yield ImportedEvent(stream, self._new(one.event, metadata), at)
            except InvalidMessage as error:
                raise _at_index(index, part_of, stored, error) from error

    def _new(self, event: Any, metadata: str) -> NewEvent:
        kind = self._codec.registry.of(type(event))
        if kind.kind != "event":
            raise InvalidMessage(kind.name, "$", f"it is a {kind.kind}", fix="import events")
        return self._codec.new_event(event, metadata)


def _micros(time: datetime) -> int:
    if time.tzinfo is None:
        raise InvalidMessage("import", "$", f"{time} has no time zone", fix="datetime(…, tzinfo=UTC)")
    return to_micros(time)


def _at_index(index: int, part: str, stored: int, error: InvalidMessage) -> InvalidMessage:
    inner = "" if error.path == "$" else f".{error.path}"
    found = InvalidMessage(error.message_name, f"events[{index}].{part}{inner}", error.problem, fix=error.fix)
    found.data = {"index": index, "stored": stored}
    return found
