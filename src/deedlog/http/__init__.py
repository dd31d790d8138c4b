"""An app over HTTP: commands and queries by name, tokens and freshness in headers, problem details, OpenAPI, health.

`asgi(app)` is a Starlette application, for uvicorn or for mounting in somebody's Starlette or FastAPI application.
"""

from deedlog.errors import MissingExtra

try:
    import starlette as _starlette  # noqa: F401
except ModuleNotFoundError as missing:
    raise MissingExtra("http") from missing

from deedlog.http.app import asgi
from deedlog.http.endpoints import Caller

__all__ = ["Caller", "asgi"]
