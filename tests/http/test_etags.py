"""ETag and If-None-Match: what the caller has already is not sent again, and mostly not asked for again."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from deedlog import App, Module, Reader
from deedlog.http import asgi, etags
from tests.http.shop import LAMP, GetProduct, Product, ProductView, client_of

CREATE = "/commands/CreateProduct"
LAMP_AT = "/queries/GetProduct?product_id=lamp-1"
asked: list[str] = []
counted = Module()
counted.aggregate(key="product_id")(Product)
counted.read_model(key="product_id", indexes=["name"])(ProductView)


@counted.query
async def get_product(query: GetProduct, products: Reader[ProductView]) -> ProductView:
    asked.append(query.product_id)
    return await products.get(query.product_id)


@pytest.fixture
def app() -> App:
    asked.clear()
    app = App("shop", store="memory://")
    app.include(counted)
    return app


@pytest.fixture
async def lamp(app: App) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(asgi(app), app) as client:
        await client.post(CREATE, json=LAMP)
        yield client


async def sell(client: httpx2.AsyncClient) -> None:
    await client.post("/commands/Sell", json={"product_id": "lamp-1", "lines": [{"name": "a", "quantity": 1}]})


async def test_what_the_caller_has_is_not_sent_again(lamp: httpx2.AsyncClient) -> None:
    first = await lamp.get(LAMP_AT)
    again = await lamp.get(LAMP_AT, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert (again.headers["deedlog-position"], again.headers["cache-control"]) == ("1", "private, no-cache")
    assert not {"content-type", "content-length"} & set(again.headers)


async def test_the_tag_is_weak_because_it_is_that_of_the_value_alone(lamp: httpx2.AsyncClient) -> None:
    assert (await lamp.get(LAMP_AT)).headers["etag"].startswith('W/"')


async def test_a_changed_answer_has_another_tag(lamp: httpx2.AsyncClient) -> None:
    first = await lamp.get(LAMP_AT)
    await sell(lamp)
    again = await lamp.get(LAMP_AT, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.json()["value"]["sold"]) == (200, 1)
    assert again.headers["etag"] != first.headers["etag"]


async def test_where_the_model_moved_and_the_answer_did_not_the_tag_stays_and_the_freshness_is_new(
    lamp: httpx2.AsyncClient,
) -> None:
    first = await lamp.get(LAMP_AT)
    await lamp.post(CREATE, json={**LAMP, "product_id": "desk"})
    again = await lamp.get(LAMP_AT, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.headers["deedlog-position"]) == (304, "2")


async def test_while_nothing_moves_the_handler_is_not_called(lamp: httpx2.AsyncClient) -> None:
    have = {"If-None-Match": (await lamp.get(LAMP_AT)).headers["etag"]}
    await lamp.get(LAMP_AT, headers=have)  # this one is looked at, and remembered
    asked.clear()
    assert [(await lamp.get(LAMP_AT, headers=have)).status_code for _ in range(3)] == [304, 304, 304]
    assert asked == []


async def test_a_caller_with_an_older_tag_gets_the_answer_though_nothing_moves(lamp: httpx2.AsyncClient) -> None:
    old = (await lamp.get(LAMP_AT)).headers["etag"]
    await sell(lamp)
    for _ in range(3):
        answer = await lamp.get(LAMP_AT, headers={"If-None-Match": old})
        assert (answer.status_code, answer.json()["value"]["sold"]) == (200, 1)


@pytest.mark.parametrize("form", ["{}", 'W/"x", {}', '{}, "y"', "*"])
async def test_any_of_the_tags_may_match(lamp: httpx2.AsyncClient, form: str) -> None:
    tag = (await lamp.get(LAMP_AT)).headers["etag"]
    for text in (tag, tag.removeprefix("W/")):
        assert (await lamp.get(LAMP_AT, headers={"If-None-Match": form.format(text)})).status_code == 304


@pytest.mark.parametrize("text", ["", "x", '"', '""', 'W/"', "**", ",", '"\x7f"'])
async def test_what_is_no_tag_is_ignored(lamp: httpx2.AsyncClient, text: str) -> None:
    assert (await lamp.get(LAMP_AT, headers={"If-None-Match": text})).status_code == 200


async def test_tags_may_come_in_several_headers(lamp: httpx2.AsyncClient) -> None:
    tag = (await lamp.get(LAMP_AT)).headers["etag"]
    headers = [("If-None-Match", '"x"'), ("If-None-Match", tag)]
    assert (await lamp.get(LAMP_AT, headers=headers)).status_code == 304


async def test_a_demand_is_met_before_304_is_said(app: App) -> None:
    async with client_of(asgi(app), app, projections=False) as client:
        await client.post(CREATE, json=LAMP)
        await app.catch_up()
        have = {"If-None-Match": (await client.get(LAMP_AT)).headers["etag"], "Deedlog-Timeout": "0"}
        assert (await client.get(LAMP_AT, headers=have)).status_code == 304
        await sell(client)
        assert (await client.get(LAMP_AT, headers=have)).json()["code"] == "stale"


async def test_what_is_gone_is_not_found_whatever_the_caller_has(lamp: httpx2.AsyncClient) -> None:
    assert (await lamp.get("/queries/GetProduct?product_id=desk", headers={"If-None-Match": "*"})).status_code == 404


async def test_a_query_in_a_body_has_no_tag(lamp: httpx2.AsyncClient) -> None:
    answer = await lamp.post("/queries/GetProduct", json={"product_id": "lamp-1"}, headers={"If-None-Match": "*"})
    assert (answer.status_code, "etag" in answer.headers) == (200, False)


async def test_an_answer_of_the_past_has_its_own_tag(lamp: httpx2.AsyncClient) -> None:
    first = (await lamp.get(LAMP_AT)).headers["etag"]
    await sell(lamp)
    then = await lamp.get(LAMP_AT, headers={"Deedlog-At": "1", "If-None-Match": first})
    assert then.status_code == 304


def test_not_more_is_remembered_than_is_said() -> None:
    tags = etags.Tags()
    for number in range(etags.REMEMBERED + 1):
        tags.keep(b"%d" % number, etags.Tagged(b"tag", ()))
    assert tags.known(b"0") is None
    assert tags.known(b"1") is not None
