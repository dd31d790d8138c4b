"""Reading one's own writes over HTTP, with headers and, in a browser, with nothing at all."""

import asyncio
import re
from email.utils import parsedate_to_datetime

import httpx2
import pytest

from deedlog import App
from deedlog.consistency.token import position_in, token_of
from deedlog.http import asgi
from tests.http.shop import LAMP, client_of, open_shop

CREATE = "/commands/CreateProduct"
LAMP_AT = "/queries/GetProduct?product_id=lamp-1"
COOKIE = "deedlog-token"
NO_WAIT = {"Deedlog-Timeout": "0"}


def cookie_in(answer: httpx2.Response) -> str:
    found = re.match(rf"{COOKIE}=([^;]+)", answer.headers["set-cookie"])
    assert found is not None
    return found[1]


def bare(client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """The same client, as one that keeps no cookies."""
    client.cookies.clear()
    return client


async def test_a_browser_reads_its_own_writes_with_no_code(client: httpx2.AsyncClient) -> None:
    for number in range(20):
        await client.post(CREATE, json={**LAMP, "product_id": f"lamp-{number}"})
        answer = await client.get(f"/queries/GetProduct?product_id=lamp-{number}")
        assert answer.status_code == 200


async def test_a_token_in_the_header_is_a_demand_that_waits(client: httpx2.AsyncClient) -> None:
    token = (await client.post(CREATE, json=LAMP)).headers["deedlog-token"]
    answer = await bare(client).get(LAMP_AT, headers={"Deedlog-Token": token})
    assert answer.json()["value"]["name"] == "Lamp"


async def test_without_projections_a_demand_is_stale_not_old() -> None:
    app = open_shop()
    async with client_of(asgi(app, projections=False), app, projections=False) as client:
        await client.post(CREATE, json=LAMP)
        answer = await client.get(LAMP_AT, headers=NO_WAIT)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "stale", "1")
    assert answer.json()["data"]["reached"] == 0


async def test_max_staleness_is_a_demand() -> None:
    app = open_shop()
    async with client_of(asgi(app), app, projections=False) as client:
        await client.post(CREATE, json=LAMP)
        answer = await bare(client).get(LAMP_AT, headers={"Deedlog-Max-Staleness": "0", **NO_WAIT})
    assert answer.json()["code"] == "stale"


async def test_an_answer_says_how_fresh_it_is() -> None:
    app = open_shop()
    async with client_of(asgi(app), app, projections=False) as client:
        await client.post(CREATE, json=LAMP)
        await app.catch_up()
        await client.post("/commands/Note", json={"text": "later"})
        answer = await bare(client).get(LAMP_AT)
    headers, freshness = answer.headers, answer.json()["freshness"]
    assert (headers["deedlog-position"], headers["deedlog-head"], headers["deedlog-behind-events"]) == ("1", "2", "1")
    assert (freshness["position"], freshness["head"], freshness["behind_events"]) == (1, 2, 1)
    assert float(headers["deedlog-behind-seconds"]) == pytest.approx(freshness["behind_seconds"], abs=0.001)
    assert parsedate_to_datetime(headers["last-modified"]).isoformat()[:19] == freshness["updated_at"][:19]


async def test_an_answer_is_not_kept_by_caches(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/queries/Echo?number=1")
    assert answer.headers["cache-control"] == "private, no-cache"


async def test_the_token_of_an_answer_is_what_it_reflects(client: httpx2.AsyncClient, app: App) -> None:
    await client.post(CREATE, json=LAMP)
    answer = await client.get(LAMP_AT)
    assert position_in(answer.headers["deedlog-token"], app.running.store.id) == 1


async def test_a_token_of_another_store_is_refused_in_the_header(client: httpx2.AsyncClient) -> None:
    answer = await client.get(LAMP_AT, headers={"Deedlog-Token": token_of("other", 3)})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "Deedlog-Token")


@pytest.mark.parametrize("cookie", [token_of("other", 99), "d1.nonsense", "x"])
async def test_a_cookie_of_another_store_is_ignored_and_replaced(client: httpx2.AsyncClient, app: App, cookie: str) -> None:
    client.cookies.set(COOKIE, cookie, domain="shop.test", path="/")
    answer = await client.get("/queries/Echo?number=1", headers=NO_WAIT)
    assert answer.status_code == 200
    assert position_in(cookie_in(answer), app.running.store.id) == 0


async def test_a_good_cookie_is_left_alone_by_a_query(client: httpx2.AsyncClient) -> None:
    await client.post(CREATE, json=LAMP)
    assert "set-cookie" not in (await client.get(LAMP_AT)).headers


async def test_a_repeated_command_does_not_take_the_token_back(client: httpx2.AsyncClient, app: App) -> None:
    once = {"Idempotency-Key": "first"}
    await client.post(CREATE, json=LAMP, headers=once)
    await client.post("/commands/Note", json={"text": "second"})
    again = await client.post(CREATE, json=LAMP, headers=once)
    store = app.running.store.id
    assert position_in(again.json()["token"], store) == 1
    assert position_in(cookie_in(again), store) == position_in(again.headers["deedlog-token"], store) == 2


async def test_commands_at_once_never_take_the_cookie_behind_what_they_brought(client: httpx2.AsyncClient, app: App) -> None:
    await client.post("/commands/Note", json={"text": "before"})
    answers = await asyncio.gather(*(client.post("/commands/Note", json={"text": str(n)}) for n in range(20)))
    positions = sorted(position_in(cookie_in(answer), app.running.store.id) for answer in answers)
    assert positions == list(range(2, 22))


async def test_the_cookie_is_for_the_whole_site_and_not_for_scripts(client: httpx2.AsyncClient) -> None:
    answer = await client.post(CREATE, json=LAMP)
    assert answer.headers["set-cookie"].partition("; ")[2] == "Path=/; SameSite=Lax; HttpOnly"


async def test_over_https_the_cookie_is_secure(client: httpx2.AsyncClient) -> None:
    answer = await client.post(f"https://shop.test{CREATE}", json=LAMP)
    assert answer.headers["set-cookie"].endswith("; Secure")


async def test_a_service_may_do_without_a_cookie() -> None:
    app = open_shop()
    async with client_of(asgi(app, cookie=None), app) as client:
        assert "set-cookie" not in (await client.post(CREATE, json=LAMP)).headers


@pytest.mark.parametrize("value", ["-1", "31", "nan", "inf", "soon", ""])
async def test_a_timeout_that_is_none_is_refused_with_its_limits(client: httpx2.AsyncClient, value: str) -> None:
    answer = await client.get(LAMP_AT, headers={"Deedlog-Timeout": value})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "Deedlog-Timeout")
    assert answer.json()["fix"] == "send 0 to 30"
