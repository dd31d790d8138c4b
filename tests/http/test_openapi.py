"""The OpenAPI document, its examples, and the page to read it."""

import re
import sys
from typing import Annotated, Any

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from deedlog import App, MissingExtra
from deedlog.http import asgi, docs
from deedlog.http.examples import NoExample, example_of
from tests.http.shop import CreateProduct, Line, client_of, open_shop


@pytest.fixture
async def document(client: httpx2.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


async def test_each_message_has_its_path(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert {"/commands/CreateProduct", "/queries/GetProduct", "/health/ready"} <= document["paths"].keys()


async def test_a_query_with_nested_fields_is_for_a_body_only(document: dict[str, Any]) -> None:
    assert document["paths"]["/queries/CountLines"].keys() == {"post"}
    assert document["paths"]["/queries/Echo"].keys() == {"get", "post"}


async def test_the_fields_of_a_query_are_its_parameters(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/queries/Echo"]["get"]["parameters"]
    assert {p["name"]: p["required"] for p in parameters if "name" in p} == {
        "number": True,
        "flag": False,
        "at": False,
        "tags": False,
    }


async def test_a_query_by_get_may_be_unchanged_and_may_be_live(document: dict[str, Any]) -> None:
    got, asked = (document["paths"]["/queries/GetProduct"][method]["responses"] for method in ("get", "post"))
    assert ("304" in got, "304" in asked, "ETag" in got["200"]["headers"]) == (True, False, True)
    live = document["paths"]["/queries/GetProduct/live"]["get"]
    assert live["responses"]["200"]["content"].keys() == {"text/event-stream"}
    assert "/queries/CountLines/live" not in document["paths"]


async def test_a_command_is_described_by_its_docstring_and_its_aggregate(document: dict[str, Any]) -> None:
    create = document["paths"]["/commands/CreateProduct"]["post"]
    assert (create["summary"], create["tags"]) == ("Puts a product on sale.", ["Product"])


async def test_without_a_docstring_the_name_says_it(document: dict[str, Any]) -> None:
    assert document["paths"]["/queries/FindProducts"]["get"]["summary"] == "Find products"


async def test_the_answer_has_the_type_that_the_query_names(document: dict[str, Any]) -> None:
    answer = document["paths"]["/queries/GetProduct"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["properties"]["value"] == {"$ref": "#/components/schemas/ProductView"}


async def test_every_reference_leads_somewhere(client: httpx2.AsyncClient, document: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref":"#/([^"]+)"', (await client.get("/openapi.json")).text)):
        found = document
        for step in reference.split("/"):
            found = found[step]


async def test_every_example_is_taken(client: httpx2.AsyncClient, document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        body = operations.get("post", {}).get("requestBody")
        if body is not None and "Break" not in path and "Fail" not in path:
            answer = await client.post(path, json=body["content"]["application/json"]["example"])
            assert answer.status_code in (200, 404, 409), (path, answer.text)


async def test_the_document_is_the_same_every_time(app: App, client: httpx2.AsyncClient) -> None:
    first = await client.get("/openapi.json")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(asgi(app)), base_url="http://shop.test") as other:
        assert (await other.get("/openapi.json")).content == first.content


async def test_title_and_version_are_the_services_own() -> None:
    app = open_shop()
    async with client_of(asgi(app, title="Lamps", version="7"), app) as client:
        info = (await client.get("/openapi.json")).json()["info"]
    assert (info["title"], info["version"]) == ("Lamps", "7")


async def test_mounted_the_server_is_the_prefix() -> None:
    app = open_shop()
    async with client_of(Starlette(routes=[Mount("/api/v1", asgi(app))]), app) as client:
        assert (await client.get("/api/v1/openapi.json")).json()["servers"] == [{"url": "/api/v1"}]


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
async def test_all_that_the_page_needs_is_served_here(prefix: str) -> None:
    app = open_shop()
    served = Starlette(routes=[Mount(prefix, asgi(app))])
    async with client_of(served, app) as client:
        page = await client.get(f"{prefix}/docs")
        files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(files) >= 5
        for file in files:
            if not file.startswith("data:"):
                assert (await client.get(str(page.url.join(file)))).status_code == 200, file
    assert "http" not in page.text


async def test_no_other_file_is_served(client: httpx2.AsyncClient) -> None:
    for path in ("/docs/__init__.py", "/docs/..%2f__init__.py", "/docs/"):
        assert (await client.get(path)).status_code == 404


async def test_the_files_are_found_without_importing_their_package(client: httpx2.AsyncClient) -> None:
    await client.get("/docs/swagger_style.css")
    assert "offapi" not in sys.modules


def test_without_their_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "find_spec", lambda name: None)
    docs.files.cache_clear()
    with pytest.raises(MissingExtra):
        docs.files()
    docs.files.cache_clear()


def test_an_example_is_what_the_codec_takes() -> None:
    made = example_of(CreateProduct)
    assert made == {"product_id": "lamp-1", "name": "Name", "price": "19.90"}
    assert msgspec.convert(example_of(Line), Line) == Line("Name", 1)


def test_a_pattern_nobody_can_guess_has_no_example() -> None:
    guarded = msgspec.defstruct("Guarded", [("code", Annotated[str, msgspec.Meta(pattern="^[0-9]{4}-[A-Z]$")])])
    with pytest.raises(NoExample):
        example_of(guarded)
