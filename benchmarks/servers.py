"""The HTTP servers that `benchmarks.http` compares, each a process of its own: `python -m benchmarks.servers bare`, or
`deedlog` or `commands-only` (the same without its projection) with a database file.

Both are uvicorn with httptools and uvloop, one worker, no access log. The port they chose is the first line they print.
"""

import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.parcels import service
from deedlog.http import asgi


async def accept(request: Request) -> JSONResponse:
    """Reads a command's JSON, answers with what a receipt says, stores nothing."""
    command = await request.json()
    stream = f"parcel-{command['parcel']}"
    id = "0197e2a0-7000-7abc-8def-0123456789ab"
    return JSONResponse({"command_id": id, "stream": stream, "version": 1, "position": 1, "token": "d1.MDEyMzQ1Njc6MQ"})


def bare() -> Any:
    return Starlette(routes=[Route("/commands/Register", accept, methods=["POST"])])


def deedlog(path: str, *, projections: bool) -> Any:
    return asgi(service(Path(path)), projections=projections)


def main() -> None:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    kind = sys.argv[1]
    application = bare() if kind == "bare" else deedlog(sys.argv[2], projections=kind == "deedlog")
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(application, http="httptools", loop="uvloop", log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
