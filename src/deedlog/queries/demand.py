"""How fresh a caller wants an answer to be."""

import msgspec

from deedlog.consistency.freshness import Freshness
from deedlog.errors import InvalidMessage
from deedlog.types import Position


class Demand(msgspec.Struct, frozen=True):
    """What a caller wants an answer to reflect; `seen` is the part of it that the token of a write asks for."""

    position: Position
    max_staleness: float | None
    seen: Position = 0

    def __post_init__(self) -> None:
        if self.max_staleness is not None and not self.max_staleness >= 0:
            raise InvalidMessage("query", "max_staleness", f"{self.max_staleness} seconds", fix="0 or more")

    def is_met(self, freshness: Freshness) -> bool:
        if freshness.position < self.position:
            return False
        if self.max_staleness is None or freshness.behind_events == 0:
            return True
        return self.max_staleness > 0 and freshness.behind_seconds <= self.max_staleness  # 0 trusts no clock

    def __str__(self) -> str:
        parts = [f"position {self.position}"] if self.position else []
        if self.max_staleness is not None:
            parts.append(f"at most {self.max_staleness} s old")
        return " and ".join(parts) or "a complete read model"


NOTHING_DEMANDED = Demand(0, None)
