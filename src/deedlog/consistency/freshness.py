"""How fresh an answer is."""

from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from deedlog.messages.envelope import from_micros
from deedlog.types import Position

T = TypeVar("T")


class Freshness(msgspec.Struct, frozen=True):
    """How far behind the log an answer is.

    It reflects every event up to `position`; the log's newest was `head`. `behind_seconds` is the age of the oldest event
    not reflected, 0.0 when there is none. `updated_at` is None before the first event. `parked` counts the keys that wait in
    the dead letters of the read models asked: their rows are older than the rest.
    """

    position: Position
    head: Position
    behind_seconds: float = 0.0
    updated_micros: int | None = None
    parked: int = 0

    @property
    def updated_at(self) -> datetime | None:
        """The time of the newest event reflected, aware, in UTC."""
        return None if self.updated_micros is None else from_micros(self.updated_micros)

    @property
    def behind_events(self) -> int:
        """How many events the answer does not reflect yet."""
        return max(0, self.head - self.position)


class Answer(msgspec.Struct, Generic[T], frozen=True):
    """A query's value, and how fresh it is."""

    value: T
    freshness: Freshness
