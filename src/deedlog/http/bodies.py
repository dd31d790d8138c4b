"""What is sent back: receipts and answers as JSON bodies, freshness as headers."""

from datetime import datetime
from email.utils import format_datetime
from typing import Any

import msgspec

from deedlog.commands.context import Receipt
from deedlog.consistency.freshness import Freshness
from deedlog.running import Running
from deedlog.types import Position, Token


class EventBody(msgspec.Struct, frozen=True):
    """An event that the command had stored."""

    name: str
    version: int
    data: Any


class ReceiptBody(msgspec.Struct, frozen=True):
    """What a command has done; the same again when it is sent again with its `Idempotency-Key`."""

    command_id: str
    stream: str
    version: int
    position: Position
    token: Token
    events: list[EventBody]


class FreshnessBody(msgspec.Struct, frozen=True):
    """How far behind the log the answer is: it reflects all up to `position`, the newest event is `head`.

    `parked` counts the keys that wait in the dead letters of its read models: their rows are older.
    """

    position: Position
    head: Position
    behind_events: int
    behind_seconds: float
    updated_at: datetime | None
    parked: int


class AnswerBody(msgspec.Struct, frozen=True):
    """The answer, and how fresh it is."""

    value: Any
    freshness: FreshnessBody


def receipt_body(running: Running, receipt: Receipt) -> ReceiptBody:
    """The body of a receipt."""
    of = running.codec.registry.of
    events = [EventBody(kind.name, kind.version, event) for event in receipt.events for kind in (of(type(event)),)]
    return ReceiptBody(receipt.command_id, receipt.stream, receipt.version, receipt.position, receipt.token, events)


def answer_body(value: Any, fresh: Freshness) -> AnswerBody:
    """The body of an answer; a value that is encoded already is passed as `msgspec.Raw`."""
    behind = (fresh.behind_events, fresh.behind_seconds)
    return AnswerBody(value, FreshnessBody(fresh.position, fresh.head, *behind, fresh.updated_at, fresh.parked))


def freshness_headers(fresh: Freshness) -> list[tuple[bytes, bytes]]:
    """How fresh an answer is, for a caller that reads no body."""
    headers = [
        (b"deedlog-position", b"%d" % fresh.position),
        (b"deedlog-head", b"%d" % fresh.head),
        (b"deedlog-behind-events", b"%d" % fresh.behind_events),
        (b"deedlog-behind-seconds", b"%.3f" % fresh.behind_seconds),
        (b"deedlog-parked", b"%d" % fresh.parked),
    ]
    if (at := fresh.updated_at) is not None:
        headers.append((b"last-modified", format_datetime(at, usegmt=True).encode()))
    return headers
