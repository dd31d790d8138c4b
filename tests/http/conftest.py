"""A shop in memory and one in a file, each behind HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from deedlog import App
from deedlog.http import asgi
from tests.http.shop import broken, client_of, open_shop


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> App:
    return open_shop("memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'shop.db'}", broken)


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(asgi(app), app) as client:
        yield client
