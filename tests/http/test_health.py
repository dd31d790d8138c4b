"""Health: alive is the process, ready is the service."""

import asyncio
from pathlib import Path

import httpx2
import pytest

from deedlog import App, Module, ReadModel, on, starts
from deedlog.http import asgi
from deedlog.projections.auditor import Alert
from deedlog.projections.runner import Failure
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
    async with client_of(asgi(app, max_behind=5), app) as client:
        app.running.runners["ProductView"].step = _hangs  # type: ignore[method-assign]  # a projection that hangs
        await client.post("/commands/CreateProduct", json=LAMP)
        app.clock.advance(6)
        answer = await client.get(READY)
    assert (answer.status_code, answer.json()["problems"]) == (503, ["ProductView is 6 seconds behind"])


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


def version_of(store: str, *indexes: str) -> App:
    app = App("shop", store=store)
    app.event(Noted)

    @app.read_model(key="text", indexes=indexes)
    class View(ReadModel):
        text: str

        @on(start_missing=True)
        def noted(self, event: Noted) -> None: ...

    return app


async def test_another_version_beside_this_one_is_no_reason_not_to_be_ready(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'shop.db'}"
    old = version_of(store)
    async with client_of(asgi(old), old) as client, version_of(store, "text"):
        answer = await client.get(READY)
    assert (answer.status_code, answer.json()["problems"]) == (200, [])


async def test_a_read_model_that_is_being_built_is_not_ready(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'shop.db'}"
    async with open_shop(store) as before:
        await before.import_events([("note-1", Noted("old"))])
    new = version_of(store)
    async with client_of(asgi(new, projections=False), new, projections=False) as client:
        answer = await client.get(READY)
        await new.catch_up()
        built = await client.get(READY)
    assert (answer.status_code, answer.json()["problems"]) == (503, ["View is being built: event 0 of 1"])
    assert built.status_code == 200


picky = Module()


@picky.read_model(key="text")
class PickyView(ReadModel):
    text: str

    @starts
    @classmethod
    def noted(cls, event: Noted) -> "PickyView":
        raise ValueError("not this one")


async def test_parked_keys_are_counted_and_no_reason_not_to_be_ready() -> None:
    app = open_shop("memory://", picky)
    async with client_of(asgi(app), app) as client:
        await client.post("/commands/Note", json={"text": "bad"})
        await app.catch_up()
        answer = await client.get(READY)
    assert answer.status_code == 200
    assert answer.json()["notes"] == ["PickyView: 1 keys wait in the dead letters"]
    assert {one["name"]: one["parked"] for one in answer.json()["projections"]} == {"ProductView": 0, "PickyView": 1}


async def test_a_projection_that_stands_still_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_shop()
    async with client_of(asgi(app), app) as client:
        monkeypatch.setattr(app.running.runners["ProductView"], "failure", Failure("Corrupt: a hole", 1, lasting=True))
        answer = await client.get(READY)
    assert (answer.status_code, answer.json()["problems"]) == (503, ["ProductView stands at 0: Corrupt: a hole"])


@pytest.mark.parametrize("name", ["ProductView", "leases", "auditor"])
async def test_what_runs_no_longer_is_not_ready(client: httpx2.AsyncClient, name: str) -> None:
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == f"deedlog {name}"]
    task.cancel()
    await asyncio.wait([task])
    answer = await client.get(READY)
    assert (answer.status_code, answer.json()["problems"]) == (503, [f"{name} has ended: it was cancelled"])


async def test_a_runner_that_died_says_of_what(client: httpx2.AsyncClient, app: App) -> None:
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "deedlog ProductView"]
    task.cancel()
    await asyncio.wait([task])
    dead = asyncio.create_task(_dies(), name="deedlog ProductView")
    await asyncio.wait([dead])
    tasks = app.running.projections._tasks
    tasks[tasks.index(task)] = dead
    answer = await client.get(READY)
    assert answer.json()["problems"] == ["ProductView has ended: MemoryError('none left')"]


async def _dies() -> None:
    raise MemoryError("none left")


async def test_a_lease_that_nobody_holds_is_not_ready_where_the_projections_run() -> None:
    app = memory_app(shop)
    async with client_of(asgi(app), app) as client:
        runner = app.running.runners["ProductView"]
        runner.step = _hangs  # type: ignore[method-assign]  # never asks for the lease again
        await app.running.reads.release(app.running.projections.worker.name)
        app.clock.advance(25)
        answer = await client.get(READY)
    assert answer.status_code == 503
    assert "ProductView has been moved by nobody for " in answer.json()["problems"][0]


async def test_what_the_auditor_found_is_not_ready(client: httpx2.AsyncClient, app: App) -> None:
    app.running.projections.alerts["ProductView"] = Alert("ProductView", 0, 7, "an event was skipped")
    answer = await client.get(READY)
    assert answer.status_code == 503
    assert answer.json()["problems"] == ["auditor: ProductView, after 0 and up to 7: an event was skipped"]


async def test_a_pause_is_wanted_so_it_is_told_and_still_ready() -> None:
    app = memory_app(shop)
    async with client_of(asgi(app, max_behind=10), app) as client:
        await app.running.projections.pause("ProductView", by="Ann", why="a look")
        await client.post("/commands/CreateProduct", json=LAMP)
        app.clock.advance(60)
        answer = await client.get(READY)
    assert (answer.status_code, answer.json()["notes"]) == (200, ["ProductView is paused: Ann: a look"])
    assert answer.json()["projections"][0]["behind_events"] == 1


async def test_a_version_that_was_rolled_back_is_told_and_still_ready(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'shop.db'}"
    async with version_of(store) as before:
        await before.import_events([("note-1", Noted("old"))])
        await before.catch_up()
    new = version_of(store, "text")
    async with client_of(asgi(new), new) as client:
        await new.catch_up()
        await new.running.projections.rollback("View")
        answer = await client.get(READY)
    assert answer.status_code == 200
    assert answer.json()["notes"] == ["View was rolled back: its rows are those of the version before, at 1"]


async def test_a_projection_beyond_the_log_is_not_ready(client: httpx2.AsyncClient, app: App) -> None:
    await client.post("/commands/CreateProduct", json=LAMP)
    await app.catch_up()
    app.running.store.head = _nothing  # type: ignore[method-assign]  # the log of another database
    answer = await client.get(READY)
    assert answer.status_code == 503
    assert "ProductView is at 1, but the log ends at 0: it is another log" in answer.json()["problems"]


async def _nothing() -> int:
    return 0
