"""Two versions of an app on one file: each answers from its own rows, and nobody ever sees a model half built."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deedlog import App, Append, Command, Event, Query, Reader, ReadModel, Sql, Unavailable, on

EVENTS, THINGS = 6_000, 50
OLD, NEW = (THINGS, EVENTS), (THINGS, EVENTS * 1_000)
VERSIONS = ["another body", "another column", "another group"]


class Happened(Event):
    thing: str
    number: int


class Happen(Command):
    count: int


class ByReader(Query[tuple[int, int]]):
    pass


class BySql(Query[tuple[int, int]]):
    pass


def app_of(path: Path, version: str) -> App:
    """Its model counts in ones before, in thousands in each later version."""
    app = App("versions", store=f"sqlite:///{path}")

    @app.command_handler
    def happen(command: Happen) -> Append:
        return Append("thing-1", [Happened(f"thing {number % THINGS}", number) for number in range(command.count)])

    thing = MODELS[version](app)

    @app.query
    async def by_reader(query: ByReader, things: Reader[thing]) -> tuple[int, int]:  # type: ignore[valid-type]
        rows: list[Any] = (await things.find(limit=1_000)).rows
        return len(rows), sum(row.total for row in rows)

    @app.query(reads=[thing])
    async def by_sql(query: BySql, sql: Sql) -> tuple[int, int]:
        (found,) = await sql.all("select count(*) as rows, sum(total) as total from thing")
        return found["rows"], found["total"]

    return app


def before(app: App) -> Any:
    @app.read_model(key="thing")
    class Thing(ReadModel):
        thing: str
        total: int = 0

        @on(start_missing=True)
        def happened(self, event: Happened) -> None:
            self.total += 1

    return Thing


def another_body(app: App) -> Any:
    @app.read_model(key="thing")
    class Thing(ReadModel):
        thing: str
        total: int = 0

        @on(start_missing=True)
        def happened(self, event: Happened) -> None:
            self.total += 1_000

    return Thing


def another_column(app: App) -> Any:
    @app.read_model(key="thing")
    class Thing(ReadModel):
        thing: str
        total: int = 0
        last: int = 0

        @on(start_missing=True)
        def happened(self, event: Happened) -> None:
            self.total += 1_000
            self.last = event.number

    return Thing


def another_group(app: App) -> Any:
    @app.read_model(key="number")
    class Number(ReadModel):
        number: int

        @on(start_missing=True)
        def happened(self, event: Happened) -> None: ...

    @app.read_model(key="thing")
    class Thing(ReadModel):
        thing: str
        total: int = 0

        @on(start_missing=True)
        def happened(self, event: Happened, number: Number | None) -> None:
            self.total += 1_000

    return Thing


MODELS = {"before": before, "another body": another_body, "another column": another_column, "another group": another_group}


@asynccontextmanager
async def asking(app: App) -> AsyncIterator[dict[type[Any], set[Any]]]:
    """What both queries are answered, again and again meanwhile; None where there is no answer yet."""
    seen: dict[type[Any], set[Any]] = {ByReader: set(), BySql: set()}

    async def ask() -> None:
        while True:
            for query in (ByReader(), BySql()):
                try:
                    seen[type(query)].add((await app.ask(query, timeout=0)).value)
                except Unavailable:
                    seen[type(query)].add(None)
            await asyncio.sleep(0)

    task = asyncio.create_task(ask())
    try:
        yield seen
    finally:
        task.cancel()
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)


@pytest.mark.parametrize("version", VERSIONS)
async def test_beside_the_version_before_each_sees_its_own_rows_and_none_half_built(tmp_path: Path, version: str) -> None:
    path = tmp_path / "versions.db"
    async with app_of(path, "before") as old:
        await old.execute(Happen(EVENTS))
        await old.catch_up()
        async with app_of(path, version) as new, asking(old) as by_old, asking(new) as by_new:
            await new.catch_up()
            assert (await new.ask(ByReader())).value == NEW
            assert (await new.ask(BySql())).value == NEW
            await asyncio.sleep(0)
    assert by_old[ByReader] == {OLD}
    assert by_old[BySql] <= {OLD, NEW, None}
    assert by_new[ByReader] | by_new[BySql] <= {OLD, NEW, None}


@pytest.mark.parametrize("version", VERSIONS)
async def test_readers_of_a_model_that_is_rebuilt_again_and_again_see_it_whole(tmp_path: Path, version: str) -> None:
    async with app_of(tmp_path / "versions.db", version) as app:
        await app.execute(Happen(EVENTS))
        await app.catch_up()
        async with asking(app) as seen:
            for _ in range(5):
                await app.rebuild("Thing")
        assert seen == {ByReader: {NEW}, BySql: {NEW}}
        assert len(await app.running.reads.generations(app.running.projections.runner_of("Thing").projection.name)) == 2


@pytest.mark.parametrize("version", ["another body", "another column"])
async def test_rolled_back_the_version_before_goes_on_from_where_it_was(tmp_path: Path, version: str) -> None:
    path = tmp_path / "versions.db"
    async with app_of(path, "before") as old:
        await old.execute(Happen(EVENTS))
        await old.catch_up()
    async with app_of(path, version) as new:
        await new.catch_up()
        await new.execute(Happen(EVENTS))
        await new.catch_up()
        await new.running.projections.rollback("Thing")
        await new.execute(Happen(EVENTS))
        with pytest.raises(Unavailable, match="rolled back"):
            await new.catch_up()
    async with app_of(path, "before") as old:
        await old.catch_up()
        assert (await old.ask(BySql())).value == (THINGS, EVENTS * 3)


async def test_sql_of_the_newer_version_is_right_again_when_the_older_one_has_stopped(tmp_path: Path) -> None:
    path = tmp_path / "versions.db"
    async with app_of(path, "before") as old:
        await old.execute(Happen(EVENTS))
        await old.catch_up()
    async with app_of(path, "another column") as new:
        await new.catch_up()
        async with app_of(path, "before") as old:
            await old.catch_up()
        receipt = await new.execute(Happen(1))
        assert (await new.ask(BySql(), after=receipt.token)).freshness.behind_events == 0
