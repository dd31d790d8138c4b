"""Queries over HTTP: the query string, the body, the answer."""

import httpx2
import pytest

from tests.http.shop import LAMP


async def test_a_query_answers_with_value_and_freshness(client: httpx2.AsyncClient) -> None:
    await client.post("/commands/CreateProduct", json=LAMP)
    answer = await client.get("/queries/GetProduct", params={"product_id": "lamp-1"})
    assert answer.json()["value"] == {**LAMP, "sold": 0}
    assert answer.json()["freshness"]["position"] == 1


async def test_a_query_may_come_in_a_body(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/queries/CountLines", json={"lines": [{"name": "a", "quantity": 2}] * 3})
    assert answer.json()["value"] == 6


async def test_texts_become_what_the_fields_want(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/queries/Echo?number=3&flag=true&at=2026-01-01T00:00:00Z")
    assert answer.json()["value"] == {"number": 3, "flag": True, "at": "2026-01-01T00:00:00Z", "tags": []}


@pytest.mark.parametrize(("text", "tags"), [("&tags=a", ["a"]), ("&tags=a&tags=b", ["a", "b"]), ("&tags=", [""]), ("", [])])
async def test_a_field_of_several_takes_a_parameter_for_each(client: httpx2.AsyncClient, text: str, tags: list[str]) -> None:
    answer = await client.get(f"/queries/Echo?number=3{text}")
    assert answer.json()["value"]["tags"] == tags


async def test_a_list_is_found_by_a_list(client: httpx2.AsyncClient) -> None:
    for number in range(3):
        await client.post("/commands/CreateProduct", json={**LAMP, "product_id": f"p{number}", "name": f"n{number}"})
    answer = await client.get("/queries/FindProducts?names=n0&names=n2")
    assert [row["product_id"] for row in answer.json()["value"]["rows"]] == ["p0", "p2"]


@pytest.mark.parametrize(
    ("text", "path"),
    [("", "number"), ("number=x", "number"), ("number=1&number=2", "number"), ("number=1&colour=red", "colour")],
)
async def test_a_wrong_parameter_is_named(client: httpx2.AsyncClient, text: str, path: str) -> None:
    answer = await client.get(f"/queries/Echo?{text}")
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, path)


async def test_a_query_string_that_is_not_utf8_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/queries/Echo?number=%ff")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_query_string")


async def test_what_is_not_there_is_not_found(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/queries/GetProduct?product_id=desk")
    assert (answer.status_code, answer.json()["data"]) == (404, {"what": "ProductView", "key": "desk"})


async def test_a_page_of_another_list_names_the_field(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/queries/FindProducts?page=nonsense")
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "page")
