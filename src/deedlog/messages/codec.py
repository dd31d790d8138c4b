"""Messages to JSON text and back; every refusal names the field.

What is encoded is read back at once: a message that could not be decoded later is refused now, before it is stored (P10).
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from deedlog.errors import Corrupt, InvalidMessage
from deedlog.ids import IdSource, new_id
from deedlog.messages.base import Kind
from deedlog.messages.envelope import Metadata, NewEvent, RecordedEvent
from deedlog.messages.limits import surrogate_path
from deedlog.messages.registry import MessageType, Registry

MAX_MESSAGE_BYTES = 1_048_576
"""One message, encoded. A larger thing belongs into a file store, its address into the message."""
MAX_METADATA_BYTES = 8_192
"""The metadata of one message: it is stored with each of its events."""

_AT = re.compile(r"^(?P<problem>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_NAMED = re.compile(r"^Object (?P<how>missing required field|contains unknown field) `(?P<field>[^`]*)`$")

_FORMS = {
    "Invalid RFC3339 encoded date": "send it as 2026-01-31",
    "Invalid RFC3339 encoded datetime": "send it as 2026-01-31T09:30:00Z",
    "Invalid RFC3339 encoded time": "send it as 09:30:00",
    "Invalid decimal string": "send it as 19.90",
    "the integer does not fit into 64 bits": "send one from -2**63 to 2**63 - 1, or a text",
}

_read_metadata = msgspec.json.Decoder(Metadata).decode
_in_order = msgspec.json.Encoder(order="deterministic").encode


class Codec:
    """Encodes and decodes the messages of one registry."""

    def __init__(self, registry: Registry, ids: IdSource = new_id) -> None:
        self.registry = registry
        self._ids = ids
        self._encode = msgspec.json.Encoder().encode

    def encode(self, message: Any) -> bytes:
        """JSON of a declared message. Raises UnknownMessage, or InvalidMessage for a value that would not come back."""
        return self._there_and_back(message)[1]

    def _there_and_back(self, message: Any) -> tuple[MessageType, bytes, Any]:
        kind = self.registry.of(type(message))
        if kind.check is not None:
            self._check(kind, message)
        try:
            data = self._encode(message)
        except (UnicodeEncodeError, OverflowError, TypeError, ValueError, RecursionError) as error:
            raise self._unencodable(kind, message, error) from error
        if len(data) > MAX_MESSAGE_BYTES:
            problem = f"{len(data)} bytes, at most {MAX_MESSAGE_BYTES} are stored"
            raise InvalidMessage(kind.name, "$", problem, fix="store the large part elsewhere and put its address here")
        try:
            return kind, data, kind.read(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise self._invalid(kind, error) from error

    def content_of(self, message: Any) -> bytes:
        """The same bytes for equal messages, in every process: sets and dictionaries, which compare without order, are sorted."""
        return _in_order(message)

    def new_event(self, event: Any, metadata: str) -> NewEvent:
        """An event ready for the store, with an id of its own and its tags."""
        return self.as_stored(event, metadata)[0]

    def as_stored(self, event: Any, metadata: str) -> tuple[NewEvent, Any]:
        """An event ready for the store, and the object that will be read from there: nothing else refers to its parts."""
        kind, data, stored = self._there_and_back(event)
        tags = tuple(f"{tag}:{getattr(event, tag)}" for tag in kind.tags) if kind.tags else ()
        return NewEvent(self._ids(), kind.name, kind.version, data.decode(), metadata, tags), stored

    def metadata(self, metadata: Metadata) -> str:
        """JSON text of metadata. Raises InvalidMessage for what is no text, no Unicode, or too long."""
        try:
            data = self._encode(metadata)
            _read_metadata(data)
        except UnicodeEncodeError as error:
            path = next(surrogate_path(msgspec.to_builtins(metadata)), "$").lstrip(".")
            raise InvalidMessage("metadata", path, "text with half a surrogate pair", fix="send valid Unicode") from error
        except (TypeError, msgspec.ValidationError) as error:
            path, problem = _parted(str(error))
            raise InvalidMessage("metadata", path, problem.replace("`", ""), fix="send text") from error
        if len(data) > MAX_METADATA_BYTES:
            longest = max(metadata.__struct_fields__, key=lambda field: len(getattr(metadata, field) or ""))
            problem = f"{len(data)} bytes of metadata, at most {MAX_METADATA_BYTES} are stored"
            raise InvalidMessage("metadata", longest, problem, fix="put it into the message")
        return data.decode()

    def decode(self, recorded: RecordedEvent) -> Any:
        """The event object. Raises Corrupt when its name and version are undeclared or its text does not fit the class."""
        kind = self.registry.event(recorded.name, recorded.name_version)
        if kind is None:
            raise Corrupt(
                f"event {recorded.name} version {recorded.name_version} at position {recorded.position} is not declared",
                fix="declare its class, with @message(name, version=…) for an old version",
                position=recorded.position,
            )
        try:
            return kind.read(recorded.data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Corrupt(
                f"event {recorded.name} at position {recorded.position} does not fit {kind.place}: {error}",
                fix="give new fields a default, or a new version its own class",
                position=recorded.position,
            ) from error

    def from_json(self, kind: Kind, name: str, body: bytes) -> Any:
        """A command or query from a JSON object. Raises UnknownMessage or InvalidMessage."""
        found = self.registry.newest(kind, name)
        message = self._decode(found, body)
        if found.extras is not None:
            self._refuse_extras(found, msgspec.json.decode(body))
        self._check(found, message)
        return message

    def from_fields(self, kind: Kind, name: str, fields: Mapping[str, Any]) -> Any:
        """A command or query from texts, as a query string has them: "3" is read as 3 where an int is wanted."""
        found = self.registry.newest(kind, name)
        try:
            message = msgspec.convert(dict(fields), found.cls, strict=False)
        except (msgspec.ValidationError, RecursionError) as error:
            raise self._invalid(found, error) from error
        if found.extras is not None:
            self._refuse_extras(found, dict(fields))
        self._check(found, message)
        return message

    def _refuse_extras(self, kind: MessageType, raw: Any) -> None:
        path = kind.extras(raw) if kind.extras is not None else None
        if path is not None:
            raise self._unknown_field(kind, path.lstrip("."))

    @staticmethod
    def _unknown_field(kind: MessageType, path: str) -> InvalidMessage:
        known = f"; the fields are: {', '.join(kind.fields)}" if "." not in path and "[" not in path else ""
        return InvalidMessage(kind.name, path, "unknown field", fix=f"remove it{known}")

    def _decode(self, kind: MessageType, data: bytes) -> Any:
        try:
            return kind.read(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._invalid(kind, error) from error

    def _check(self, kind: MessageType, message: Any) -> None:
        try:
            found = kind.check(message) if kind.check is not None else None
        except (AttributeError, TypeError):
            return  # a wrong type: the codec says it better, with the path
        except RecursionError as error:
            raise self._invalid(kind, error) from error
        if found is not None:
            path, problem = found
            raise InvalidMessage(kind.name, path.lstrip("."), problem, fix=_FORMS.get(problem, "send a finite number"))

    def _invalid(self, kind: MessageType, error: Exception) -> InvalidMessage:
        if not isinstance(error, msgspec.ValidationError):
            words = "nested too deeply" if isinstance(error, RecursionError) else f"not valid JSON: {error}"
            return InvalidMessage(kind.name, "$", words, fix="send one JSON object in UTF-8")
        path, problem = _parted(str(error))
        if named := _NAMED.match(problem):
            field = f"{path}.{named['field']}".removeprefix("$").lstrip(".")
            if named["how"].startswith("missing"):
                return InvalidMessage(kind.name, field, "required, but missing", fix="add this field")
            return self._unknown_field(kind, field)
        problem = problem.replace("`", "")
        return InvalidMessage(kind.name, path, problem, fix=_FORMS.get(problem, "send a value of that type"))

    def _unencodable(self, kind: MessageType, message: Any, error: Exception) -> InvalidMessage:
        if isinstance(error, UnicodeEncodeError):
            path = next(surrogate_path(msgspec.to_builtins(message)), "$").lstrip(".")
            return InvalidMessage(kind.name, path or "$", "text with half a surrogate pair", fix="send valid Unicode")
        if isinstance(error, RecursionError):
            return self._invalid(kind, error)
        return InvalidMessage(kind.name, "$", f"can't be stored: {error}", fix="send plain data of the declared types")


def _parted(words: str) -> tuple[str, str]:
    """The path and the problem in msgspec's words for a value of a wrong type."""
    parts = _AT.match(words)
    problem, path = (parts["problem"], parts["path"] or "$") if parts else (words, "$")
    return path.removeprefix("$").lstrip(".") or "$", problem
