"""Time and ids that a test decides."""

from datetime import UTC, datetime, timedelta
from itertools import count

from deedlog.errors import Misuse
from deedlog.ids import IdSource

START = datetime(2025, 1, 1, tzinfo=UTC)


class TestClock:
    """A clock that stands still until it is told otherwise."""

    __test__ = False  # not a test class, whatever its name says

    def __init__(self, start: datetime = START) -> None:
        self.set(start)

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> datetime:
        """The time `seconds` later, which is now the present; negative seconds go back."""
        self._now += timedelta(seconds=seconds)
        return self._now

    def set(self, now: datetime) -> None:
        """Makes `now` the present. Raises Misuse for a time without a zone."""
        if now.tzinfo is None:
            raise Misuse(f"{now} has no time zone", fix="datetime(…, tzinfo=UTC)")
        self._now = now.astimezone(UTC)


def counting_ids(start: int = 1) -> IdSource:
    """Ids that are the same in each run: 00000000-0000-7000-8000-000000000001, …2, …3."""
    numbers = count(start)
    return lambda: f"00000000-0000-7000-8000-{next(numbers):012x}"
