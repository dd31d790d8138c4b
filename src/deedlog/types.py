"""The small types that every room shares: names, numbers, expected versions, the clock."""

from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from msgspec import Struct

StreamName: TypeAlias = str
"""`category-id`. At most 255 bytes of UTF-8, compared byte by byte."""

Version: TypeAlias = int
"""How many events a stream has: 0 = no stream, the first event has 1."""

Position: TypeAlias = int
"""Place in the store-wide order: 1, 2, 3 …, contiguous, commit order. As `after=`, an exclusive lower bound."""

Token: TypeAlias = str
"""Opaque text that stands for a position a caller has seen."""


class Exactly(Struct, frozen=True, gc=False):
    """The stream must have exactly `version` events; `Exactly(0)` is `NoStream()`."""

    version: Version

    def allows(self, actual: Version) -> bool:
        return actual == self.version


class NoStream(Struct, frozen=True):
    """The stream must not exist yet."""

    def allows(self, actual: Version) -> bool:
        return actual == 0


class StreamExists(Struct, frozen=True):
    """The stream must have at least one event."""

    def allows(self, actual: Version) -> bool:
        return actual > 0


class Any(Struct, frozen=True):
    """No condition: append after whatever is there."""

    def allows(self, actual: Version) -> bool:
        return True


ExpectedVersion: TypeAlias = Exactly | NoStream | StreamExists | Any


class Clock(Protocol):
    """Where time comes from; tests hand in their own."""

    def now(self) -> datetime:
        """The present time, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)
