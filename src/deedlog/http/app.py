"""From an app to an ASGI application: routes, lifespan, settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deedlog.app import App
from deedlog.http.docs import asset, page
from deedlog.http.endpoints import Service, Settings, WhoCalls
from deedlog.http.health import Health
from deedlog.http.live import Queries
from deedlog.http.openapi import Description
from deedlog.http.straight import Straight
from deedlog.http.tokens import COOKIE
from deedlog.http.wire import Endpoint, reply_of


def asgi(
    app: App,
    *,
    projections: bool = True,
    max_body: int = 1_048_576,
    max_wait: float = 30.0,
    max_behind: float = 60.0,
    max_live: int = 500,
    cookie: str | None = COOKIE,
    metadata: WhoCalls | None = None,
    title: str | None = None,
    version: str = "1",
) -> Starlette:
    """A Starlette application that serves `app`: `uvicorn module:api`, or mounted in another application.

    Starts and stops the app with its lifespan. Starlette runs no lifespan of what is mounted: then the app starts with its
    first request, or hand `lifespan=api.router.lifespan_context` to the outer application, which also stops it.

    `projections=False`: another process runs them. `max_body`: bytes of a request's body. `max_wait`: the most seconds that
    a caller may have a command or a query wait. `max_behind`: seconds that a projection run here may be behind before the
    service is not ready. `max_live`: live queries that may be open in this process at a time. `cookie`: the cookie in which a
    browser brings its token back; two services on one host need two names, None sets none. `metadata`: finds out who calls,
    `def (request) -> {"actor": …, "tenant": …}`, plain or async; raises Starlette's HTTPException to turn a command away. No
    header names the actor, because anybody can send a header. `title` (the app's name by default) and `version` head the
    OpenAPI document.

    What is not here is Starlette's: authentication, or `CORSMiddleware` for pages of other origins (expose the `Deedlog-`
    headers), through `add_middleware`. `/health/ready` tells errors as they are; keep it from strangers.
    """
    settings = Settings(projections, max_body, max_wait, max_behind, max_live, cookie, metadata, title, version)
    service = Service(app, settings)

    @asynccontextmanager
    async def lifespan(outer: object) -> AsyncIterator[None]:
        await app.start(projections=projections)
        try:
            yield
        finally:
            await app.stop()

    commands = Route("/commands/{name:path}", Endpoint(service.command), methods=["POST"])
    handlers = {HTTPException: _http_exception}
    served = Straight(commands, _routes(service), lifespan=lifespan, exception_handlers=handlers)
    served.router.redirect_slashes = False
    return served


def _routes(service: Service) -> list[Route]:
    health = Health(service)
    return [
        Route("/queries/{name:path}", Queries(service), methods=["GET", "POST"]),
        Route("/health/live", Endpoint(health.live), methods=["GET"]),
        Route("/health/ready", Endpoint(health.ready), methods=["GET"]),
        Route("/openapi.json", Endpoint(Description(service).answer), methods=["GET"]),
        Route("/docs", Endpoint(page), methods=["GET"]),
        Route("/docs/{file}", asset, methods=["GET"]),
    ]


async def _http_exception(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses (no such path, no such method), as a problem."""
    reply = reply_of(error)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reply.headers}
    return Response(reply.body, reply.status, headers, reply.content_type.decode())
