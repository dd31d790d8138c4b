"""A page to read and try the API: Swagger UI, from files on this machine, so it works without the internet."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse

from deedlog.errors import MissingExtra
from deedlog.http.wire import Call, Reply

_HERE = Path(__file__).parent / "static"
_SWAGGER = ("swagger_bundle.js", "swagger_preset.js", "swagger_style.css")
_POLICY = b"default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'self'"


async def page(call: Call) -> Reply:
    """`GET /docs`. All its addresses are relative, so that it works below any prefix."""
    files()
    headers = ((b"cache-control", b"no-cache"), (b"content-security-policy", _POLICY))
    return Reply(_html(), headers, content_type=b"text/html; charset=utf-8")


async def asset(request: Request) -> FileResponse:
    """`GET /docs/{file}`: one of the few files that the page needs."""
    path = files().get(request.path_params["file"])
    if path is None:
        raise HTTPException(404)
    return FileResponse(path, headers={"cache-control": "public, max-age=3600"})


@cache
def files() -> dict[str, Path]:
    """The page's files by name. Raises MissingExtra without the package that brings Swagger UI, which is not imported."""
    found = find_spec("offapi")
    if found is None or not found.submodule_search_locations:
        raise MissingExtra("http")
    swagger = Path(found.submodule_search_locations[0])
    return {"docs.js": _HERE / "docs.js", "docs.css": _HERE / "docs.css", **{name: swagger / name for name in _SWAGGER}}


@cache
def _html() -> bytes:
    return (_HERE / "docs.html").read_bytes()
