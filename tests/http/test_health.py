"""Health: alive is the process, ready is the service."""

import asyncio
from pathlib import Path

import httpx2

from deedlog import App, Module, ReadModel, on, starts
from deedlog.http import asgi
from deedlog.testing import memory_app
from tests.http.shop import LAMP, Noted, client_of, open_shop, shop

READY = "/health/ready"


async def test_alive_is_whoever_answers(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"live": True})


async def test_ready_lists_the_projections(client: httpx2.AsyncClient, app: App) -> None:
    await client.post("/commands/CreateProduct", json=LAMP)
    await app.catch_up()
    answer = await client.get(READY)
    assert (answer.status_code, answer.json()["ready"], answer.json()["head"]) == (200, True, 1)
    (projection,) = answer.json()["projections"]
    assert (projection["name"], projection["position"], projection["behind_events"]) == ("ProductView", 1, 0)


async def test_ready_starts_the_app() -> None:
    app = open_shop()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(asgi(app)), base_url="http://shop.test") as client:
        answer = await client.get(READY)
    await app.stop()
    assert answer.status_code == 200


async def test_not_ready_says_why_the_store_can_not_be_opened(tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    file.write_bytes(b"this is no database, whatever its name says" * 100)
    app = open_shop(f"sqlite:///{file}")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(asgi(app)), base_url="http://shop.test") as client:
        answer = await client.get(READY)
    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    assert answer.json()["problems"]


async def test_far_behind_is_not_ready_where_the_projections_run() -> None:
    app = memory_app(shop)
    async with client_of(asgi(app, max_behind=10), app) as client:
        app.running.runners["ProductView"].step = _hangs  # type: ignore[method-assign]  # a projection that hangs
        await client.post("/commands/CreateProduct", json=LAMP)
        app.clock.advance(11)
        answer = await client.get(READY)
    assert (answer.status_code, answer.json()["problems"]) == (503, ["ProductView is 11 seconds behind"])


async def _hangs() -> int:
    await asyncio.Event().wait()
    return 0


async def test_far_behind_is_somebody_elses_where_they_do_not_run() -> None:
    app = memory_app(shop)
    async with client_of(asgi(app, max_behind=10), app, projections=False) as client:
        await client.post("/commands/CreateProduct", json=LAMP)
        app.clock.advance(11)
        answer = await client.get(READY)
    assert (answer.status_code, answer.json()["projecting"]) == (200, False)
    assert answer.json()["projections"][0]["behind_seconds"] == 11


async def test_not_ready_where_another_version_has_built_the_rows(tmp_path: Path) -> None:
    def version_of(*indexes: str) -> App:
        app = App("shop", store=f"sqlite:///{tmp_path / 'shop.db'}")

        @app.read_model(key="text", indexes=indexes)
        class View(ReadModel):
            text: str

            @on(start_missing=True)
            def noted(self, event: Noted) -> None: ...

        return app

    old = version_of()
    async with client_of(asgi(old), old, projections=False) as client:
        assert (await client.get(READY)).status_code == 200
        async with version_of("text"):
            answer = await client.get(READY)
    assert answer.status_code == 503
    assert "another version" in answer.json()["problems"][0]


picky = Module()


@picky.read_model(key="text")
class PickyView(ReadModel):
    text: str

    @starts
    @classmethod
    def noted(cls, event: Noted) -> "PickyView":
        raise ValueError("not this one")


async def test_a_projection_that_fails_is_not_ready() -> None:
    app = open_shop("memory://", picky)
    async with client_of(asgi(app), app) as client:
        await client.post("/commands/Note", json={"text": "bad"})
        runner = app.running.runners["PickyView"]
        while runner.failure is None:
            await app.running.store.wait(1, 0.001)
        answer = await client.get(READY)
    assert answer.status_code == 503
    assert answer.json()["problems"] == ["PickyView stands at 0: PickyView.noted, Noted at position 1: ValueError: not this one"]
