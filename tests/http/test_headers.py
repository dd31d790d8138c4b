"""Headers that say how long, how fresh, and when: for commands `Deedlog-Timeout`, for queries `-Strong`, `-At`, `-Parked`."""

import asyncio
from datetime import timedelta

import httpx2
import pytest

from deedlog import App, Module, Query, Reader, ReadModel, starts
from deedlog.http import asgi
from deedlog.testing import memory_app
from tests.http.shop import LAMP, Noted, client_of, open_shop, shop

CREATE = "/commands/CreateProduct"
LAMP_AT = "/queries/GetProduct?product_id=lamp-1"
NO_WAIT = {"Deedlog-Timeout": "0"}


async def sell(client: httpx2.AsyncClient) -> None:
    await client.post("/commands/Sell", json={"product_id": "lamp-1", "lines": [{"name": "a", "quantity": 1}]})


async def test_a_command_that_is_not_done_in_time_says_what_is_known(client: httpx2.AsyncClient) -> None:
    answer = await client.post(CREATE, json=LAMP, headers=NO_WAIT)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "deadline_exceeded", "1")
    assert answer.json()["data"]["stored"] is False
    assert (await client.get("/queries/GetProduct?product_id=lamp-1")).status_code == 404


async def test_a_command_in_time_is_as_any(client: httpx2.AsyncClient) -> None:
    assert (await client.post(CREATE, json=LAMP, headers={"Deedlog-Timeout": "20"})).status_code == 200


@pytest.mark.parametrize("value", ["-1", "31", "nan", "soon", ""])
async def test_a_commands_timeout_that_is_none_is_refused(client: httpx2.AsyncClient, value: str) -> None:
    answer = await client.post(CREATE, json=LAMP, headers={"Deedlog-Timeout": value})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "Deedlog-Timeout")


async def test_a_strong_query_reflects_what_is_in_the_log_now() -> None:
    app = open_shop()
    async with client_of(asgi(app, cookie=None), app, projections=False) as client:
        await client.post(CREATE, json=LAMP)
        assert (await client.get(LAMP_AT)).status_code == 404
        assert (await client.get(LAMP_AT, headers={"Deedlog-Strong": "false"})).status_code == 404
        answer = await client.get(LAMP_AT, headers={"Deedlog-Strong": "true"})
    assert (answer.status_code, answer.json()["freshness"]["behind_events"]) == (200, 0)


@pytest.mark.parametrize("value", ["", "1", "True", "yes"])
async def test_what_is_neither_true_nor_false_is_refused(client: httpx2.AsyncClient, value: str) -> None:
    answer = await client.get(LAMP_AT, headers={"Deedlog-Strong": value})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "Deedlog-Strong")


async def test_an_answer_of_the_past_by_position(client: httpx2.AsyncClient) -> None:
    await client.post(CREATE, json=LAMP)
    await sell(client)
    then = await client.get(LAMP_AT, headers={"Deedlog-At": "1"})
    assert (then.json()["value"]["sold"], then.headers["deedlog-position"], then.headers["deedlog-head"]) == (0, "1", "2")
    assert "deedlog-token" not in then.headers
    assert (await client.get(LAMP_AT, headers={"Deedlog-At": "0"})).status_code == 404


async def test_an_answer_of_the_past_by_time() -> None:
    app = memory_app(shop)
    async with client_of(asgi(app), app) as client:
        await client.post(CREATE, json=LAMP)
        between = app.clock.advance(60)
        app.clock.advance(60)
        await sell(client)
        then = await client.get(LAMP_AT, headers={"Deedlog-At": between.isoformat()})
        now = await client.get(LAMP_AT, headers={"Deedlog-At": (between + timedelta(days=1)).isoformat()})
    assert (then.json()["value"]["sold"], now.json()["value"]["sold"]) == (0, 1)


@pytest.mark.parametrize("value", ["", "-1", "1.5", "99", "9" * 18, "9" * 40, "yesterday", "2026-01-31", "2026-01-31T09:30:00"])
async def test_what_is_no_moment_of_this_log_is_refused(client: httpx2.AsyncClient, value: str) -> None:
    answer = await client.get(LAMP_AT, headers={"Deedlog-At": value})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "Deedlog-At")
    assert answer.json()["fix"]


@pytest.mark.parametrize("name", ["Deedlog-Token", "Deedlog-Max-Staleness", "Deedlog-Strong"])
async def test_the_past_is_not_fresh(client: httpx2.AsyncClient, name: str) -> None:
    token = (await client.post(CREATE, json=LAMP)).headers["deedlog-token"]
    value = {"Deedlog-Token": token, "Deedlog-Max-Staleness": "1", "Deedlog-Strong": "true"}[name]
    answer = await client.get(LAMP_AT, headers={"Deedlog-At": "1", name: value})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, name)


async def test_the_past_takes_no_longer_than_the_caller_waits(client: httpx2.AsyncClient, app: App) -> None:
    await client.post(CREATE, json=LAMP)

    async def hangs(*words: object, **more: object) -> object:
        return await asyncio.Event().wait()

    app.ask = hangs  # type: ignore[assignment,method-assign]  # a log that takes for ever to fold
    answer = await client.get(LAMP_AT, headers={"Deedlog-At": "1", "Deedlog-Timeout": "0.01"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_the_cookie_of_a_browser_is_no_demand_on_the_past(client: httpx2.AsyncClient) -> None:
    await client.post(CREATE, json=LAMP)
    assert (await client.get(LAMP_AT, headers={"Deedlog-At": "1"})).status_code == 200


picky = Module()


class CountPicky(Query[int], frozen=True):
    pass


@picky.read_model(key="text")
class PickyView(ReadModel):
    text: str

    @starts
    @classmethod
    def noted(cls, event: Noted) -> "PickyView":
        if event.text == "bad":
            raise ValueError("not this one")
        return cls(event.text)


@picky.query
async def count_picky(query: CountPicky, rows: Reader[PickyView]) -> int:
    return await rows.count()


async def test_an_answer_says_how_many_keys_are_parked() -> None:
    app = open_shop("memory://", picky)
    async with client_of(asgi(app, cookie=None), app) as client:
        for text in ("good", "bad"):
            await client.post("/commands/Note", json={"text": text})
        await app.catch_up()
        answer = await client.get("/queries/CountPicky")
    assert (answer.json()["value"], answer.json()["freshness"]["parked"], answer.headers["deedlog-parked"]) == (1, 1, "1")
