"""Bad input over HTTP: a status below 500, a problem that names the field and the fix, and nothing stored (P10)."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from deedlog import App
from deedlog.http import asgi
from tests.bad_input.boxes import BAD_KEYS, BAD_TOKENS, GOOD_KEYS, LONG

Unchanged = Callable[[], None]
JSON = {"content-type": "application/json"}
FILL = "/commands/Fill"
GET = "/queries/GetBox?box=first"


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(asgi(app, max_wait=0.05))
    async with httpx2.AsyncClient(transport=transport, base_url="http://boxes.test") as client:
        yield client


def told(answer: httpx2.Response, status: int, path: str) -> None:
    """The problem says which field it is, and how to mend it, in few words."""
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), problem
    assert [fault["path"] for fault in problem["errors"]] == [path]
    assert problem["fix"]
    assert len(answer.content) < 2_000


BODIES: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "$"),
    "half an object": (b'{"box": "b"', 400, "$"),
    "a tail": (b'{"box": "b"} {}', 400, "$"),
    "a comma too many": (b'{"box": "b",}', 400, "$"),
    "single quotes": (b"{'box': 'b'}", 400, "$"),
    "a comment": (b'{"box": "b" /* b */}', 400, "$"),
    "a byte order mark": (b'\xef\xbb\xbf{"box": "b"}', 400, "$"),
    "UTF-16": ('{"box": "b"}'.encode("utf-16"), 400, "$"),
    "latin-1": (b'{"box": "b", "text": "\xe9"}', 400, "$"),
    "overlong UTF-8": (b'{"box": "b", "text": "\xc0\xaf"}', 400, "$"),
    "an encoded surrogate": (b'{"box": "b", "text": "\xed\xa0\x80"}', 400, "$"),
    "an escaped half of a surrogate pair": (b'{"box": "b", "text": "\\ud800"}', 400, "$"),
    "a raw NUL": (b'{"box": "b\x00"}', 400, "$"),
    "a raw newline": (b'{"box": "b", "text": "a\nb"}', 400, "$"),
    "NaN": (b'{"box": "b", "ratio": NaN}', 400, "$"),
    "Infinity": (b'{"box": "b", "ratio": -Infinity}', 400, "$"),
    "1e400": (b'{"box": "b", "ratio": 1e400}', 422, "ratio"),
    "text NaN for a decimal": (b'{"box": "b", "amount": "NaN"}', 422, "amount"),
    "text Infinity for a decimal": (b'{"box": "b", "amount": "-Infinity"}', 422, "amount"),
    "no decimal": (b'{"box": "b", "amount": "1,5"}', 422, "amount"),
    "2**63": (b'{"box": "b", "number": %d}' % 2**63, 422, "number"),
    "10**400": (b'{"box": "b", "number": %d}' % 10**400, 422, "number"),
    "10**400 in anything": (b'{"box": "b", "anything": {"a": [%d]}}' % 10**400, 422, "anything['a'][0]"),
    "text for a number": (b'{"box": "b", "number": "1"}', 422, "number"),
    "true for a number": (b'{"box": "b", "number": true}', 422, "number"),
    "null for text": (b'{"box": "b", "text": null}', 422, "text"),
    "an object for text": (b'{"box": "b", "text": {}}', 422, "text"),
    "an unknown field": (b'{"box": "b", "extra": 1}', 422, "extra"),
    "an unknown field within": (b'{"box": "b", "items": [{"name": "a", "extra": 1}]}', 422, "items[0].extra"),
    "no key": (b"{}", 422, "box"),
    "a list": (b"[]", 422, "$"),
    "null": (b"null", 422, "$"),
    "lists 10,000 deep": (b'{"box": "b", "anything": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400, "$"),
    "objects 10,000 deep": (b'{"box": "b", "anything": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001, 400, "$"),
    "lists 10,000 deep in an unknown field": (b'{"box": "b", "extra": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", 422, "extra"),
}


@pytest.mark.parametrize("case", BODIES)
async def test_a_body_that_is_no_such_command_is_refused(client: httpx2.AsyncClient, unchanged: Unchanged, case: str) -> None:
    body, status, path = BODIES[case]
    told(await client.post(FILL, content=body, headers={**JSON, "idempotency-key": "c"}), status, path)


@pytest.mark.parametrize("case", BAD_KEYS)
async def test_a_key_that_can_name_no_stream_is_refused(client: httpx2.AsyncClient, unchanged: Unchanged, case: str) -> None:
    told(await client.post(FILL, json={"box": BAD_KEYS[case]}), 422, "box")


async def test_each_key_that_can_name_a_stream_names_its_own(client: httpx2.AsyncClient) -> None:
    for name, key in GOOD_KEYS.items():
        assert (await client.post(FILL, json={"box": key, "text": name})).status_code == 200
    for name, key in GOOD_KEYS.items():
        answer = await client.get(f"/queries/GetBox?box={quote(key, safe='')}", headers={"deedlog-timeout": "0.05"})
        while answer.status_code == 503:
            answer = await client.get(f"/queries/GetBox?box={quote(key, safe='')}")
        assert answer.json()["value"]["text"] == name


async def test_of_two_equal_fields_the_last_counts(client: httpx2.AsyncClient) -> None:
    answer = await client.post(FILL, content=b'{"box": "a", "text": "x", "box": "b"}', headers=JSON)
    assert answer.json()["stream"] == "box-b"


@pytest.mark.parametrize("size", [1, 16])
async def test_a_body_over_the_limit_is_refused(client: httpx2.AsyncClient, unchanged: Unchanged, size: int) -> None:
    answer = await client.post(FILL, json={"box": "b", "text": LONG * size})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.json()["fix"]


async def test_a_message_that_grows_over_the_limit_in_its_event_is_refused(
    client: httpx2.AsyncClient, unchanged: Unchanged
) -> None:
    """Sent in fewer bytes than it is stored in: the event writes out what the command left to defaults."""
    answer = await client.post(FILL, json={"box": "b", "text": "x" * (len(LONG) - 40)})
    told(answer, 422, "$")


@pytest.mark.parametrize(
    "name",
    ["Nope", "fill", "Fill ", "Fill/", "Filled", "GetBox", "", "%00", "%2e%2e", "F%C3%ADll", "Fill%0A", "%ff", "x" * 5_000],
)
async def test_an_unknown_command_is_not_found(client: httpx2.AsyncClient, unchanged: Unchanged, name: str) -> None:
    answer = await client.post(f"/commands/{name}", json={"box": "b"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["fix"]


IDS = {
    "empty": b"",
    "201 characters": b"x" * 201,
    "tab": b"a\tb",
    "escape": b"\x1b[31m",
    "high control": b"a\x85",
    "delete": b"\x7f",
}


@pytest.mark.parametrize("header", ["Idempotency-Key", "Deedlog-Correlation-Id"])
@pytest.mark.parametrize("case", IDS)
async def test_a_header_that_is_no_id_is_refused(
    client: httpx2.AsyncClient, unchanged: Unchanged, header: str, case: str
) -> None:
    answer = await client.post(FILL, json={"box": "b"}, headers={header.encode(): IDS[case]})
    told(answer, 400, header)


@pytest.mark.parametrize("case", BAD_TOKENS)
@pytest.mark.parametrize("door", ["command", "query"])
async def test_a_token_that_is_none_is_refused(client: httpx2.AsyncClient, unchanged: Unchanged, case: str, door: str) -> None:
    headers = {b"deedlog-token": BAD_TOKENS[case].encode("utf-8")}
    sent = client.post(FILL, json={"box": "b"}, headers=headers) if door == "command" else client.get(GET, headers=headers)
    told(await sent, 400, "Deedlog-Token")


@pytest.mark.parametrize("header", ["Deedlog-Timeout", "Deedlog-Max-Staleness"])
@pytest.mark.parametrize("value", ["", "x", "-1", "nan", "inf", "1e999", "0x1", "1;2", "1,2", "\u0661", "9" * 5_000])
async def test_seconds_that_are_none_are_refused(
    client: httpx2.AsyncClient, unchanged: Unchanged, header: str, value: str
) -> None:
    told(await client.get(GET, headers={header.encode(): value.encode()}), 400, header)


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/jsonx", "json", "application/x-www-form-urlencoded", "text/json", ";", "é"]
)
async def test_a_body_that_is_not_said_to_be_json_is_refused(client: httpx2.AsyncClient, unchanged: Unchanged, kind: str) -> None:
    told(await client.post(FILL, content=b'{"box": "b"}', headers={b"content-type": kind.encode()}), 415, "Content-Type")


QUERY_STRINGS: dict[str, tuple[str, int, str]] = {
    "nothing": ("", 422, "box"),
    "twice": ("box=a&box=b", 422, "box"),
    "unknown": ("box=a&other=b", 422, "other"),
    "no UTF-8": ("box=%ff", 400, "$"),
    "an encoded surrogate": ("box=%ed%a0%80", 400, "$"),
    "only a name": ("box", 404, ""),
    "half an escape": ("box=%", 404, ""),
    "NUL": ("box=%00", 404, ""),
    "no such box": ("box=never", 404, ""),
}


@pytest.mark.parametrize("case", QUERY_STRINGS)
async def test_a_query_string_that_is_no_such_query_is_refused(
    client: httpx2.AsyncClient, unchanged: Unchanged, case: str
) -> None:
    text, status, path = QUERY_STRINGS[case]
    answer = await client.get(f"/queries/GetBox?{text}")
    if path:
        told(answer, status, path)
    else:
        assert answer.status_code == status


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "", "1.5", "9223372036854775808", "1" * 400, "\u0661"])
async def test_a_limit_that_is_none_is_refused(client: httpx2.AsyncClient, unchanged: Unchanged, limit: str) -> None:
    told(await client.get("/queries/ListBoxes", params={"limit": limit}), 422, "limit")


@pytest.mark.parametrize("page", ["", "x", "%C3%A9", "%00", "WyJib3giLFsxXV0", "W1tbW1tb", "A" * 50_000])
async def test_a_page_that_is_none_is_refused(client: httpx2.AsyncClient, unchanged: Unchanged, page: str) -> None:
    told(await client.get(f"/queries/ListBoxes?page={page}"), 422, "page")


@pytest.mark.parametrize(
    "cookie", [*BAD_TOKENS.values(), '"', ";;;=", "deedlog-token"], ids=[*BAD_TOKENS, "quote", "empties", "name"]
)
async def test_a_cookie_that_is_no_token_is_ignored(client: httpx2.AsyncClient, unchanged: Unchanged, cookie: str) -> None:
    answer = await client.get(GET, headers={b"cookie": b"deedlog-token=" + cookie.encode()})
    assert answer.status_code == 200


@pytest.mark.parametrize("trace", ["", "x", "00-" + "g" * 32, "x" * 10_000, "\xff"])
async def test_a_trace_context_that_is_none_is_ignored(client: httpx2.AsyncClient, app: App, trace: str) -> None:
    answer = await client.post(FILL, json={"box": "b"}, headers={b"traceparent": trace.encode("latin-1")})
    assert answer.status_code == 200
    (event,) = await app.running.store.read_stream("box-b")
    assert "traceparent" not in json.loads(event.metadata)


@pytest.mark.parametrize("header", ["Idempotency-Key", "Deedlog-Correlation-Id", "Deedlog-Token"])
async def test_a_header_that_is_there_twice_is_refused(client: httpx2.AsyncClient, unchanged: Unchanged, header: str) -> None:
    token = (await client.get(GET)).headers["deedlog-token"]
    twice = [(header, token), ("x-other", "1"), (header, token)]
    told(await client.post(FILL, json={"box": "b"}, headers=twice), 400, header)


HOSTILE: list[Any] = ["Range", "Expect", "Transfer-Encoding", "Upgrade", "If-Match", "X-Forwarded-For", "Host"]


@pytest.mark.parametrize("header", HOSTILE)
async def test_a_header_that_is_not_ours_changes_nothing(client: httpx2.AsyncClient, header: str) -> None:
    answer = await client.post(FILL, json={"box": "b"}, headers={header.encode(): b"\xff\xfe; q=,"})
    assert answer.status_code == 200
