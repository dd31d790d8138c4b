"""A lean HTTP client for `benchmarks.http`: keep-alive connections, one POST after the other on each, the same for both sides.

`python -m benchmarks.load PORT CONNECTIONS REQUESTS RUN` prints requests per second. `RUN` makes its keys unlike another's.
"""

import asyncio
import sys
from functools import partial
from itertools import count
from time import perf_counter
from typing import cast

import msgspec
import uvloop

from benchmarks.parcels import key_of, register

HEAD = b"POST /commands/Register HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
RUNS = 1_000_000


class Connection(asyncio.Protocol):
    """Sends until `left` is empty; `done` is then set, or has the error of the first answer that is not 2xx."""

    def __init__(self, requests: list[bytes], done: "asyncio.Future[None]") -> None:
        self._left = requests
        self._done = done
        self._buffer = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop has classes of its own

    def send(self) -> None:
        if self._left:
            self._transport.write(self._left.pop())
        elif not self._done.done():
            self._done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        start = head.index(b"content-length:") + 15
        length = int(head[start:].partition(b"\r\n")[0])
        if len(self._buffer) < end + 4 + length:
            return
        if not head.startswith(b"http/1.1 2"):
            self._fail(self._buffer.decode(errors="replace"))
            return
        self._buffer = b""
        self.send()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail("the server closed the connection")

    def _fail(self, words: str) -> None:
        if not self._done.done():
            self._done.set_exception(RuntimeError(words))


def requests(run: int, number: int) -> list[bytes]:
    numbers = count(run * RUNS + 1)
    bodies = (msgspec.json.encode(register(key_of(next(numbers)))) for _ in range(number))
    return [HEAD % len(body) + body for body in bodies]


async def load(port: int, connections: int, waiting: list[bytes]) -> float:
    """Requests per second, connecting not included."""
    loop = asyncio.get_running_loop()
    number = len(waiting)
    opened: list[Connection] = []
    ends: list[asyncio.Future[None]] = []
    for _ in range(connections):
        done = loop.create_future()
        _, connection = await loop.create_connection(partial(Connection, waiting, done), "127.0.0.1", port)
        opened.append(connection)
        ends.append(done)
    started = perf_counter()
    for connection in opened:
        connection.send()
    await asyncio.gather(*ends)
    return number / (perf_counter() - started)


if __name__ == "__main__":
    port, connections, number, run = map(int, sys.argv[1:])
    print(uvloop.run(load(port, connections, requests(run, number))))
