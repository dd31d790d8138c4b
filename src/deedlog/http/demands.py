"""What a query's headers demand of its answer: how fresh, or as it was when."""

from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec

from deedlog.http.problems import Rejected
from deedlog.http.tokens import Seen
from deedlog.http.wire import Call
from deedlog.queries.bus import DEFAULT_TIMEOUT
from deedlog.types import Position, Token

_Time: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
_FRESHNESS = ((b"deedlog-token", "Deedlog-Token"), (b"deedlog-max-staleness", "Deedlog-Max-Staleness"))
_STRONG = (b"deedlog-strong", "Deedlog-Strong")


class Demand(msgspec.Struct, frozen=True):
    """As `App.ask` takes it. With `at` nothing is demanded of the freshness."""

    after: Token | None
    max_staleness: float | None
    timeout: float
    strong: bool
    at: Position | datetime | None


def demand_of(call: Call, seen: Seen, max_wait: float) -> Demand:
    """What the headers say, and the cookie. Raises Rejected (400) for what can't be, or not together."""
    timeout = call.seconds(b"deedlog-timeout", "Deedlog-Timeout", max_wait)
    timeout = min(DEFAULT_TIMEOUT, max_wait) if timeout is None else timeout
    strong, at = _flag(call, *_STRONG), _moment(call)
    if at is None:
        staleness = call.seconds(b"deedlog-max-staleness", "Deedlog-Max-Staleness")
        return Demand(seen.token, staleness, timeout, strong, None)
    for name, shown in (*_FRESHNESS, *([_STRONG] if strong else [])):
        if name in call.headers:
            raise Rejected(400, "bad_header", "an answer of the past is not fresh", path=shown, fix="send it without Deedlog-At")
    return Demand(None, None, timeout, False, at)


def _flag(call: Call, name: bytes, shown: str) -> bool:
    text = call.header(name)
    if text not in (None, "true", "false"):
        raise Rejected(400, "bad_header", f"'{text[:40]}' is neither true nor false", path=shown, fix="send true")
    return text == "true"


def _moment(call: Call) -> Position | datetime | None:
    """A position, or a time with its zone."""
    text = call.header(b"deedlog-at")
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    try:
        return msgspec.convert(text, _Time)
    except msgspec.ValidationError as error:
        words, fix = f"'{text[:40]}' is no position and no time", "send 42, or 2026-01-31T09:30:00Z"
        raise Rejected(400, "bad_header", words, path="Deedlog-At", fix=fix) from error
