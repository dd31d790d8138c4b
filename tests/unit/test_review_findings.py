"""What a cold review found, by behaviour."""

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deedlog import App, Misuse, Query, Reader, ReadModel, Unavailable, on, starts
from deedlog.consistency.token import token_of
from deedlog.messages.envelope import NewEvent
from deedlog.reads.port import SqlWriter
from deedlog.sqlite.database import Database
from deedlog.store.port import ANY, Matching, StreamWrite
from deedlog.store.sqlite import SqliteEventStore
from deedlog.types import SystemClock
from tests.faults.bank import GetBalance, Open, Opened, Rename, Renamed, bank_app


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bank.db'}"


def event(name: str, *tags: str) -> NewEvent:
    return NewEvent(f"{name}-{tags}", name, 1, "{}", "{}", tags)


@pytest.mark.parametrize("by", ["names", "categories", "tags"])
async def test_a_page_of_several_parts_is_read_in_one_view(tmp_path: Path, by: str) -> None:
    """Between its parts another event is committed: it is seen with all before it, or not at all."""
    store = SqliteEventStore(Database(tmp_path / "log.db"), SystemClock())
    await store.open()
    loop, read, parts = asyncio.get_running_loop(), store._pages._read, 0

    async def both() -> None:
        for name in ("one", "two"):
            await store.append([StreamWrite(f"{name}-1", (event(name, f"tag:{name}"),), ANY)])

    def reading(*words: Any) -> Any:
        nonlocal parts
        found = read(*words)
        if words[0] in ("begin", "rollback"):
            return found
        rows, parts = found.fetchall(), parts + 1
        if parts == 1:
            asyncio.run_coroutine_threadsafe(both(), loop).result()
        return rows

    store._pages._read = reading
    ask: dict[str, Callable[[], Any]] = {
        "names": lambda: store.read_all(names=("one", "two")),
        "categories": lambda: store.read_all(categories=("one", "two")),
        "tags": lambda: store.read_matching([Matching(("tag:one",)), Matching(("tag:two",))]),
    }
    assert [found.position for found in await ask[by]()] in ([], [1, 2])
    await store.close()


async def test_a_retry_on_a_full_disk_keeps_all_letters(url: str) -> None:
    app, full = bank_app(url), True
    told: list[str] = []

    @app.projection(setup=["create table if not exists names (account text primary key, owner text) strict"])
    def names(event: Opened | Renamed, sql: SqlWriter) -> None:
        if not told:
            raise ValueError("not yet")
        if full and isinstance(event, Renamed):
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error
        sql.execute("insert or replace into names values (?, ?)", [event.account, event.owner])

    async with app:
        await app.execute(Open("a", "Ann"))
        await app.execute(Rename("a", "Ada"))
        await app.catch_up()
        letters = app.running.projections.letters_of("names")
        assert len(await letters.list()) == 2
        told.append("mended")
        with pytest.raises(Unavailable):
            await letters.retry()
        assert len(await letters.list()) == 2
        full = False
        assert await letters.retry() == []


class Picky(ReadModel):
    account: str
    owner: str

    @starts
    @classmethod
    def opened(cls, event: Opened) -> "Picky":
        if event.owner == "bad":
            raise ValueError("a bad owner")
        return cls(event.account, event.owner)

    @on
    def renamed(self, event: Renamed) -> None:
        self.owner = event.owner


class GetPicky(Query[Picky]):
    account: str


def picky_app(url: str) -> App:
    app = bank_app(url)
    app.read_model(key="account")(Picky)

    @app.query
    async def get_picky(query: GetPicky, rows: Reader[Picky]) -> Picky:
        return await rows.get(query.account)

    return app


async def test_what_an_answer_has_seen_is_met_though_the_newest_event_there_is_parked(url: str) -> None:
    async with picky_app(url) as app:
        await app.execute(Open("a", "Ann"))
        await app.execute(Open("x", "bad"))
        await app.catch_up()
        seen = token_of(app.running.store.id, 2)
        assert (await app.ask(GetPicky("a"), after=seen)).value.owner == "Ann"


async def test_a_stop_that_is_cancelled_at_once_leaves_no_runner_behind(url: str) -> None:
    app = bank_app(url)
    app.keep_receipts = timedelta(days=1)
    await app.start()
    projections = app.running.projections
    stopping = asyncio.ensure_future(app.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
    await asyncio.gather(*projections._tasks, return_exceptions=True)
    assert all(task.done() for task in projections._tasks)
    async with bank_app(url) as again:
        receipt = await again.execute(Open("a", "Ann"))
        assert (await again.ask(GetBalance("a"), after=receipt.token)).value.owner == "Ann"


@pytest.mark.parametrize("keep", [timedelta(), timedelta(days=-1), timedelta.max])
def test_receipts_that_can_not_be_kept_for_so_long_are_refused(keep: timedelta) -> None:
    with pytest.raises(Misuse, match="keep_receipts"):
        App("bank", store="memory://", keep_receipts=keep)


async def test_a_side_effect_that_waits_for_something_cancelled_does_not_end_its_runner(url: str) -> None:
    app = bank_app(url)
    called: list[str] = []

    @app.projection()
    async def effect(event: Opened) -> None:
        called.append(event.account)
        if len(called) == 1:
            raise asyncio.CancelledError

    async with app:
        await app.execute(Open("a", "Ann"))
        runner = app.running.runners["effect"]
        while runner.checkpoint.position < 1:
            await runner.moved.wait(0.05)
        assert called == ["a", "a"]
        assert app.running.projections.ended() == {}


async def test_a_strong_query_of_a_process_that_projects_nothing_keeps_no_lease(url: str) -> None:
    app = bank_app(url)
    await app.start(projections=False)
    await app.execute(Open("a", "Ann"))
    assert (await app.ask(GetBalance("a"), strong=True)).value.owner == "Ann"
    assert [one.owner for one in await app.running.reads.generations("Balance+OwnerTotal")] == [""]
    await app.stop()


async def test_a_rebuild_keeps_the_pause_of_a_free_form_projection(url: str) -> None:
    app = bank_app(url)

    @app.projection(setup=["create table if not exists seen (account text) strict"], reset=["delete from seen"])
    def seen(event: Opened, sql: SqlWriter) -> None:
        sql.execute("insert into seen values (?)", [event.account])

    async with app:
        await app.execute(Open("a", "Ann"))
        await app.catch_up()
        await app.running.projections.pause("seen", by="me", why="an incident")
        assert (await app.rebuild("seen")).paused == "me: an incident"


async def test_a_key_that_is_no_text_parks_its_stream_and_the_projection_goes_on(url: str) -> None:
    app = bank_app(url)

    @app.read_model(key="owner")
    class Broken(ReadModel):
        owner: str

        @on(key=lambda event: "\ud800" if event.owner == "bad" else event.owner, start_missing=True)
        def opened(self, event: Opened) -> None: ...

    async with app:
        await app.execute(Open("x", "bad"))
        await app.execute(Open("a", "Ann"))
        await app.catch_up()
        letters = await app.running.projections.letters_of("Broken").list()
        assert [(one.key, one.position) for one in letters] == [("account-x", 1)]
