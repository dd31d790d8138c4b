"""What can go wrong, done on purpose: each function here provokes errors or lines of the log, and `heard` has their words."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from deedlog import (
    AnyVersion,
    App,
    Append,
    Command,
    Commands,
    DeedlogError,
    Event,
    Exactly,
    Matching,
    ReadModel,
    Sql,
    Unless,
    message,
    on,
)
from tests.faults.bank import Account, Deposit, GetBalance, Open, Opened, bank_app

Provoke: TypeAlias = Callable[[Path], Coroutine[Any, Any, None]]
heard: list[str] = []
"""What all provocations said: errors with the name of their class, and lines of the log."""


async def provoked(work: Awaitable[object]) -> None:
    try:
        await work
    except DeedlogError as error:
        heard.append(f"{type(error).__name__}: {error}")
    else:
        raise AssertionError("it went well")


unwanted = ["nobody"]
"""What a fold looks at outside itself: a change of it is no other definition."""


class Tally(ReadModel):
    """A fold that can't take everybody."""

    owner: str
    accounts: int = 0

    @on(start_missing=True)
    def opened(self, event: Opened) -> None:
        if event.owner.startswith(tuple(unwanted)):
            raise ValueError("nobody owns nothing")
        self.accounts += 1


class Wider(ReadModel):
    """The next version of it, with another column."""

    owner: str
    accounts: int = 0
    first: str = ""

    @on(start_missing=True)
    def opened(self, event: Opened) -> None:
        self.accounts += 1


class Double(Tally):
    @on(start_missing=True)
    def opened(self, event: Opened) -> None:
        self.accounts += 2


class Wait(Command):
    account: str


class Claim(Command):
    account: str


def bank_at(folder: Path, name: str = "bank") -> App:
    return bank_app(f"sqlite:///{folder / name}.db")


def tallying(folder: Path, model: type[ReadModel] = Tally) -> App:
    app = bank_at(folder)
    app.read_model(key="owner", table="tally")(model)
    return app


@asynccontextmanager
async def unmoved(app: App) -> AsyncIterator[App]:
    """Started, and no runner does anything by itself."""
    await app.start(projections=False)
    try:
        yield app
    finally:
        await app.stop()


def statements(folder: Path, *texts: str) -> None:
    with closing(sqlite3.connect(folder / "bank.db", isolation_level=None)) as connection:
        for text in texts:
            connection.execute(text)


async def queries(folder: Path) -> None:
    async with unmoved(bank_at(folder)) as app:
        receipt = await app.execute(Open("a", "Ann"))
        await provoked(app.ask(GetBalance("a")))
        await provoked(app.ask(GetBalance("a"), after=receipt.token, timeout=0))
        await provoked(app.ask(GetBalance("a"), after="d1.00000000.1"))
    changed = tallying(folder)

    @changed.query(reads=[Tally])
    def tallies(query: Wait) -> int:
        return 1

    async with unmoved(changed):
        await provoked(changed.ask(Wait("a"), timeout=0))


async def commands(folder: Path) -> None:
    app, gate = bank_at(folder), asyncio.Event()

    @app.command_handler
    async def wait(command: Wait, commands: Commands) -> None:
        if command.account != "nothing stored":
            await commands.execute(Open(command.account, "Ann"))
        await gate.wait()

    @app.command_handler
    def claim(command: Claim) -> Append:
        nobody = Unless((Matching(names=("Opened",)),)) if command.account == "unless" else None
        return Append("account-a", [Opened("a", "Ann")], Exactly(0) if nobody is None else AnyVersion(), nobody)

    async with app:
        await app.execute(Open("a", "Ann"), id="once")
        await provoked(app.execute(Open("b", "Bob"), id="once"))
        await provoked(app.execute(Wait("nothing stored"), timeout=0.01))
        await provoked(app.execute(Wait("c"), timeout=0.5))
        await provoked(app.execute(Claim("a")))
        await provoked(app.execute(Claim("unless")))
        await app.close_stream(Account, "a", by="ada", why="moved")
        await provoked(app.execute(Deposit("a", Decimal(1))))


async def too_many(folder: Path) -> None:
    async with bank_at(folder) as app:
        app.running.store._coalescer._max_waiting = 2  # type: ignore[attr-defined]
        found = await asyncio.gather(*(app.execute(Open(f"a{n}", "Ann")) for n in range(9)), return_exceptions=True)
        heard.extend(f"{type(error).__name__}: {error}" for error in found if isinstance(error, DeedlogError))


async def parked(folder: Path) -> None:
    """One bad event, then more than there may be."""
    app = tallying(folder)

    @app.query(reads=[Tally])
    def tallies(query: Wait) -> int:
        return 1

    async with app:
        receipt = await app.execute(Open("a", "nobody"))
        await app.catch_up()
        await provoked(app.ask(Wait("a"), after=receipt.token))
        one, number = app.running.runners["Tally"], 0
        while one.failure is None:
            number += 1
            receipt = await app.execute(Open(f"a{number}", f"nobody {number}"))
        await provoked(app.ask(Wait("a"), after=receipt.token))


async def by_somebody(folder: Path) -> None:
    """Paused; rolled back; another fold than before."""
    async with tallying(folder) as app:
        await app.execute(Open("a", "Ann"))
        await app.catch_up()
        unwanted.append("Ann")
        await provoked(app.rebuild("Tally"))
        unwanted.remove("Ann")
    Changed = type("Tally", (Double,), {"__doc__": "The next version.", "__annotations__": {}})
    async with unmoved(tallying(folder, Changed)) as app:
        await app.catch_up()
        await app.running.projections.rollback("Tally")
        await app.execute(Open("b", "Ann"))
        await provoked(app.catch_up())
    async with unmoved(bank_at(folder)) as app:
        await app.running.projections.pause("Balance", by="ada", why="looking")
        await app.execute(Open("c", "Ann"))
        await provoked(app.catch_up())


async def of_another_shape(folder: Path) -> None:
    """Two versions on one file: one asks by SQL, the other one is rolled back."""

    def with_sql(model: type[ReadModel]) -> App:
        app = tallying(folder, model)

        @app.query(reads=[model])
        async def tallies(query: Wait, sql: Sql) -> int:
            return len(await sql.all("select * from tally"))

        return app

    old, new = with_sql(Tally), with_sql(type("Tally", (Wider,), {"__doc__": "", "__annotations__": {}}))
    async with unmoved(old):
        await old.execute(Open("a", "Ann"))
        await old.catch_up()
        async with unmoved(new):
            await new.catch_up()
            await provoked(old.ask(Wait("a"), timeout=0))
            await new.running.projections.rollback("Tally")
            await provoked(new.ask(Wait("a"), timeout=0))


async def changed_from_outside(folder: Path) -> None:
    async with bank_at(folder) as app:
        for name in "abcd":
            await app.execute(Open(name, "Ann"))
        await app.catch_up()
        statements(folder, "update deedlog_projections set events = 3")
        await app.running.projections.audit(whole=True)
        statements(folder, "update deedlog_projections set events = position, digest = 1")
        await app.running.projections.audit(whole=True)
    with closing(sqlite3.connect(folder / "bank.db")) as connection:
        triggers = connection.execute("select name from sqlite_master where type = 'trigger' and tbl_name = 'deedlog_events'")
        names = [name for (name,) in triggers]
    statements(folder, *(f"drop trigger {name}" for name in names), "delete from deedlog_events where position = 3")
    app = bank_at(folder)
    await app.start(projections=False)
    await provoked(app.rebuild("Balance"))
    await app.stop()


async def files(folder: Path) -> None:
    async with bank_at(folder) as app:
        await app.execute(Open("a", "Ann"))
        (folder / "bank.db").rename(folder / "moved.db")
        await provoked(app.execute(Open("b", "Ann")))
        (folder / "moved.db").rename(folder / "bank.db")
    async with bank_at(folder) as app:
        for number in range(100):
            await app.execute(Open(f"b{number}", "Ann" * 50))
    for version in (99, 0):
        statements(folder, f"update deedlog_store set schema_version = {version}")
        await provoked(bank_at(folder).start())
    whole = (folder / "bank.db").read_bytes()
    (folder / "cut.db").write_bytes(whole[:-100])
    await provoked(bank_at(folder, "cut").start())
    (folder / "damaged.db").write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    await provoked(bank_at(folder, "damaged").start())
    (folder / "notes.db").write_text("dear diary " * 100)
    await provoked(bank_at(folder, "notes").start())
    await provoked(bank_at(folder / "nowhere").start())


async def full(folder: Path) -> None:
    async with bank_at(folder) as app:
        await app.execute(Open("a", "Ann"))
        connection = app.running.store._writer.connection  # type: ignore[attr-defined]
        (pages,) = connection.execute("pragma page_count").fetchone()
        connection.execute(f"pragma max_page_count = {pages + 1}")
        await provoked(app.import_events((f"account-b{n}", Opened(f"b{n}", "Ann" * 50)) for n in range(1_000)))


async def locked(folder: Path) -> None:
    async with bank_at(folder) as app:
        with closing(sqlite3.connect(folder / "bank.db", isolation_level=None)) as other:
            other.execute("begin immediate")
            await provoked(app.execute(Open("a", "Ann")))
            other.execute("rollback")


async def of_two_versions(folder: Path) -> None:
    """An event of a version that this process does not know."""
    new = App("bank", store=f"sqlite:///{folder / 'bank.db'}")

    @new.event
    @message("Opened", version=2)
    class Opened2(Event):
        account: str
        owner: str
        currency: str

    @new.command_handler
    def claim(command: Claim) -> Append:
        return Append(f"account-{command.account}", [Opened2(command.account, "Ann", "EUR")])

    async with new:
        await new.execute(Claim("a"))
    async with bank_at(folder) as old:
        await provoked(old.execute(Deposit("a", Decimal(1))))
        await old.catch_up()


PROVOCATIONS: list[Provoke] = [
    queries,
    commands,
    too_many,
    parked,
    by_somebody,
    of_another_shape,
    changed_from_outside,
    files,
    full,
    locked,
    of_two_versions,
]
