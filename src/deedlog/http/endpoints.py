"""The two endpoints that matter: a command in, a receipt out; a query in, an answer with its freshness out."""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Collection
from typing import Any, NamedTuple, TypeAlias, TypedDict

import msgspec
from starlette.requests import Request

from deedlog.app import App
from deedlog.commands.context import Receipt
from deedlog.commands.handlers import MAX_ID
from deedlog.consistency.freshness import Freshness
from deedlog.consistency.token import token_of
from deedlog.errors import InvalidMessage, Unavailable
from deedlog.http.bodies import answer_body, freshness_headers, receipt_body
from deedlog.http.demands import Demand, demand_of
from deedlog.http.etags import Tagged, Tags, brought, header_of, key_of, matches, tag_of
from deedlog.http.fields import fields_of
from deedlog.http.problems import Rejected
from deedlog.http.tokens import Seen, seen_by, set_cookie
from deedlog.http.wire import Call, Reply
from deedlog.queries.bus import UNMOVED
from deedlog.running import Running
from deedlog.types import Token

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_NO_CACHE = (b"cache-control", b"private, no-cache")  # Last-Modified alone would let a browser keep it and miss its own write
_encode = msgspec.json.Encoder().encode


class Caller(TypedDict, total=False):
    """Who sends a command, as the `metadata` hook found out; stored with its events."""

    actor: str
    tenant: str


WhoCalls: TypeAlias = Callable[[Request], Caller | Awaitable[Caller]]


class Settings(msgspec.Struct, frozen=True):
    """How an app is served; `asgi` says what each means."""

    projections: bool
    max_body: int
    max_wait: float
    max_behind: float
    max_live: int
    cookie: str | None
    metadata: WhoCalls | None
    title: str | None
    version: str


class _Found(NamedTuple):
    value: Any
    tag: bytes
    freshness: Freshness


class Service:
    """An app as the endpoints use it: started at the first use, as the settings want it."""

    def __init__(self, app: App, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self._tags = Tags()

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
            timeout=call.seconds(b"deedlog-timeout", "Deedlog-Timeout", self.settings.max_wait),
        )
        token = _furthest(seen, receipt).encode()
        headers = ((b"deedlog-token", token), (b"deedlog-position", b"%d" % receipt.position))
        return Reply(_encode(receipt_body(running, receipt)), (*headers, *self._cookie(call, token)))

    async def query(self, call: Call) -> Reply:
        """`GET` or `POST /queries/{name}`: as fresh as the caller demands, else 503."""
        running = await self.running()
        query = await self._question(running, call)
        seen = seen_by(call, running.store.id, self.settings.cookie)
        demand = demand_of(call, seen, self.settings.max_wait)
        kept = call.scope["method"] != "POST"
        tags = brought(call) if kept else ()
        if demand.at is not None:
            value, tag, fresh = await self._past(running, query, demand)
        else:
            value, tag, fresh = await self._present(running, query, demand, tags)
        token = token_of(running.store.id, fresh.position).encode()
        headers = [_NO_CACHE, *freshness_headers(fresh)]
        headers += [(b"deedlog-token", token)] if demand.at is None else []  # nobody is to go on from the past
        headers += [header_of(tag)] if kept else []
        headers += self._cookie(call, token) if seen.replace else ()
        if value is UNMOVED or matches(tag, tags):
            return Reply(b"", tuple(headers), 304)
        return Reply(_encode(answer_body(value, fresh)), tuple(headers))

    async def _present(self, running: Running, query: Any, demand: Demand, tags: Collection[bytes]) -> _Found:
        """The answer; `UNMOVED` where the caller has brought its tag and nothing has moved since that was made."""
        kind = running.codec.registry.of(type(query))
        key = key_of(kind.name, running.codec.content_of(query)) if tags else b""
        known = self._tags.known(key) if tags and running.queries.handler_of(query).reads_only else None
        unless = known.stamp if known is not None and matches(known.tag, tags) else None
        looked = await running.queries.look(
            query,
            after=demand.after,
            max_staleness=demand.max_staleness,
            timeout=demand.timeout,
            strong=demand.strong,
            unless=unless,
        )
        if looked.value is UNMOVED and known is not None:
            return _Found(UNMOVED, known.tag, looked.freshness)
        value = _encode(looked.value)
        found = _Found(msgspec.Raw(value), tag_of(value), looked.freshness)
        if tags:
            self._tags.keep(key, Tagged(found.tag, looked.stamp))
        return found

    async def _past(self, running: Running, query: Any, demand: Demand) -> _Found:
        """The answer as it was. Raises Rejected (400) for a position that is not there, Unavailable when its time is over."""
        assert demand.at is not None
        try:
            async with asyncio.timeout(demand.timeout) as scope:
                answer = await self.app.ask(query, at=demand.at)
        except TimeoutError as error:
            if not scope.expired():
                raise
            words = f"the read models could not be folded up to there within {demand.timeout:g} s"
            raise Unavailable(words, fix="allow a longer Deedlog-Timeout") from error
        except InvalidMessage as error:
            if error.path != "at" or error.message_name != "query":
                raise
            raise Rejected(400, "bad_header", error.problem, path="Deedlog-At", fix=error.fix) from error
        value = _encode(answer.value)
        return _Found(msgspec.Raw(value), tag_of(value), answer.freshness)

    async def _question(self, running: Running, call: Call) -> Any:
        if call.scope["method"] == "POST":
            return running.codec.from_json("query", call.name, await call.json_body(self.settings.max_body))
        return self.from_address(running, call)

    @staticmethod
    def from_address(running: Running, call: Call) -> Any:
        """The query that the address names, with the fields of its query string. Raises UnknownMessage, InvalidMessage."""
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
