"""How fresh an answer is."""

from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from deedlog.types import Position

T = TypeVar("T")


class Freshness(msgspec.Struct, frozen=True):
    """How far behind the log an answer is.

    It reflects every event up to `position`; the log's newest was `head`. `behind_seconds` is the age of the oldest event
    not reflected, 0.0 when there is none. `updated_at` is the time of the newest event reflected, None before the first.
    """

    position: Position
    head: Position
    behind_seconds: float
    updated_at: datetime | None

    @property
    def behind_events(self) -> int:
        """How many events the answer does not reflect yet."""
        return max(0, self.head - self.position)


class Answer(msgspec.Struct, Generic[T], frozen=True):
    """A query's value, and how fresh it is."""

    value: T
    freshness: Freshness
