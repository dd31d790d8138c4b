"""Errors as problem details: the status, the field, the fix; and nothing of what is inside."""

import logging
from collections.abc import AsyncIterator

import httpx2
import pytest

from deedlog import Conflict, Corrupt, DeedlogError, Misuse, Stale, Unavailable, WrongExpectedVersion, errors
from deedlog.errors import UnknownMessage
from deedlog.http import asgi
from deedlog.http.problems import OURS, STATUS, problem
from tests.http.shop import JSON, LAMP, client_of, open_shop

CREATE = "/commands/CreateProduct"


async def test_a_refusal_carries_its_code_and_data(client: httpx2.AsyncClient) -> None:
    await client.post(CREATE, json=LAMP)
    answer = await client.post("/commands/Sell", json={"product_id": "lamp-1", "lines": [{"name": "a", "quantity": 101}]})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:deedlog:problem:sold_out",
        "title": "Refused",
        "status": 409,
        "detail": "not that many left",
        "code": "sold_out",
        "data": {"left": 100, "price": "1.50"},
    }
    assert answer.status_code == 409


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"product_id": "a", "lines": [{"name": "x", "quantity": "1"}]}, "lines[0].quantity"),
        ({"product_id": "a", "lines": [{"name": "x"}]}, "lines[0].quantity"),
        ({"product_id": "a"}, "lines"),
        ({"product_id": "a", "lines": [], "extra": 1}, "extra"),
        ({"product_id": "A", "lines": []}, "product_id"),
        ([], "$"),
    ],
)
async def test_a_wrong_field_is_named(client: httpx2.AsyncClient, body: object, path: str) -> None:
    answer = await client.post("/commands/Sell", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, path)
    assert answer.json()["fix"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"text": "\\ud800"}', b"[" * 100_000])
async def test_what_is_not_json_is_a_bad_request(client: httpx2.AsyncClient, body: bytes) -> None:
    answer = await client.post("/commands/Note", content=body, headers=JSON)
    assert answer.status_code in (400, 422)
    assert answer.json()["errors"][0]["path"] == "$"


@pytest.mark.parametrize("path", ["/commands/Nope", "/queries/Nope"])
async def test_an_unknown_name_is_not_found_with_those_there_are(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_message")
    assert answer.json()["fix"].startswith("declared: ")


async def test_an_unknown_path_is_a_problem_too(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/nothing/here")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_another_method_is_refused_with_those_allowed(client: httpx2.AsyncClient) -> None:
    answer = await client.delete(CREATE)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}])
async def test_a_body_must_be_said_to_be_json(client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.post(CREATE, content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (415, "Content-Type")


@pytest.fixture
async def narrow() -> AsyncIterator[httpx2.AsyncClient]:
    app = open_shop()
    async with client_of(asgi(app, max_body=100), app) as client:
        yield client


async def test_a_body_that_says_it_is_too_long_is_refused(narrow: httpx2.AsyncClient) -> None:
    answer = await narrow.post("/commands/Note", json={"text": "x" * 100})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_a_body_in_pieces_is_not_read_beyond_the_limit(narrow: httpx2.AsyncClient) -> None:
    read = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield b" " * 30

    answer = await narrow.post("/commands/Note", content=pieces(), headers=JSON)
    assert answer.status_code == 413
    assert read <= 5


@pytest.mark.parametrize(("call", "body"), [("/commands/Break", {"why": "hunter2"}), ("/queries/Fail", {"secret": "hunter2"})])
async def test_a_fault_of_ours_is_logged_with_an_id_and_not_told(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture, call: str, body: dict[str, str]
) -> None:
    with caplog.at_level(logging.ERROR, "deedlog.http"):
        answer = await client.post(call, json=body)
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert answer.json()["instance"].removeprefix("urn:uuid:") in caplog.text
    assert "hunter2" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (WrongExpectedVersion("s-1", "Exactly(2)", 3), 409),
        (Stale("position 3", 2, 0.5), 503),
        (Unavailable("locked"), 503),
        (Misuse("configured wrongly"), 500),
        (Corrupt("the log has a hole"), 500),
        (UnknownMessage("message", "Nope", []), 500),
        (DeedlogError("something"), 500),
    ],
)
def test_each_error_has_its_status(error: DeedlogError, status: int) -> None:
    found = problem(error)
    assert found.status == status
    assert ((b"retry-after", b"1") in found.headers) == (status == 503)


def test_every_error_has_a_status_that_somebody_decided() -> None:
    tree = {thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, DeedlogError)}
    assert tree == set(STATUS) | set(OURS)
    assert not set(STATUS) & set(OURS)


class _OfAUser(Conflict):
    pass


def test_an_error_of_a_users_own_has_the_status_of_what_it_is() -> None:
    assert problem(_OfAUser("taken")).status == 409


def test_data_that_json_does_not_know_is_told_as_text() -> None:
    assert b"0000-" in problem(Unavailable("no", id=__import__("uuid").UUID(int=1))).body
    assert b"object" in problem(Unavailable("no", thing=object())).body
