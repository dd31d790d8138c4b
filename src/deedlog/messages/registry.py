"""Which class stands for which name: one entry per kind, name and version."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import msgspec

from deedlog.errors import InvalidDeclaration, InvalidMessage, UnknownMessage
from deedlog.messages.base import Kind, identity_of, is_message_class, place_of
from deedlog.messages.extras import Look, compile_extras
from deedlog.messages.limits import Check, compile_check


class MessageType:
    """A message class as the codec uses it: its name, how to read it, what to check."""

    def __init__(self, kind: Kind, cls: type[Any]) -> None:
        identity = identity_of(cls)
        self.kind = kind
        self.cls = cls
        self.name = identity.name
        self.version = identity.version
        self.tags = identity.tags
        try:
            self.decoder = msgspec.json.Decoder(cls)
            self.read = self.decoder.decode
            self.fields = tuple(field.name for field in msgspec.inspect.type_info(cls).fields)  # type: ignore[attr-defined]
            self.check: Check | None = compile_check(cls)
            self.extras: Look | None = compile_extras(cls)
            msgspec.json.schema(cls)  # refuses types that the codec would only refuse when it meets one
        except (TypeError, NameError) as error:
            raise InvalidDeclaration(
                self.place, f"{kind} {self.name} has a field that can't be stored: {error}", fix="use plain data types"
            ) from error
        for tag in self.tags:
            if tag not in self.fields:
                raise InvalidDeclaration(self.place, f"tag '{tag}' is not a field of {self.name}")

    @cached_property
    def place(self) -> str:
        """`file:line` of the class."""
        return place_of(self.cls)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name} v{self.version}>"


class Registry:
    """All message types of an app. Adding the same class twice is fine, two classes for one name are not."""

    def __init__(self) -> None:
        self._by_class: dict[type[Any], MessageType] = {}
        self._by_name: dict[tuple[Kind, str, int], MessageType] = {}
        self._newest: dict[tuple[Kind, str], MessageType] = {}

    def add(self, kind: Kind, cls: type[Any], by: Any = None) -> MessageType:
        """The message type of `cls`, new or known; `by` uses it. Raises InvalidDeclaration on a clash, with both places."""
        known = self._by_class.get(cls)
        if known is not None:
            if known.kind != kind:
                raise InvalidDeclaration(
                    place_of(by or cls), f"{known.name} is used as {kind} and as {known.kind}", fix="make two classes"
                )
            return known
        if not is_message_class(cls):
            raise InvalidDeclaration(
                place_of(by or cls),
                f"{cls!r} can't be a {kind}",
                fix=f"subclass deedlog.{kind.capitalize()}, or use a dataclass or attrs class",
            )
        new = MessageType(kind, cls)
        key = (kind, new.name, new.version)
        clash = self._by_name.get(key)
        if clash is not None:
            raise InvalidDeclaration(
                new.place,
                f"{kind} {new.name} version {new.version} is already declared at {clash.place}",
                fix='name one of them with @message("…") or raise its version',
            )
        self._by_name[key] = self._by_class[cls] = new
        newest = self._newest.get((kind, new.name))
        if newest is None or newest.version < new.version:
            self._newest[kind, new.name] = new
        return new

    def of(self, cls: type[Any]) -> MessageType:
        """The message type of a class. Raises UnknownMessage."""
        found = self._by_class.get(cls)
        if found is None:
            raise UnknownMessage("message", cls.__name__, sorted({t.name for t in self._by_class.values()}))
        return found

    def event(self, name: str, version: int) -> MessageType | None:
        """The event type of a stored name and version, or None."""
        return self._by_name.get(("event", name, version))

    def check_events(self, names: Iterable[str], tags: Iterable[str]) -> None:
        """Raises UnknownMessage for a name that no event has, InvalidMessage for a tag (`field:value`) that none carries.

        A condition on either could never be broken: most of the time it is a slip of the pen.
        """
        known = {kind.name: kind for kind in self.all("event")}
        for name in names:
            if name not in known:
                raise UnknownMessage("event", name, sorted(known))
        fields = {field for kind in self.all("event") for field in kind.tags}
        for tag in tags:
            field, colon, _ = tag.partition(":")
            if not colon or field not in fields:
                declared = ", ".join(sorted(fields)) or "none, see @message(tags=…)"
                raise InvalidMessage(
                    "condition", "tags", f"no event carries '{tag}'", fix=f"field:value; tagged fields: {declared}"
                )

    def newest(self, kind: Kind, name: str) -> MessageType:
        """The highest version of a name. Raises UnknownMessage."""
        found = self._newest.get((kind, name))
        if found is None:
            raise UnknownMessage(kind, name, sorted({t.name for t in self.all(kind)}))
        return found

    def all(self, kind: Kind) -> Iterator[MessageType]:
        """Every type of a kind, in order of declaration."""
        return (t for t in self._by_name.values() if t.kind == kind)
