"""Free-form projections: SQL in the commit of the checkpoint, side effects at least once, and the same dead letters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deedlog import App, InvalidDeclaration, NotSupported, Query, RecordedEvent, Sql, SqlWriter, Unavailable
from deedlog.reads.values import STREAM
from tests.faults.bank import Deposited, Open, Opened, Rename, Renamed, bank_app

SETUP = ["create table if not exists names (account text primary key, owner text not null check (owner <> 'bad')) strict"]
RESET = ["delete from names"]


class GetNames(Query[list[str]]):
    pass


class Mail:
    def __init__(self) -> None:
        self.sent: list[str] = []
        self.refuses: set[str] = set()
        self.down = False

    def send(self, text: str) -> None:
        if self.down:
            raise Unavailable("no mail server")
        if text in self.refuses:
            raise ValueError(f"{text} has no address")
        self.sent.append(text)


def names_app(url: str, *, key: Any = None, mended: bool = False) -> App:
    app = bank_app(url)

    @app.projection(setup=SETUP, reset=RESET, key=key)
    def names(event: Opened | Renamed, sql: SqlWriter, recorded: RecordedEvent) -> None:
        owner = event.owner.replace("bad", "mended") if mended else event.owner
        sql.execute("insert into names values (?, 'half') on conflict do nothing", [f"{event.account}?"])
        sql.execute("delete from names where account = ?", [f"{event.account}?"])
        sql.execute(
            "insert into names values (?, ?) on conflict (account) do update set owner = excluded.owner", [event.account, owner]
        )

    @app.query(reads=[names])
    async def get_names(query: GetNames, sql: Sql) -> list[str]:
        return [row["owner"] for row in await sql.all("select owner from names order by account")]

    return app


def mail_app(url: str, mail: Mail) -> App:
    app = bank_app(url)
    app.provide(mail)

    @app.projection(key="account")
    async def mailer(event: Opened | Renamed, post: Mail) -> None:
        post.send(event.owner)

    return app


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bank.db'}"


async def test_its_sql_is_in_the_commit_of_its_checkpoint_and_is_read_after_a_token(url: str) -> None:
    async with names_app(url) as app:
        await app.execute(Open("a", "Ann"))
        receipt = await app.execute(Open("b", "Bob"))
        assert (await app.ask(GetNames(), after=receipt.token)).value == ["Ann", "Bob"]
        assert await app.running.projections.audit(whole=True) == []


@pytest.mark.parametrize("key", [None, "account"])
async def test_a_bad_event_parks_its_key_and_leaves_nothing_half_written(url: str, key: str | None) -> None:
    async with names_app(url, key=key) as app:
        await app.execute(Open("a", "Ann"))
        await app.execute(Rename("a", "bad"))
        await app.execute(Rename("a", "Ada"))
        await app.execute(Open("b", "Bob"))
        await app.catch_up()
        assert (await app.ask(GetNames())).value == ["Ann", "Bob"]
        letters = await app.running.projections.letters_of("names").list()
        place = (STREAM, "account-a") if key is None else ("names", "a")
        assert [(one.place, one.position, one.error is None) for one in letters] == [(place, 2, False), (place, 3, True)]


async def test_mended_it_takes_up_its_letters_in_order(url: str) -> None:
    async with names_app(url) as app:
        await app.execute(Open("a", "bad"))
        await app.execute(Rename("a", "Ada"))
        await app.catch_up()
        left = await app.running.projections.letters_of("names").retry()
        assert [(one.position, one.attempts) for one in left] == [(1, 2), (2, 1)]
    async with names_app(url, mended=True) as app:
        assert await app.running.projections.letters_of("names").retry() == []
        assert (await app.ask(GetNames())).value == ["Ada"]
        await app.execute(Rename("a", "Eve"))
        await app.catch_up()
        assert (await app.ask(GetNames())).value == ["Eve"]


async def test_a_skipped_event_is_left_out(url: str) -> None:
    async with names_app(url) as app:
        await app.execute(Open("a", "bad"))
        await app.execute(Rename("a", "Ada"))
        await app.catch_up()
        letters = app.running.projections.letters_of("names")
        assert await letters.skip((STREAM, "account-a"), 1, by="ann", why="a typo") == []
        assert (await app.ask(GetNames())).value == ["Ada"]


async def test_a_skipped_event_is_left_out_for_good_though_its_key_is_parked_again(url: str) -> None:
    async with names_app(url) as app:
        await app.execute(Open("a", "bad"))
        await app.execute(Rename("a", "Bob"))
        await app.catch_up()
    async with names_app(url, mended=True) as app:
        await app.running.projections.letters_of("names").skip((STREAM, "account-a"), 2, by="ann", why="a typo")
        assert (await app.ask(GetNames())).value == ["mended"]
    async with names_app(url) as app:
        await app.rebuild("names")
        assert [letter.position for letter in await app.running.projections.letters_of("names").list()] == [1]
    async with names_app(url, mended=True) as app:
        assert await app.running.projections.letters_of("names").retry() == []
        assert (await app.ask(GetNames())).value == ["mended"]


async def test_a_skipped_event_whose_key_can_not_be_told_is_left_out_of_a_rebuild(url: str) -> None:
    async with names_app(url, key=lambda event: {"Ann": "a"}[event.owner]) as app:
        await app.execute(Open("a", "Bob"))
        await app.execute(Rename("a", "Ann"))
        await app.catch_up()
        letters = app.running.projections.letters_of("names")
        await letters.skip((STREAM, "account-a"), 1, by="ann", why="a typo")
        await app.rebuild("names")
        assert await letters.list() == []
        assert (await app.ask(GetNames())).value == ["Ann"]


async def test_a_rebuild_empties_its_tables_and_starts_from_the_first_event(url: str) -> None:
    async with names_app(url) as app:
        await app.execute(Open("a", "bad"))
        await app.execute(Open("b", "Bob"))
        await app.catch_up()
    async with names_app(url, mended=True) as app:
        built = await app.rebuild("names")
        assert (built.position, built.parked) == (2, 0)
        assert (await app.ask(GetNames())).value == ["mended", "Bob"]


async def test_statements_of_transactions_are_refused(url: str) -> None:
    app = bank_app(url)

    @app.projection()
    def rude(event: Opened, sql: SqlWriter) -> None:
        sql.execute("commit")

    async with app:
        await app.execute(Open("a", "Ann"))
        await app.catch_up()
        (letter,) = await app.running.projections.letters_of("rude").list()
        assert "commit is not a projection's to say" in str(letter.error)


async def test_a_side_effect_happens_once_for_each_event_and_not_again_after_a_restart(url: str) -> None:
    mail = Mail()
    async with mail_app(url, mail) as app:
        await app.execute(Open("a", "Ann"))
        await app.execute(Open("b", "Bob"))
        await app.catch_up()
    async with mail_app(url, mail) as app:
        await app.catch_up()
    assert mail.sent == ["Ann", "Bob"]


async def test_a_side_effect_that_fails_parks_its_key_and_is_retried_in_order(url: str) -> None:
    mail = Mail()
    mail.refuses = {"Ann"}
    async with mail_app(url, mail) as app:
        await app.execute(Open("a", "Ann"))
        await app.execute(Rename("a", "Ada"))
        await app.execute(Open("b", "Bob"))
        await app.catch_up()
        assert mail.sent == ["Bob"]
        mail.refuses = set()
        assert await app.running.projections.letters_of("mailer").retry() == []
        assert mail.sent == ["Bob", "Ann", "Ada"]


async def test_a_service_that_is_down_parks_nothing_and_is_waited_for(url: str) -> None:
    mail = Mail()
    mail.down = True
    app = mail_app(url, mail)
    await app.start(projections=False)
    try:
        await app.execute(Open("a", "Ann"))
        with pytest.raises(Unavailable, match="no mail server"):
            await app.running.runners["mailer"].catch_up()
        assert await app.running.projections.letters_of("mailer").list() == []
        mail.down = False
        await app.catch_up()
        assert mail.sent == ["Ann"]
    finally:
        await app.stop()


async def test_what_nobody_can_undo_is_not_rebuilt(url: str) -> None:
    async with mail_app(url, Mail()) as app:
        with pytest.raises(NotSupported, match="nobody knows how to undo it"):
            await app.rebuild("mailer")
        with pytest.raises(NotSupported, match="free-form"):
            await app.running.projections.verify("mailer")


async def test_a_memory_store_has_no_sql_to_write() -> None:
    with pytest.raises(NotSupported):
        await names_app("memory://").start()


async def asks_for_sql(event: Opened, sql: SqlWriter) -> None: ...
def no_event(event: int) -> None: ...
def asks_for_a_stranger(event: Opened, who: Mail) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        (asks_for_sql, {}, "make it plain"),
        (no_event, {}, "annotated with no event class"),
        (asks_for_a_stranger, {}, "no service for 'who: Mail'"),
        (lambda event: None, {"name": "Bad Name"}, "no annotation"),
        (asks_for_sql, {"key": "colour"}, "has no field 'colour'"),
        (asks_for_sql, {"name": "Bad Name"}, "can't name a projection"),
    ],
)
def test_what_can_not_work_is_refused_with_its_place(function: Callable[..., Any], options: dict[str, Any], said: str) -> None:
    app = App("free", store="memory://")
    app.projection(**options)(function)
    with pytest.raises(InvalidDeclaration, match=said) as caught:
        app.build()
    assert "test_free_projections.py:" in str(caught.value)


def test_two_of_one_name_are_refused() -> None:
    app = App("free", store="memory://")

    def twice(event: Deposited) -> None: ...

    app.projection()(twice)
    app.projection()(twice)
    with pytest.raises(InvalidDeclaration, match="the name of two projections"):
        app.build()
