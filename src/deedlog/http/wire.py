"""The lean end of HTTP: one call in, one reply out, as ASGI messages; nothing is parsed that an endpoint does not ask for."""

import math
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.types import Message, Receive, Scope, Send

from deedlog.http.problems import Rejected, problem

JSON = b"application/json"


class Reply(NamedTuple):
    """What goes back. `content_length` is added; `headers` are raw and in lower case."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    status: int = 200
    content_type: bytes = JSON


class Call:
    """One request. Names of headers are bytes in lower case, as ASGI has them."""

    __slots__ = ("_receive", "headers", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive

    @property
    def name(self) -> str:
        """The message's name, from the path. Raises HTTPException (404) where a line break follows it: routes let that pass."""
        found: str = self.scope["path_params"]["name"]
        if self.scope["path"].endswith("\n"):
            raise HTTPException(404)
        return found

    def header(self, name: bytes) -> str | None:
        """The value of a header that there is one of. Raises Rejected (400) for two."""
        found = self.headers.get(name)
        if found is None:
            return None
        if len(self.headers) < len(self.scope["headers"]) and [key for key, _ in self.scope["headers"]].count(name) > 1:
            raise Rejected(400, "bad_header", "it is there twice", path=name.decode().title(), fix="send it once")
        return found.decode("latin-1")

    def cookie(self, name: str) -> str | None:
        if b"cookie" not in self.headers:
            return None
        every = (value.decode("latin-1") for key, value in self.scope["headers"] if key == b"cookie")  # HTTP/2 splits them
        return cookie_parser("; ".join(every)).get(name)

    def seconds(self, name: bytes, shown: str, limit: float = math.inf) -> float | None:
        """A header with seconds, 0 to `limit`. Raises Rejected (400)."""
        text = self.header(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and 0 <= value <= limit):
            allowed = "0 or more" if math.isinf(limit) else f"0 to {limit:g}"
            raise Rejected(400, "bad_header", f"'{text[:40]}' is not a number of seconds", path=shown, fix=f"send {allowed}")
        return value

    async def json_body(self, limit: int) -> bytes:
        """The body, unread by anyone before, at most `limit` bytes; a longer one is not read to its end.

        Raises Rejected: 415 when it is not said to be JSON, 413 when it is too long. That JSON must be said makes a
        browser ask first (CORS) before it sends another site's command.
        """
        said = self.headers.get(b"content-type", b"")
        kind = said.partition(b";")[0].strip().lower()
        if kind != JSON and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
            words = f"'{said.decode('latin-1')[:100]}' is not JSON" if said else "the request does not say what it carries"
            raise Rejected(415, "unsupported_media_type", words, path="Content-Type", fix="send application/json")
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        return await self._read(limit)

    async def _read(self, limit: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message: Message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            if not message.get("more_body", False):
                return b"".join((*chunks, chunk)) if chunks else chunk
            chunks.append(chunk)


def _too_large(limit: int) -> Rejected:
    return Rejected(413, "too_large", f"the body is longer than {limit} bytes", fix="send less, or send an address of it")


class Endpoint:
    """An ASGI endpoint of a function from a call to a reply; every error leaves as problem details."""

    def __init__(self, answer: Callable[[Call], Awaitable[Reply]]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            reply = await self._answer(Call(scope, receive))
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception as error:
            reply = reply_of(error)
        await send_reply(reply, send)


def reply_of(error: Exception) -> Reply:
    """Any exception as a problem details reply."""
    found = problem(error)
    return Reply(found.body, found.headers, found.status, b"application/problem+json")


async def send_reply(reply: Reply, send: Send) -> None:
    """The two ASGI messages of a reply."""
    headers: list[tuple[bytes, bytes]] = list(reply.headers)
    if reply.status != 304:  # that has no body, and a length would be that of the body it stands for
        headers += [(b"content-type", reply.content_type), (b"content-length", b"%d" % len(reply.body))]
    start: dict[str, Any] = {"type": "http.response.start", "status": reply.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": reply.body})
