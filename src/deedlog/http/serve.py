"""Serving an app with uvicorn, the server that comes with the extra. Any other ASGI server takes `asgi(app)` as well."""

from typing import Any

from deedlog.app import App
from deedlog.errors import MissingExtra
from deedlog.http.app import asgi

try:
    import uvicorn
except ModuleNotFoundError as missing:
    raise MissingExtra("http") from missing


def serve(
    app: App, *, host: str = "127.0.0.1", port: int = 8000, log_level: str = "info", access_log: bool = False, **options: Any
) -> None:
    """Serves until SIGINT or SIGTERM, then stops the app: what was accepted is stored. `options` are those of `asgi`.

    One process; behind a proxy, uvicorn trusts forwarded headers of the same machine only. For more processes run
    `uvicorn --workers` on an `asgi(app)` of your own.
    """
    uvicorn.run(asgi(app, **options), host=host, port=port, log_level=log_level, access_log=access_log)
