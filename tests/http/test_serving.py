"""Lifespan, mounting in another application, and one real server."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from deedlog import Unavailable
from deedlog.http import asgi
from tests.http.shop import LAMP, open_shop

CREATE = "/commands/CreateProduct"


def test_the_lifespan_starts_and_stops_the_app() -> None:
    app = open_shop()
    with TestClient(asgi(app)) as client:
        assert app.running.projecting
        assert client.post(CREATE, json=LAMP).status_code == 200
    with pytest.raises(Unavailable):
        _ = app.running


def test_without_starlette_the_extra_is_named() -> None:
    code = "import sys; sys.modules['starlette'] = None; import deedlog.http"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtra" in run.stderr
    assert "pip install 'deedlog[http]'" in run.stderr


def test_without_projections_none_run() -> None:
    app = open_shop()
    with TestClient(asgi(app, projections=False)):
        assert not app.running.projecting


@pytest.mark.parametrize("projections", [True, False])
async def test_mounted_the_app_starts_with_the_first_request(projections: bool) -> None:
    app = open_shop()
    outer = Starlette(routes=[Mount("/api", asgi(app, projections=projections))])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(outer), base_url="http://shop.test") as client:
        assert (await client.post(f"/api{CREATE}", json=LAMP)).status_code == 200
        assert app.running.projecting is projections
    await app.stop()


def test_the_outer_application_may_take_over_the_lifespan() -> None:
    app = open_shop()
    api = asgi(app)
    outer = Starlette(routes=[Mount("/api", api)], lifespan=api.router.lifespan_context)
    with TestClient(outer) as client:
        assert client.post(f"/api{CREATE}", json=LAMP).status_code == 200
        assert client.get("/api/queries/GetProduct?product_id=lamp-1").json()["value"]["name"] == "Lamp"
    with pytest.raises(Unavailable):
        _ = app.running


def test_mounted_problems_are_still_problems() -> None:
    with TestClient(Starlette(routes=[Mount("/api", asgi(open_shop()))])) as client:
        for path in ("/api/nothing", "/api/commands/CreateProduct"):
            assert client.get(path).headers["content-type"] == "application/problem+json"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = Path(__file__).parents[2]
    paths = f"{root}{os.pathsep}{root / 'src'}"
    command = [sys.executable, "-m", "uvicorn", "tests.http.served:api", "--port", str(port), "--log-level", "warning"]
    settings = {**os.environ, "PYTHONPATH": paths, "DEEDLOG_STORE": f"sqlite:///{tmp_path / 'shop.db'}"}
    process = subprocess.Popen(command, cwd=root, env=settings)
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(0.05)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)  # polling another process: there is nothing to await
    raise AssertionError("the server did not start")


def test_a_real_server_serves_and_stops(server: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, process = server
    with httpx2.Client(base_url=url) as client:
        for number in range(20):
            assert client.post(CREATE, json={**LAMP, "product_id": f"p{number}"}).status_code == 200
            assert client.get(f"/queries/GetProduct?product_id=p{number}").json()["value"]["name"] == "Lamp"
        assert client.get("/health/ready").status_code == 200
        assert client.head("/queries/GetProduct?product_id=p1").content == b""
        assert client.post(CREATE, content=iter([b"x"] * 9), headers={"content-type": "text/plain"}).status_code == 415
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) in (0, -signal.SIGTERM)
