"""Lines of `events import`: JSON to events for the store, each refusal with the line's number and the field."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from deedlog.commands.handlers import MAX_ID
from deedlog.errors import InvalidMessage
from deedlog.ids import new_id
from deedlog.messages.codec import MAX_MESSAGE_BYTES, MAX_METADATA_BYTES, Codec
from deedlog.messages.envelope import Metadata, NewEvent, to_micros
from deedlog.messages.registry import MessageType, Registry
from deedlog.messages.streams import check_stream
from deedlog.store.port import ImportedEvent

_NAMED = re.compile(r"^Object (?:missing required|contains unknown) field `(?P<field>[^`]*)`$")
_AT = re.compile(r"^(?P<problem>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a line may have. Without `name_version` it is the newest; without `recorded_at` the time of the import."""

    stream: str
    name: str
    data: msgspec.Raw
    name_version: int | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"")
    recorded_at: datetime | None = None
    id: str | None = None


_read = msgspec.json.Decoder(Line).decode
_read_metadata = msgspec.json.Decoder(Metadata).decode


class BadLine(InvalidMessage):
    """A line that can't be imported. `number` counts from 1."""

    def __init__(self, number: int, path: str, problem: str, fix: str) -> None:
        super().__init__(f"line {number}", path, problem, fix=fix)
        self.number = number
        self.data = {"line": number, "field": path}


class Lines:
    """Reads lines for one app: its event classes say what `data` must be, and which tags an event has."""

    def __init__(self, registry: Registry, *, keep_undeclared: bool = False) -> None:
        self._registry = registry
        self._keep_undeclared = keep_undeclared
        conversation = new_id()
        self._metadata = Codec(registry).metadata(Metadata(conversation, conversation))

    def read(self, numbered: Iterable[tuple[int, bytes]]) -> Iterator[ImportedEvent]:
        """The events of the lines. Raises BadLine at the first bad one."""
        for number, text in numbered:
            try:
                yield self._event(text)
            except _Wrong as wrong:
                raise BadLine(number, wrong.path, wrong.problem, wrong.fix) from wrong

    def _event(self, text: bytes) -> ImportedEvent:
        try:
            line = _read(text)
        except msgspec.ValidationError as error:
            raise _wrong("", error, "as `deedlog events export` writes them") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Wrong("$", f"not valid JSON: {error}", "one JSON object per line, in UTF-8") from error
        at = None if line.recorded_at is None else self._micros(line.recorded_at)
        return ImportedEvent(self._stream(line.stream), self._new(line), at)

    @staticmethod
    def _stream(name: str) -> str:
        try:
            return check_stream(name)
        except InvalidMessage as error:
            raise _Wrong("stream", error.problem, error.fix) from error

    @staticmethod
    def _micros(time: datetime) -> int:
        if time.tzinfo is None:
            raise _Wrong("recorded_at", f"{time.isoformat()} has no time zone", f"{time.isoformat()}Z for UTC")
        return to_micros(time)

    def _new(self, line: Line) -> NewEvent:
        data = _text("data", line.data, MAX_MESSAGE_BYTES)
        metadata = self._metadata
        if bytes(line.metadata) not in (b"", b"null"):
            metadata = _text("metadata", line.metadata, MAX_METADATA_BYTES)
            _decoded("metadata", _read_metadata, metadata)
        id = new_id() if line.id is None else line.id
        if not id or len(id) > MAX_ID or not id.isprintable():
            raise _Wrong("id", f"{id[:40]!r} is no id", f"1 to {MAX_ID} printable characters")
        kind = self._kind(line)
        if kind is None:
            _decoded("data", msgspec.json.Decoder(dict[str, msgspec.Raw]).decode, data)
            return NewEvent(id, line.name, line.name_version or 1, data, metadata)
        return NewEvent(id, kind.name, kind.version, data, metadata, self._tags(kind, data))

    def _kind(self, line: Line) -> MessageType | None:
        """The event's class; None for one that is not declared, where those are kept."""
        if line.name_version is None:
            versions = [kind.version for kind in self._registry.all("event") if kind.name == line.name]
            version = max(versions, default=1)
        else:
            version = line.name_version
        if not 1 <= version < 2**31 or not line.name.isprintable() or not line.name:
            raise _Wrong("name", f"{line.name[:60]!r}, version {version}, is no name of an event", "the name of an event class")
        kind = self._registry.event(line.name, version)
        if kind is None and not self._keep_undeclared:
            known = ", ".join(sorted({kind.name for kind in self._registry.all("event")})[:20])
            fix = f"declare its class, or --keep-undeclared; declared: {known}"
            raise _Wrong("name", f"the app has no event {line.name[:60]} of version {version}", fix)
        return kind

    @staticmethod
    def _tags(kind: MessageType, data: str) -> tuple[str, ...]:
        """The event's tags; reading them checks `data`."""
        event = _decoded("data", kind.decoder.decode, data)
        found = kind.check(event) if kind.check is not None else None
        if found is not None:
            raise _Wrong(f"data{found[0]}", found[1], "a value that can be stored")
        return tuple(f"{tag}:{getattr(event, tag)}" for tag in kind.tags)


class _Wrong(Exception):
    """What is wrong with a line whose number is known further up."""

    def __init__(self, path: str, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem
        self.fix = fix


def _text(field: str, raw: msgspec.Raw, most: int) -> str:
    data = bytes(raw)
    if len(data) > most:
        raise _Wrong(field, f"{len(data)} bytes, at most {most} are stored", "put the large part elsewhere")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _Wrong(field, "it is not UTF-8", "one JSON object per line, in UTF-8") from error


def _decoded(field: str, decode: Any, text: str) -> Any:
    try:
        return decode(text)
    except msgspec.ValidationError as error:
        raise _wrong(field, error, "a value of that type") from error
    except (ValueError, RecursionError) as error:
        raise _Wrong(field, f"not valid JSON: {error}", "one JSON object") from error


def _wrong(field: str, error: Exception, fix: str) -> _Wrong:
    """In msgspec's words the path stands at the end."""
    parts = _AT.match(str(error))
    problem, path = (parts["problem"], parts["path"] or "") if parts else (str(error), "")
    named = _NAMED.match(problem)
    where = f"{field}{path}{'.' + named['field'] if named else ''}".lstrip(".")
    return _Wrong(where or "$", problem.replace("`", ""), fix)
