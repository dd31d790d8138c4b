"""A command over HTTP: the receipt, the headers, and doing it once."""

import json
from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from deedlog import App
from deedlog.http import Caller, asgi
from tests.http.shop import JSON, LAMP, client_of, open_shop

CREATE = "/commands/CreateProduct"


async def metadata_of(app: App, position: int = 1) -> dict[str, str]:
    found = await app.running.store.read_all(position - 1, 1)
    decoded: dict[str, str] = json.loads(found[0].metadata)
    return decoded


async def test_a_command_answers_with_its_receipt(client: httpx2.AsyncClient) -> None:
    receipt = (await client.post(CREATE, json=LAMP)).json()
    assert (receipt["stream"], receipt["version"], receipt["position"]) == ("product-lamp-1", 1, 1)
    assert receipt["events"] == [{"name": "ProductCreated", "version": 1, "data": LAMP}]


async def test_token_and_position_are_headers_too(client: httpx2.AsyncClient) -> None:
    answer = await client.post(CREATE, json=LAMP)
    assert answer.headers["deedlog-token"] == answer.json()["token"]
    assert answer.headers["deedlog-position"] == "1"


async def test_a_command_that_stores_nothing_has_a_receipt(client: httpx2.AsyncClient) -> None:
    receipt = (await client.post("/commands/Note", json={"text": ""})).json()
    assert (receipt["events"], receipt["position"]) == ([], 0)


async def test_a_command_sent_twice_with_its_key_is_done_once(client: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": "order-7"}
    first = await client.post(CREATE, json=LAMP, headers=headers)
    second = await client.post(CREATE, json=LAMP, headers=headers)
    assert first.json() == second.json()
    assert first.json()["command_id"] == "order-7"


async def test_a_key_in_quotes_is_the_same_key(client: httpx2.AsyncClient) -> None:
    receipt = (await client.post(CREATE, json=LAMP, headers={"Idempotency-Key": '"order-7"'})).json()
    assert receipt["command_id"] == "order-7"


async def test_a_key_used_for_another_command_is_refused(client: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": "order-7"}
    await client.post(CREATE, json=LAMP, headers=headers)
    answer = await client.post(CREATE, json={**LAMP, "name": "Desk"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "duplicate_message")


@pytest.mark.parametrize("name", ["Idempotency-Key", "Deedlog-Correlation-Id"])
@pytest.mark.parametrize("value", ["", "x" * 201, "a\x7fb"])
async def test_an_id_that_is_none_is_refused_with_the_headers_name(client: httpx2.AsyncClient, name: str, value: str) -> None:
    answer = await client.post(CREATE, json=LAMP, headers={name: value})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, name)


async def test_correlation_and_trace_travel_with_the_events(client: httpx2.AsyncClient, app: App) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    await client.post(CREATE, json=LAMP, headers={"Deedlog-Correlation-Id": "chat-1", "traceparent": trace})
    found = await metadata_of(app)
    assert (found["correlation_id"], found["traceparent"]) == ("chat-1", trace)


async def test_a_broken_trace_is_ignored(client: httpx2.AsyncClient, app: App) -> None:
    answer = await client.post(CREATE, json=LAMP, headers={"traceparent": "nonsense"})
    assert answer.status_code == 200
    assert "traceparent" not in await metadata_of(app)


async def test_no_header_says_who_acts(client: httpx2.AsyncClient, app: App) -> None:
    await client.post(CREATE, json=LAMP, headers={"Deedlog-Actor": "root", "Deedlog-Tenant": "all"})
    assert {"actor", "tenant"}.isdisjoint(await metadata_of(app))


async def known_caller(request: Request) -> Caller:
    if "authorization" not in request.headers:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return {"actor": request.headers["authorization"], "tenant": "north"}


@pytest.fixture
async def guarded() -> AsyncIterator[tuple[httpx2.AsyncClient, App]]:
    app = open_shop()
    async with client_of(asgi(app, metadata=known_caller), app) as client:
        yield client, app


async def test_the_hook_says_who_acts(guarded: tuple[httpx2.AsyncClient, App]) -> None:
    client, app = guarded
    await client.post(CREATE, json=LAMP, headers={"authorization": "ada"})
    found = await metadata_of(app)
    assert (found["actor"], found["tenant"]) == ("ada", "north")


async def test_the_hook_can_turn_a_command_away(guarded: tuple[httpx2.AsyncClient, App]) -> None:
    client, app = guarded
    answer = await client.post(CREATE, json=LAMP)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert await app.running.store.head() == 0


async def test_a_plain_hook_will_do() -> None:
    app = open_shop()
    async with client_of(asgi(app, metadata=lambda request: {"actor": "cron"}), app) as client:
        await client.post(CREATE, json=LAMP)
        assert (await metadata_of(app))["actor"] == "cron"


async def test_json_by_another_name_is_json(client: httpx2.AsyncClient) -> None:
    headers = {"content-type": "application/vnd.shop+json; charset=utf-8"}
    answer = await client.post(CREATE, content=json.dumps(LAMP), headers=headers)
    assert answer.status_code == 200


async def test_a_body_in_pieces_is_one_body(client: httpx2.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        text = json.dumps(LAMP).encode()
        for at in range(0, len(text), 7):
            yield text[at : at + 7]

    answer = await client.post(CREATE, content=pieces(), headers=JSON)
    assert answer.status_code == 200
