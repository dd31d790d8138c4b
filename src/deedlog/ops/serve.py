"""`deedlog serve`: the app over HTTP, one process, until a signal."""

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from deedlog.app import App
from deedlog.errors import MissingExtra, Misuse
from deedlog.ops.logs import log_to_stderr
from deedlog.ops.signals import stopped_by
from deedlog.ops.source import Source, with_source
from deedlog.ops.worker import refuse_memory
from deedlog.running import Running

if TYPE_CHECKING:
    import uvicorn

LOOK_SECONDS = 0.2
GRACE_SECONDS = 10
BACKLOG = 2048


@click.command()
@with_source
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; 0.0.0.0 is every one.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", default=8000, show_default=True, help="0 picks a free one.")
@click.option("--no-projections", is_flag=True, help="Leave the read models to `deedlog worker`.")
@click.option("--access-log", is_flag=True, help="A log line per request.")
def serve(source: Source, host: str, port: int, no_projections: bool, access_log: bool) -> None:
    """Serve the app over HTTP.

    Commands, queries, health, and the API's documentation at /docs. The read models are kept by this process too.

    Ends on Ctrl-C or SIGTERM: no new requests, those under way get ten seconds, then the store is closed.

    \b
    Example: deedlog serve --app shop:app --port 8080
    """
    app = source.app()
    app.build()
    if no_projections:
        refuse_memory(app)
    log_to_stderr(*(["uvicorn.access"] if access_log else []))
    with _listening(host, port) as listener:
        _warn_of_strangers(listener)
        _run(app, listener, projections=not no_projections, access_log=access_log)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket. Raises Misuse when the address is taken or not ours."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise Misuse(f"can't listen on {host}: {error.strerror}", fix="--host takes an address of this machine") from error
    with listener:
        if os.name == "posix":  # elsewhere it would let two listen on one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            raise _cannot_listen(error, host, port) from error
        yield listener


def _warn_of_strangers(listener: socket.socket) -> None:
    """The API asks nobody who they are: that is for a proxy, or for `asgi(app, metadata=…)`."""
    host = listener.getsockname()[0]
    if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        click.echo(f"note: whoever reaches {host} can send commands; let a proxy in front check who calls", err=True)


def _cannot_listen(error: OSError, host: str, port: int) -> Misuse:
    if error.errno == errno.EADDRINUSE:
        return Misuse(f"port {port} on {host} is in use", fix="stop what uses it, or take another: --port 0 finds a free one")
    if error.errno == errno.EACCES:
        return Misuse(f"port {port} needs more rights", fix="take one above 1023")
    return Misuse(f"can't listen on {host}, port {port}: {error.strerror}", fix="--host takes an address of this machine")


def _run(app: App, listener: socket.socket, *, projections: bool, access_log: bool) -> None:
    try:
        import uvicorn

        from deedlog.http import asgi
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("uvicorn", "starlette", "h11"):
            raise
        raise MissingExtra("http") from error
    config = uvicorn.Config(
        asgi(app, projections=projections),
        lifespan="on",
        log_config=None,
        access_log=access_log,
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=BACKLOG,
    )
    # uvicorn raises the signal once more when it is done; where nothing handles it, that is KeyboardInterrupt.
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=_loop_factory(config)) as runner:
        runner.run(_serve(uvicorn.Server(config), app, listener, projections))


def _loop_factory(config: "uvicorn.Config") -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed."""
    factory: Any = config.get_loop_factory()
    return factory  # type: ignore[no-any-return]


async def _serve(server: "uvicorn.Server", app: App, listener: socket.socket, projections: bool) -> None:
    """Starts the app first: an error of the store is then said in one line, not in uvicorn's log."""

    def stop() -> None:
        server.should_exit = True

    running = await app.start(projections=projections)
    watch = asyncio.ensure_future(_end_live_queries(server, running))
    try:
        with stopped_by(stop):
            click.echo(_greeting(app, listener, projections))
            await server.serve([listener])
    finally:
        watch.cancel()
        await app.stop()


async def _end_live_queries(server: "uvicorn.Server", running: Running) -> None:
    """The server waits for open responses, and those of live queries end only when the queries do."""
    while not server.should_exit:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(LOOK_SECONDS)
    await asyncio.gather(*running.watching.end(), return_exceptions=True)


def _greeting(app: App, listener: socket.socket, projections: bool) -> str:
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    where = "" if projections else ", read models kept by `deedlog worker`"
    return f"{app.name} at {url}, documented at {url}/docs, stored in {app.url}{where}; Ctrl-C ends"
