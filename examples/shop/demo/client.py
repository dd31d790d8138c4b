"""The shop's HTTP client, as small as it can be: one connection, one request at a time, JSON in and out."""

import asyncio
import json
from types import TracebackType
from typing import Any, NamedTuple

from examples.shop.demo.source import Step

TIMEOUT_SECONDS = 60.0


class Gone(Exception):
    """The service ended the connection, or is not there. Whether a command was done is not known: send it again."""


class Failed(Exception):
    """The service answered with an error."""

    def __init__(self, what: str, status: int, problem: Any) -> None:
        super().__init__(f"{what}: {status} {json.dumps(problem)[:500]}")
        self.status = status
        self.problem = problem


class Freshness(NamedTuple):
    """How far behind the log an answer was."""

    head: int
    behind_events: int
    behind_seconds: float


class Client:
    """A connection that is opened when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def execute(self, step: Step) -> dict[str, Any]:
        """The receipt. Sent again with the same step, it is the same receipt. Raises Gone or Failed."""
        receipt: dict[str, Any] = await self._json("POST", f"/commands/{step.name}", step.body, {"Idempotency-Key": step.key})
        return receipt

    async def ask(self, query: str, fields: dict[str, Any], token: str | None = None) -> tuple[Any, Freshness]:
        """The value and how fresh it is; with a `token`, it reflects at least the write that gave it. Raises Gone or Failed."""
        answer = await self._json("POST", f"/queries/{query}", fields, {"Deedlog-Token": token} if token else {})
        fresh = answer["freshness"]
        return answer["value"], Freshness(fresh["head"], fresh["behind_events"], fresh["behind_seconds"])

    async def is_ready(self) -> bool:
        """Whether the service says that it can take requests."""
        try:
            status, _ = await self._send("GET", "/health/ready", b"", {})
        except Gone:
            return False
        return status == 200

    async def _json(self, method: str, path: str, body: dict[str, Any], headers: dict[str, str]) -> Any:
        status, answer = await self._send(method, path, json.dumps(body).encode(), headers)
        value = json.loads(answer) if answer else None
        if status != 200:
            raise Failed(f"{path} {json.dumps(body)[:200]}", status, value)
        return value

    async def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._exchange(method, path, body, headers)
        except (OSError, EOFError) as error:  # also the timeout
            self.close()
            raise Gone(f"{method} {path}: {str(error) or type(error).__name__}") from error
        except BaseException:
            self.close()  # an answer may still be on its way: it is not for the next request
            raise

    async def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        sent = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        self._writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        got = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in answer[1:])}
        content = await self._reader.readexactly(int(got.get("content-length", "0")))
        if got.get("connection", "").lower() == "close":
            self.close()
        return int(answer[0].split()[1]), content
