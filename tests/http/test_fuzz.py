"""schemathesis over the OpenAPI document: no 500, and every response is one that the document knows."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from deedlog.http import asgi
from deedlog.http.openapi import document
from tests.http.shop import open_shop

MAX_WAIT = 0.01  # and max_live=0, so that a live query that is in order is refused too, and ends
NOT_NOW = {"deadline_exceeded", "too_many_live", "stale", "unavailable"}
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(asgi(open_shop(), max_wait=MAX_WAIT, max_live=0), raise_server_exceptions=False) as client:
        yield client


schema = schemathesis.openapi.from_dict(document(open_shop().build(), "shop", "1", max_wait=MAX_WAIT))


def sent(client: TestClient, case: schemathesis.Case[Any]) -> httpx2.Response:
    """The case over the test client: in this process, and in one event loop for all cases."""
    given = case.as_transport_kwargs(base_url=str(client.base_url))
    client.cookies.clear()
    headers = {name: value.encode("latin-1") for name, value in given["headers"].items()}
    body = {name: given[name] for name in ("json",) if name in given} or {"content": given.get("data")}
    return client.request(given["method"], given["url"], headers=headers, params=given.get("params"), **body)


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_sent_is_answered_as_documented(case: schemathesis.Case[Any], client: TestClient) -> None:
    response = sent(client, case)
    case.validate_response(response, checks=CHECKS)
    if response.status_code >= 500:
        assert (response.status_code, response.json()["code"] in NOT_NOW) == (503, True), response.text
