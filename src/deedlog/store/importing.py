"""What an import stores: pure, so that every adapter checks and numbers alike."""

from collections.abc import Sequence

import msgspec

from deedlog.errors import Conflict, InvalidMessage
from deedlog.messages.streams import bucket_of, category_of, check_stream
from deedlog.store.batch import EventRow, Found, closed
from deedlog.store.port import Appended, ImportedEvent
from deedlog.types import Position, StreamName


class _AnyObject(msgspec.Struct):
    """A JSON object of whatever fields: decoding it reads all of the text and keeps nothing."""


_read = msgspec.json.Decoder(_AnyObject).decode


class Imported(msgspec.Struct):
    """The rows to insert, events in order, and the answer."""

    events: list[EventRow]
    tags: list[tuple[str, int]]
    appended: Appended


def checked_streams(events: Sequence[ImportedEvent]) -> list[StreamName]:
    """The streams of the events, each once. Raises InvalidMessage for the first event that can't be stored."""
    streams: dict[StreamName, None] = {}
    for place, imported in enumerate(events):
        if imported.stream not in streams:
            streams[check_stream(imported.stream)] = None
        try:
            _read(imported.event.data)
            _read(imported.event.metadata)
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors, so is half a surrogate pair
            raise _not_an_object(place, imported) from error
    return list(streams)


def _not_an_object(place: int, imported: ImportedEvent) -> InvalidMessage:
    field = "metadata"
    try:
        _read(imported.event.data)
    except (ValueError, RecursionError):
        field = "data"
    return InvalidMessage("import", f"[{place}].{field}", "it is no JSON object", fix="nothing was stored; mend the text")


def settle_import(events: Sequence[ImportedEvent], expected_head: Position | None, found: Found, now: int) -> Imported:
    """The rows of checked events, behind the head. Raises Conflict, StreamClosed; `found` is of their streams."""
    if expected_head is not None and found.head != expected_head:
        raise Conflict(
            f"the store's head is {found.head}, expected {expected_head}",
            fix="look whether this chunk is stored already",
            head=found.head,
            expected=expected_head,
        )
    for imported in events if found.closed else ():
        if (closing := found.closed.get(imported.stream)) is not None:
            raise closed(closing)
    versions = dict(found.versions)
    places = {stream: (category_of(stream), bucket_of(stream)) for stream in {imported.stream for imported in events}}
    rows: list[EventRow] = []
    tags: list[tuple[str, int]] = []
    for position, imported in enumerate(events, found.head + 1):
        stream, new = imported.stream, imported.event
        category, bucket = places[stream]
        versions[stream] = version = versions.get(stream, 0) + 1
        at = now if imported.recorded_at is None else imported.recorded_at
        row = (position, stream, version, category, bucket, new.name, new.name_version, new.data, new.metadata, at, new.id)
        rows.append(row)
        if new.tags:
            tags += [(tag, position) for tag in new.tags]
    tags.sort()  # their table is in this order
    last = events[-1].stream if events else ""
    return Imported(rows, tags, Appended(last, versions.get(last, 0), found.head + len(rows), len(rows)))
