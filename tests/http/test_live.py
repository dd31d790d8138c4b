"""Live queries as server-sent events: spoken to as a server does, and once over a real connection."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from starlette.types import Message, Scope

from deedlog import App, Module, Query, message
from deedlog.consistency.token import token_of
from deedlog.http import asgi, live
from deedlog.queries import watch
from tests.http.shop import LAMP, CreateProduct, Line, Sell, client_of, open_shop
from tests.http.test_serving import server as server

LAMP_AT = "/queries/GetProduct/live"
LAMP_1 = "product_id=lamp-1"


class Listener:
    """A client of one live query. What it is sent waits until it reads; while `takes` is not set, nothing is taken."""

    def __init__(self, served: Any, path: str = LAMP_AT, query: str = LAMP_1, method: str = "GET", **headers: str) -> None:
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self.takes = asyncio.Event()
        self.takes.set()
        self._gone = asyncio.Event()
        names = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        self._scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": query.encode(),
            "headers": names,
        }
        self.task = asyncio.ensure_future(served(self._scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if self._gone.is_set():
            return {"type": "http.disconnect"}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self.takes.wait()
        self.sent.put_nowait(message)

    async def next(self) -> Message:
        async with asyncio.timeout(10):
            return await self.sent.get()

    async def start(self) -> Message:
        """The head of the response, and the first words of the stream."""
        head = await self.next()
        if head["status"] == 200:
            assert (await self.next())["body"] == b"retry: 1000\n\n"
        return head

    async def event(self) -> dict[str, Any]:
        """The fields of the next event; comments under `:`."""
        lines = (await self.next())["body"].decode().strip("\n").split("\n")
        return {name: json.loads(value) if name == "data" else value for name, _, value in (_field(line) for line in lines)}

    async def leave(self) -> None:
        self._gone.set()
        async with asyncio.timeout(10):
            await self.task


def _field(line: str) -> tuple[str, str, str]:
    if line.startswith(":"):
        return ":", ": ", line[2:]
    return line.partition(": ")


@message("stock/live")
class Named(Query[int], frozen=True):
    pass


@pytest.fixture
async def app() -> AsyncIterator[App]:
    app = open_shop()
    async with app:
        yield app


async def lamp(app: App) -> None:
    await app.execute(CreateProduct("lamp-1", "Lamp", Decimal("19.90")))
    await app.catch_up()


async def sell(app: App, quantity: int = 1) -> Any:
    return await app.execute(Sell("lamp-1", [Line("a", quantity)]))


async def test_each_answer_is_an_event_with_its_token_as_id(app: App) -> None:
    await lamp(app)
    listener = Listener(asgi(app))
    head = await listener.start()
    assert (head["status"], dict(head["headers"])[b"content-type"]) == (200, b"text/event-stream; charset=utf-8")
    first = await listener.event()
    assert (first["event"], first["id"]) == ("answer", token_of(app.running.store.id, 1))
    assert (first["data"]["value"]["sold"], first["data"]["freshness"]["position"]) == (0, 1)
    receipt = await sell(app)
    second = await listener.event()
    assert (second["data"]["value"]["sold"], second["id"]) == (1, token_of(app.running.store.id, receipt.position))
    await listener.leave()


async def test_the_data_is_the_body_of_the_query(app: App) -> None:
    async with client_of(asgi(app), app) as client:
        await client.post("/commands/CreateProduct", json=LAMP)
        await app.catch_up()
        asked = (await client.get(f"/queries/GetProduct?{LAMP_1}")).json()
        listener = Listener(asgi(app))
        await listener.start()
        assert (await listener.event())["data"] == asked
        await listener.leave()


async def test_a_row_that_is_not_there_is_a_problem_and_its_coming_an_answer(app: App) -> None:
    listener = Listener(asgi(app))
    await listener.start()
    first = await listener.event()
    assert (first["event"], first["data"]["code"], first["data"]["status"]) == ("problem", "not_found", 404)
    await lamp(app)
    assert (await listener.event())["data"]["value"]["name"] == "Lamp"
    await listener.leave()


async def test_a_browser_that_comes_back_sees_at_least_what_it_saw(app: App) -> None:
    await lamp(app)
    receipt = await sell(app)
    listener = Listener(asgi(app), last_event_id=receipt.token)
    await listener.start()
    assert (await listener.event())["data"]["value"]["sold"] == 1
    await listener.leave()


async def test_a_browser_reads_its_own_write_by_its_cookie(app: App) -> None:
    await lamp(app)
    receipt = await sell(app)
    listener = Listener(asgi(app), cookie=f"deedlog-token={receipt.token}")
    await listener.start()
    assert (await listener.event())["data"]["value"]["sold"] == 1
    await listener.leave()


@pytest.mark.parametrize("last", ["x", "d1.other.99", "\xff"])
async def test_an_id_of_no_use_is_ignored(app: App, last: str) -> None:
    await lamp(app)
    listener = Listener(asgi(app), last_event_id=last)
    assert (await listener.start())["status"] == 200
    assert (await listener.event())["event"] == "answer"
    await listener.leave()


async def test_a_demand_that_is_not_met_is_a_problem_and_then_an_answer(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FIRST_SECONDS", 0.01)
    await lamp(app)
    listener = Listener(asgi(app), deedlog_token=token_of(app.running.store.id, 2))
    await listener.start()
    first = await listener.event()
    assert (first["event"], first["data"]["code"]) == ("problem", "stale")
    await sell(app)
    while (event := await listener.event())["event"] == "problem":
        assert event["data"]["code"] == "stale"
    assert event["data"]["value"]["sold"] == 1
    await listener.leave()


async def test_a_client_that_is_gone_ends_the_evaluation(app: App) -> None:
    await lamp(app)
    before = asyncio.all_tasks()
    listener = Listener(asgi(app))
    await listener.start()
    await listener.event()
    assert app.running.watching.queries == 1
    await listener.leave()
    assert app.running.watching.queries == 0
    assert asyncio.all_tasks() <= before


async def test_a_server_that_cancels_ends_the_evaluation(app: App) -> None:
    await lamp(app)
    listener = Listener(asgi(app))
    await listener.start()
    await listener.event()
    listener.task.cancel()
    await asyncio.wait([listener.task])
    assert app.running.watching.queries == 0


async def test_a_slow_client_gets_the_newest_and_is_told_how_many_were_left_out(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "FLOOR_SECONDS", 0.0)
    await lamp(app)
    served = asgi(app)
    slow, quick = Listener(served), Listener(served)
    for listener in (slow, quick):
        await listener.start()
        await listener.event()
    slow.takes.clear()
    for _ in range(watch.KEPT + 6):
        await sell(app)
        await quick.event()
    slow.takes.set()
    events = [await slow.event() for _ in range(watch.KEPT + 1)]
    assert events[-1]["data"]["value"]["sold"] == watch.KEPT + 6
    assert [event[":"] for event in events if ":" in event] == ["5 older answers were left out"]
    await slow.leave()
    await quick.leave()


async def test_in_a_silence_there_are_comments(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.002)
    await lamp(app)
    listener = Listener(asgi(app))
    await listener.start()
    await listener.event()
    assert (await listener.next())["body"] == b": still here\n\n"
    assert (await listener.next())["body"] == b": still here\n\n"
    await listener.leave()


async def test_more_than_are_allowed_are_refused_until_one_ends(app: App) -> None:
    await lamp(app)
    served = asgi(app, max_live=1)
    first = Listener(served)
    await first.start()
    second = Listener(served)
    head = await second.start()
    assert (head["status"], dict(head["headers"])[b"retry-after"]) == (503, b"1")
    assert json.loads((await second.next())["body"])["code"] == "too_many_live"
    await first.leave()
    third = Listener(served)
    assert (await third.start())["status"] == 200
    await third.leave()


async def test_the_end_of_the_app_ends_the_stream() -> None:
    app = open_shop()
    await app.start()
    listener = Listener(asgi(app))
    await listener.start()
    await listener.event()
    await app.stop()
    assert await listener.next() == {"type": "http.response.body", "body": b""}
    await listener.leave()


async def test_a_server_that_is_told_to_end_need_not_wait(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    class Server:
        should_exit = True

        def handle(self, number: int, frame: object) -> None: ...

    monkeypatch.setattr(live, "LOOK_SECONDS", 0.001)
    await lamp(app)
    listener = Listener(asgi(app))
    await listener.start()
    await listener.event()
    before = signal.signal(signal.SIGTERM, Server().handle)
    try:
        assert await listener.next() == {"type": "http.response.body", "body": b""}
    finally:
        signal.signal(signal.SIGTERM, before)
    await listener.leave()


@pytest.mark.parametrize(
    ("path", "query", "headers", "status", "field"),
    [
        ("/queries/Nope/live", "", {}, 404, ["$"]),
        (LAMP_AT, "", {}, 422, ["product_id"]),
        (LAMP_AT, "product_id=A", {}, 422, ["product_id"]),
        (LAMP_AT, LAMP_1, {"deedlog_token": "x"}, 400, ["Deedlog-Token"]),
        (LAMP_AT, LAMP_1, {"deedlog_max_staleness": "x"}, 400, ["Deedlog-Max-Staleness"]),
        (LAMP_AT + "\n", LAMP_1, {}, 404, []),
    ],
)
async def test_what_can_not_be_asked_is_refused_before_the_stream(
    app: App, path: str, query: str, headers: dict[str, str], status: int, field: list[str]
) -> None:
    listener = Listener(asgi(app), path, query, **headers)
    assert (await listener.start())["status"] == status
    problem = json.loads((await listener.next())["body"])
    assert [fault["path"] for fault in problem.get("errors", [])] == field


async def test_the_head_alone_opens_nothing(app: App) -> None:
    await lamp(app)
    listener = Listener(asgi(app), method="HEAD")
    assert ((await listener.next())["status"], (await listener.next())["body"]) == (200, b"")
    await listener.task
    assert app.running.watching.queries == 0


async def test_a_query_whose_name_ends_so_is_asked_as_it_is() -> None:
    module = Module()

    @module.query
    def named(query: Named) -> int:
        return 7

    app = open_shop("memory://", module)
    async with client_of(asgi(app), app) as client:
        assert (await client.get("/queries/stock/live")).json()["value"] == 7


def _events(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    fields: dict[str, str] = {}
    for line in lines:
        if not line and fields:
            yield fields
            fields = {}
        elif line:
            name, _, value = _field(line)
            fields[name] = value


def test_over_a_real_connection(server: tuple[str, "subprocess.Popen[bytes]"]) -> None:
    url, process = server
    with httpx2.Client(base_url=url, timeout=20) as client, httpx2.Client(base_url=url, timeout=20) as other:
        other.post("/commands/CreateProduct", json=LAMP)
        with client.stream("GET", f"{LAMP_AT}?{LAMP_1}", headers={"cookie": _cookies(other)}) as stream:
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            events = _events(stream.iter_lines())
            assert next(events) == {"retry": "1000"}
            assert json.loads(next(events)["data"])["value"]["sold"] == 0
            sold = {"product_id": "lamp-1", "lines": [{"name": "a", "quantity": 3}]}
            token = other.post("/commands/Sell", json=sold).headers["deedlog-token"]
            event = next(events)
            assert (json.loads(event["data"])["value"]["sold"], event["id"]) == (3, token.removesuffix("w"))
            process.send_signal(signal.SIGTERM)
            assert list(events) == []  # the stream ends with the server, in order
    assert process.wait(20) in (0, -signal.SIGTERM)


def _cookies(client: httpx2.Client) -> str:
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())
