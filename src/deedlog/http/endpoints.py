"""The two endpoints that matter: a command in, a receipt out; a query in, an answer with its freshness out."""

import inspect
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from email.utils import format_datetime
from typing import Any, TypeAlias, TypedDict

import msgspec
from starlette.requests import Request

from deedlog.app import MAX_ID, App, Running
from deedlog.commands.context import Receipt
from deedlog.consistency.freshness import Answer
from deedlog.consistency.token import token_of
from deedlog.errors import Unavailable
from deedlog.http.fields import fields_of
from deedlog.http.problems import Rejected
from deedlog.http.tokens import Seen, seen_by, set_cookie
from deedlog.http.wire import Call, Reply
from deedlog.queries.bus import DEFAULT_TIMEOUT
from deedlog.types import Position, Token

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_NO_CACHE = (b"cache-control", b"private, no-cache")  # Last-Modified alone would let a browser keep it and miss its own write
_encode = msgspec.json.Encoder().encode


class Caller(TypedDict, total=False):
    """Who sends a command, as the `metadata` hook found out; stored with its events."""

    actor: str
    tenant: str


WhoCalls: TypeAlias = Callable[[Request], Caller | Awaitable[Caller]]


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
    """How far behind the log the answer is: it reflects all up to `position`, the newest event is `head`."""

    position: Position
    head: Position
    behind_events: int
    behind_seconds: float
    updated_at: datetime | None


class AnswerBody(msgspec.Struct, frozen=True):
    """The answer, and how fresh it is."""

    value: Any
    freshness: FreshnessBody


class Settings(msgspec.Struct, frozen=True):
    """How an app is served; `asgi` says what each means."""

    projections: bool
    max_body: int
    max_wait: float
    max_behind: float
    cookie: str | None
    metadata: WhoCalls | None
    title: str | None
    version: str


class Service:
    """An app as the endpoints use it: started at the first use, as the settings want it."""

    def __init__(self, app: App, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def running(self) -> Running:
        """The started app. Raises what its stores raise when they can't be opened."""
        try:
            return self.app.running
        except Unavailable:
            return await self.app.start(projections=self.settings.projections)

    async def command(self, call: Call) -> Reply:
        """`POST /commands/{name}`: durable before it is answered."""
        running = await self.running()
        command = running.codec.from_json("command", call.name, await call.json_body(self.settings.max_body))
        seen = seen_by(call, running.store.id, self.settings.cookie)
        caller = await self._caller(call)
        receipt = await running.execute(
            command,
            id=_idempotency_key(call),
            correlation_id=_id(call, b"deedlog-correlation-id", "Deedlog-Correlation-Id"),
            traceparent=_traceparent(call),
            actor=caller.get("actor"),
            tenant=caller.get("tenant"),
        )
        token = _furthest(seen, receipt).encode()
        headers = ((b"deedlog-token", token), (b"deedlog-position", b"%d" % receipt.position))
        return Reply(_encode(_receipt(running, receipt)), (*headers, *self._cookie(call, token)))

    async def query(self, call: Call) -> Reply:
        """`GET` or `POST /queries/{name}`: as fresh as the caller demands, else 503."""
        running = await self.running()
        query = await self._question(running, call)
        seen = seen_by(call, running.store.id, self.settings.cookie)
        timeout = call.seconds(b"deedlog-timeout", "Deedlog-Timeout", self.settings.max_wait)
        answer = await self.app.ask(
            query,
            after=seen.token,
            max_staleness=call.seconds(b"deedlog-max-staleness", "Deedlog-Max-Staleness"),
            timeout=min(DEFAULT_TIMEOUT, self.settings.max_wait) if timeout is None else timeout,
        )
        token = token_of(running.store.id, answer.freshness.position).encode()
        headers = (_NO_CACHE, (b"deedlog-token", token), *_freshness_headers(answer))
        return Reply(_encode(_answer(answer)), (*headers, *(self._cookie(call, token) if seen.replace else ())))

    async def _question(self, running: Running, call: Call) -> Any:
        if call.scope["method"] == "POST":
            return running.codec.from_json("query", call.name, await call.json_body(self.settings.max_body))
        kind = running.codec.registry.newest("query", call.name)
        return running.codec.from_fields("query", call.name, fields_of(kind, call.scope["query_string"]))

    async def _caller(self, call: Call) -> Caller:
        if self.settings.metadata is None:
            return {}
        found = self.settings.metadata(Request(call.scope))
        return await found if inspect.isawaitable(found) else found

    def _cookie(self, call: Call, token: bytes) -> tuple[tuple[bytes, bytes], ...]:
        if not self.settings.cookie:
            return ()
        return (set_cookie(self.settings.cookie, token.decode(), secure=call.scope.get("scheme") == "https"),)


def _idempotency_key(call: Call) -> str | None:
    """The command's id. Quotes around it are the standard's way of writing a string, not part of it."""
    key = _id(call, b"idempotency-key", "Idempotency-Key")
    if key is not None and len(key) > 2 and key[0] == key[-1] == '"':
        return key[1:-1]
    return key


def _id(call: Call, name: bytes, shown: str) -> str | None:
    text = call.header(name)
    if text is not None and (not text or len(text) > MAX_ID or not text.isprintable()):
        raise Rejected(400, "bad_header", f"{text[:40]!r} is no id", path=shown, fix=f"send 1 to {MAX_ID} printable characters")
    return text


def _traceparent(call: Call) -> str | None:
    """The W3C trace context; one that can't be read is ignored, as that standard wants."""
    text = call.headers.get(b"traceparent", b"").decode("latin-1")
    return text if len(text) <= MAX_ID and _TRACEPARENT.fullmatch(text) else None


def _furthest(seen: Seen, receipt: Receipt) -> Token:
    """The token to send back: never one before that which the request brought."""
    return seen.token if seen.token is not None and seen.position > receipt.position else receipt.token


def _receipt(running: Running, receipt: Receipt) -> ReceiptBody:
    of = running.codec.registry.of
    events = [EventBody(kind.name, kind.version, event) for event in receipt.events for kind in (of(type(event)),)]
    return ReceiptBody(receipt.command_id, receipt.stream, receipt.version, receipt.position, receipt.token, events)


def _answer(answer: Answer[Any]) -> AnswerBody:
    fresh = answer.freshness
    body = FreshnessBody(fresh.position, fresh.head, fresh.behind_events, fresh.behind_seconds, fresh.updated_at)
    return AnswerBody(answer.value, body)


def _freshness_headers(answer: Answer[Any]) -> list[tuple[bytes, bytes]]:
    fresh = answer.freshness
    headers = [
        (b"deedlog-position", b"%d" % fresh.position),
        (b"deedlog-head", b"%d" % fresh.head),
        (b"deedlog-behind-events", b"%d" % fresh.behind_events),
        (b"deedlog-behind-seconds", b"%.3f" % fresh.behind_seconds),
    ]
    if fresh.updated_at is not None:
        headers.append((b"last-modified", format_datetime(fresh.updated_at, usegmt=True).encode()))
    return headers
