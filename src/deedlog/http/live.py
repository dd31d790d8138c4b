"""Live queries over HTTP: server-sent events, for an `EventSource` in a browser and for whoever reads a stream of lines.

Source: HTML Living Standard, section 9.2, "Server-sent events".
"""

import asyncio
import signal
from contextlib import suppress
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from deedlog.consistency.freshness import Answer
from deedlog.consistency.token import position_in, token_of
from deedlog.errors import DeedlogError, InvalidMessage
from deedlog.http.bodies import answer_body
from deedlog.http.endpoints import Service
from deedlog.http.problems import Rejected, problem
from deedlog.http.tokens import Seen, seen_by
from deedlog.http.wire import Call, Endpoint, reply_of, send_reply
from deedlog.queries.watch import Answers
from deedlog.types import Token

HEARTBEAT_SECONDS = 15.0
"""A comment after so long a silence: proxies close what says nothing, and a dead connection is noticed by writing to it."""
LOOK_SECONDS = 1.0
PROBLEM_SECONDS = 1.0
"""Looks so often whether the server ends: nothing tells an open response of that."""
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx: pass on each line at once
]
_LIVE = "/live"
_FIRST = b"retry: 1000\n\n"
_HEARTBEAT = b": still here\n\n"
_encode = msgspec.json.Encoder().encode


class Queries:
    """What is below `/queries/`: a query, or a live one where `/live` follows its name.

    At most `max_live` are open at a time; each ends with its client, with the app, or with the server.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._query = Endpoint(service.query)
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path_params"]["name"]
        if not name.endswith(_LIVE) or scope["method"] == "POST" or await self._is_a_name(name):
            await self._query(scope, receive, send)
            return
        scope["path_params"]["name"] = name.removesuffix(_LIVE)
        await self._live(scope, receive, send)

    async def _is_a_name(self, name: str) -> bool:
        """Whether a query has a name that ends so itself."""
        try:
            known = (await self._service.running()).codec.registry.all("query")
        except DeedlogError:
            return False  # said where the query is read
        return any(kind.name == name for kind in known)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answers, store_id = await self._asked(Call(scope, receive))
        except Exception as error:
            await send_reply(reply_of(error), send)
            return
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": b""})
            return
        self.open += 1
        try:
            with suppress(OSError):  # some servers raise it where the client is gone
                await _Stream(answers, store_id, receive, send).run()
        finally:
            self.open -= 1
            await answers.aclose()

    async def _asked(self, call: Call) -> tuple[Answers[Any], str]:
        """The live query. Raises what a request that can't be answered raises, Rejected (503) where there are too many."""
        running = await self._service.running()
        query = self._service.from_address(running, call)
        running.queries.handler_of(query)
        store_id = running.store.id
        staleness = call.seconds(b"deedlog-max-staleness", "Deedlog-Max-Staleness")
        after = _resumed(call, seen_by(call, store_id, self._service.settings.cookie), store_id)
        limit = self._service.settings.max_live
        if self.open >= limit:
            words = f"{limit} live queries are open in this process, more are not served"
            raise Rejected(503, "too_many_live", words, fix="close some, or ask without /live")
        return self._service.app.watch(query, after=after, max_staleness=staleness), store_id


def _resumed(call: Call, seen: Seen, store_id: str) -> Token | None:
    """The furthest that the caller has seen. An id is sent by the browser by itself: one of another store is ignored."""
    last = call.headers.get(b"last-event-id", b"").decode("latin-1")
    try:
        return last if position_in(last, store_id) >= seen.position else seen.token
    except InvalidMessage:
        return seen.token


class _Stream:
    """One open response."""

    def __init__(self, answers: Answers[Any], store_id: str, receive: Receive, send: Send) -> None:
        self._answers = answers
        self._store_id = store_id
        self._receive = receive
        self._send = send
        self._lost = 0
        self._problem: type[Exception] | None = None

    async def run(self) -> None:
        """Until the client is gone, or there are no more answers."""
        await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self._write(_FIRST)
        gone = asyncio.ensure_future(self._until_gone())
        answer: asyncio.Future[bytes | None] | None = None
        try:
            silent = 0.0
            while not _server_ends():
                answer = answer or asyncio.ensure_future(self._next())
                done, _ = await asyncio.wait((gone, answer), timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if gone in done:
                    return
                if answer in done:
                    event, answer, silent = answer.result(), None, 0.0
                    if event is None:
                        break
                    await self._write(event)
                    continue
                silent += LOOK_SECONDS
                if silent >= HEARTBEAT_SECONDS:
                    await self._write(_HEARTBEAT)
                    silent = 0.0
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            await _ended(gone, *([answer] if answer is not None else []))

    async def _write(self, data: bytes) -> None:
        """Returns when the connection takes more: meanwhile the newest answers wait, and the oldest go."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _next(self) -> bytes | None:
        """The next event; None when there are no more."""
        while True:
            try:
                answer = await anext(self._answers)
            except StopAsyncIteration:
                return None
            except Exception as error:
                if type(error) is not self._problem:
                    self._problem = type(error)
                    return b"event: problem\ndata: %s\n\n" % problem(error).body
                await asyncio.sleep(PROBLEM_SECONDS)  # it was told once: look again, but not as fast as a client takes it
            else:
                self._problem = None
                return self._skipped() + self._event(answer)

    def _event(self, answer: Answer[Any]) -> bytes:
        token = token_of(self._store_id, answer.freshness.position).encode()
        data = _encode(answer_body(answer.value, answer.freshness))  # JSON: the watch has compared it
        return b"id: %s\nevent: answer\ndata: %s\n\n" % (token, data)

    def _skipped(self) -> bytes:
        lost, self._lost = self._answers.lost - self._lost, self._answers.lost
        return b": %d older answers were left out\n" % lost if lost else b""


async def _ended(*tasks: "asyncio.Future[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _server_ends() -> bool:
    """Whether uvicorn was told to end. It waits for open responses, and is found where it handles the signal."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return bool(getattr(server, "should_exit", False))
