"""The short way of commands: only where nobody put anything between, and with the same answers."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from deedlog import App
from deedlog.http import Caller, asgi
from tests.http.shop import LAMP, client_of, open_shop

CREATE = "/commands/CreateProduct"


@pytest.fixture
async def app() -> AsyncIterator[App]:
    async with open_shop("memory://") as app:
        yield app


class Closed:
    """A middleware that lets nothing through."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("closed", 403)(scope, receive, send)


async def test_a_command_does_not_pass_by_a_middleware(app: App) -> None:
    api = asgi(app)
    api.add_middleware(Closed)
    async with client_of(api, app) as client:
        assert (await client.post(CREATE, json=LAMP)).status_code == 403
        assert await app.running.store.head() == 0


async def test_a_route_of_ones_own_before_it_is_asked_first(app: App) -> None:
    async def own(request: Request) -> PlainTextResponse:
        return PlainTextResponse("mine")

    api = asgi(app)
    api.router.routes.insert(0, Route(CREATE, own, methods=["POST"]))
    async with client_of(api, app) as client:
        assert (await client.post(CREATE, json=LAMP)).text == "mine"


async def test_mounted_a_command_is_found_below_the_prefix(app: App) -> None:
    api = Starlette(routes=[Mount("/shop", asgi(app))])
    async with client_of(api, app) as client:
        assert (await client.post(f"/shop{CREATE}", json=LAMP)).json()["version"] == 1
        assert (await client.post(CREATE, json=LAMP)).status_code == 404


async def test_the_hook_that_asks_who_calls_has_the_whole_request(app: App) -> None:
    def who(request: Request) -> Caller:
        return {"actor": f"{request.path_params['name']} of {type(request.app).__mro__[1].__name__}"}

    async with client_of(asgi(app, metadata=who), app) as client:
        await client.post(CREATE, json=LAMP)
        (event,) = await app.running.store.read_all()
        assert '"actor":"CreateProduct of Starlette"' in event.metadata


async def test_another_method_is_refused_as_before(app: App) -> None:
    async with client_of(asgi(app), app) as client:
        answer: httpx2.Response = await client.get(CREATE)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
