"""The command path: pipelining, conflicts, refusals, idempotency, handlers, middleware."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deedlog import (
    Aggregate,
    AnyVersion,
    App,
    Append,
    Command,
    CommandContext,
    Commands,
    DuplicateMessage,
    Event,
    InvalidMessage,
    Misuse,
    NoStream,
    Proceed,
    Receipt,
    Refused,
    Unavailable,
    UnknownMessage,
    WrongExpectedVersion,
    decide,
    evolve,
)
from deedlog.messages.envelope import NewEvent
from deedlog.running import Running
from deedlog.store.port import CommandKey, StreamWrite
from tests.faults.bank import Deposit, Deposited, Open, Opened, Rename, Renamed, bank_app

ONE = Decimal(1)


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> App:
    return bank_app("memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'bank.db'}")


async def test_a_receipt_says_what_was_done(app: App) -> None:
    async with app:
        receipt = await app.execute(Open("a", "Ann"))
        assert (receipt.stream, receipt.version, receipt.position) == ("account-a", 1, 1)
        assert receipt.events == (Opened("a", "Ann"),)
        assert (await app.execute(Deposit("a", ONE))).version == 2


async def test_a_command_that_changes_nothing_has_a_receipt_without_events(app: App) -> None:
    async with app:
        await app.execute(Open("a", "Ann"))
        receipt = await app.execute(Rename("a", "Ann"))
        assert (receipt.version, receipt.position, receipt.events) == (1, 1, ())


async def test_concurrent_commands_on_one_aggregate_share_batches(app: App) -> None:
    async with app:
        await app.execute(Open("a", "Ann"))
        batches = count_batches(app.running)
        receipts = await asyncio.gather(*(app.execute(Deposit("a", ONE)) for _ in range(200)))
        assert sorted(receipt.version for receipt in receipts) == list(range(2, 202))
        assert len(batches) < 10


def count_batches(running: Running) -> list[int]:
    """Grows by one for each batch that the coalescer hands over."""
    coalescer = running.store._coalescer  # type: ignore[attr-defined]
    write, sizes = coalescer._write, []

    def counting(batch: list[Any], answer: Any) -> None:
        sizes.append(len(batch))
        write(batch, answer)

    coalescer._write = counting
    return sizes


async def test_those_behind_a_command_that_was_not_stored_decide_again(app: App) -> None:
    async with app:
        await app.execute(Open("a", "Ann"), id="open")
        first = await app.execute(Deposit("a", ONE), id="once")
        results = await asyncio.gather(
            app.execute(Deposit("a", ONE), id="once"),  # decides, but is a repeat: not stored
            *(app.execute(Deposit("a", ONE)) for _ in range(20)),
        )
        assert results[0] == first
        assert sorted(receipt.version for receipt in results[1:]) == list(range(3, 23))


async def test_a_refusal_is_decided_on_what_the_log_holds(tmp_path: Path) -> None:
    """Another process opened the account: this one's cache says there is none."""
    url = f"sqlite:///{tmp_path / 'bank.db'}"
    async with bank_app(url) as here, bank_app(url) as there:
        with pytest.raises(Refused):
            await here.execute(Deposit("a", ONE))
        await there.execute(Open("a", "Ann"))
        assert (await here.execute(Deposit("a", ONE))).version == 2


async def test_a_decision_on_an_old_state_is_decided_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bank.db'}"
    async with bank_app(url) as here, bank_app(url) as there:
        await here.execute(Open("a", "Ann"))
        await there.execute(Deposit("a", ONE))
        await there.execute(Deposit("a", ONE))
        assert (await here.execute(Deposit("a", ONE))).version == 4


async def test_a_decision_is_stored_only_behind_the_event_it_was_built_on(tmp_path: Path) -> None:
    """The name that the first command gives is not stored: a stranger has its version. The second decides on the stranger's."""
    url = f"sqlite:///{tmp_path / 'bank.db'}"
    async with bank_app(url) as here, bank_app(url) as there:
        await here.execute(Open("a", "Ann"))
        await there.execute(Rename("a", "Bob"))
        first = asyncio.create_task(here.execute(Rename("a", "Cid")))
        second = asyncio.create_task(here.execute(Rename("a", "Bob")))  # behind Cid a change, behind Bob none
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).events == ()
        assert await there.running.store.head() == 2


async def test_nothing_to_do_is_an_answer_only_behind_the_event_it_was_built_on(app: App) -> None:
    """The account that the first command opens is not stored: a handler's event has its version."""

    @app.command_handler
    async def note(command: Notify) -> Append:
        return Append("account-a", [Renamed("a", "Nobody")])

    async with app:
        opening = asyncio.create_task(app.execute(Open("a", "Ann")))
        noting = asyncio.create_task(app.execute(Notify("a")))
        again = asyncio.create_task(app.execute(Rename("a", "Ann")))  # nothing to do behind the first, but that is not stored
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(noting, again)
        assert (await again).version == 2


async def test_two_processes_on_one_aggregate_lose_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bank.db'}"
    async with bank_app(url) as here, bank_app(url) as there:
        await here.execute(Open("a", "Ann"))
        receipts = await asyncio.gather(*(app.execute(Deposit("a", ONE)) for _ in range(50) for app in (here, there)))
        assert sorted(receipt.version for receipt in receipts) == list(range(2, 102))


async def test_a_command_sent_twice_has_one_effect_and_one_receipt(app: App) -> None:
    async with app:
        await app.execute(Open("a", "Ann"))
        first = await app.execute(Deposit("a", ONE), id="d1")
        await app.execute(Deposit("a", ONE))
        assert await app.execute(Deposit("a", ONE), id="d1") == first
        assert await app.running.store.head() == 3


async def test_a_command_sent_twice_at_once_has_one_effect(app: App) -> None:
    async with app:
        first, second = await asyncio.gather(*(app.execute(Open("a", "Ann"), id="same") for _ in range(2)))
        assert first == second
        assert await app.running.store.head() == 1


async def test_a_command_that_would_be_refused_now_gives_its_old_receipt(app: App) -> None:
    async with app:
        first = await app.execute(Open("a", "Ann"), id="open")
        assert await app.execute(Open("a", "Ann"), id="open") == first


class Note(Command):
    page: str
    words: list[str]


class Noted(Event):
    page: str
    words: list[str]


class Full(Exception):
    """An error of the user's own."""


def with_notebook(app: App) -> App:
    @app.aggregate(key="page")
    class Page(Aggregate):
        words: list[str] = []

        @decide
        def note(self, command: Note) -> Noted:
            if len(self.words) + len(command.words) > 3:
                raise Full
            return Noted(command.page, command.words)

        @evolve
        def noted(self, event: Noted) -> None:
            if not self.words:
                self.words = event.words
            else:
                self.words.extend(event.words)

    return app


async def test_a_command_that_would_fail_now_gives_its_old_receipt(app: App) -> None:
    async with with_notebook(app):
        first = await app.execute(Note("p", ["a", "b"]), id="n1")
        assert await app.execute(Note("p", ["a", "b"]), id="n1") == first
        with pytest.raises(Full):
            await app.execute(Note("p", ["c", "d"]), id="n2")


async def test_an_error_on_a_state_that_is_not_stored_is_decided_again(app: App) -> None:
    async with with_notebook(app):
        first = asyncio.create_task(app.execute(Note("p", ["a", "b"])))
        second = asyncio.create_task(app.execute(Note("p", ["c", "d"])))  # too much behind the first, but that is not stored
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).version == 1


async def test_a_refusal_that_is_never_confirmed_ends_as_a_conflict(app: App) -> None:
    """Strangers write faster than this process decides."""
    async with app:
        await app.execute(Open("a", "Ann"))
        store, codec = app.running.store, app.running.codec
        append, strange = store.append, codec.new_event(Deposited("a", ONE), "{}")

        async def outrun(writes: Any, command: CommandKey | None = None, conditions: Any = ()) -> Any:
            await append((StreamWrite("account-a", (strange,), AnyVersion()),))
            return await append(writes, command, conditions)

        store.append = outrun  # type: ignore[method-assign]
        with pytest.raises(WrongExpectedVersion):
            await app.execute(Open("a", "Ann"))


async def test_a_state_is_not_changed_through_the_command_that_made_it(app: App) -> None:
    async with with_notebook(app):
        words = ["a"]
        await app.execute(Note("p", words))
        words += ["b", "c"]
        assert (await app.execute(Note("p", ["d", "e"]))).version == 2


async def test_a_receipt_is_not_changed_by_what_comes_later(app: App) -> None:
    async with with_notebook(app):
        first = await app.execute(Note("p", ["a"]), id="n1")
        await app.execute(Note("p", ["b"]))
        assert first.events == (Noted("p", ["a"]),)
        assert await app.execute(Note("p", ["a"]), id="n1") == first


async def test_a_refused_command_may_be_sent_again_under_its_id(app: App) -> None:
    async with app:
        with pytest.raises(Refused):
            await app.execute(Deposit("a", ONE), id="d1")
        await app.execute(Open("a", "Ann"))
        assert (await app.execute(Deposit("a", ONE), id="d1")).version == 2


async def test_an_id_used_for_another_command_is_refused(app: App) -> None:
    async with app:
        await app.execute(Open("a", "Ann"), id="x")
        with pytest.raises(DuplicateMessage):
            await app.execute(Open("b", "Ann"), id="x")
        with pytest.raises(DuplicateMessage):
            await app.execute(Open("a", "Bob"), id="x")


@pytest.mark.parametrize("id", ["", "x" * 201, "a\nb"])
async def test_an_id_that_nobody_could_type_is_refused(app: App, id: str) -> None:
    async with app:
        with pytest.raises(InvalidMessage, match="id"):
            await app.execute(Open("a", "Ann"), id=id)


@pytest.mark.parametrize("key", ["", "a\nb", "a\0b", " ", "x" * 300, "\ud800"])
async def test_a_key_that_can_not_name_a_stream_is_refused_and_nothing_is_stored(app: App, key: str) -> None:
    async with app:
        with pytest.raises(InvalidMessage):
            await app.execute(Open(key, "Ann"))
        assert await app.running.store.head() == 0


async def test_a_cancelled_caller_leaves_the_aggregate_usable(app: App) -> None:
    async with app:
        await app.execute(Open("a", "Ann"))
        tasks = [asyncio.create_task(app.execute(Deposit("a", ONE))) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        receipts = [result for result in done if isinstance(result, Receipt)]
        assert all(isinstance(result, Receipt | asyncio.CancelledError) for result in done)
        last = await app.execute(Deposit("a", ONE))
        stored = await app.running.store.read_stream("account-a")
        assert [recorded.version for recorded in stored] == list(range(1, last.version + 1))
        assert {receipt.version for receipt in receipts} <= {recorded.version for recorded in stored}


async def test_a_long_stream_is_loaded_in_pages(app: App) -> None:
    async with app:
        codec, store = app.running.codec, app.running.store
        many = tuple(codec.new_event(Deposited("a", ONE), "{}") for _ in range(1200))
        opened = codec.new_event(Opened("a", "Ann"), "{}")
        await store.append([StreamWrite("account-a", (opened, *many), NoStream())])
        assert (await app.execute(Deposit("a", ONE))).version == 1202


async def test_a_command_that_nobody_answers_is_refused(app: App) -> None:
    class Nobody(Command):
        id: str

    async with app:
        with pytest.raises(UnknownMessage, match="Nobody"):
            await app.execute(Nobody("x"))


class Notify(Command):
    account: str


class Notified(Event):
    account: str
    by: str


class Mailer:
    def __init__(self) -> None:
        self.sent: list[str] = []


def with_handler(app: App) -> Mailer:
    mailer = Mailer()
    app.provide(mailer)

    @app.command_handler
    async def notify(command: Notify, mailer: Mailer, context: CommandContext) -> Append:
        mailer.sent.append(command.account)
        return Append(f"mail-{command.account}", [Notified(command.account, context.id)])

    app.event(Notified)
    return mailer


async def test_a_handler_gets_services_and_stores_what_it_returns(app: App) -> None:
    mailer = with_handler(app)
    async with app:
        receipt = await app.execute(Notify("a"), id="n1")
        assert mailer.sent == ["a"]
        assert receipt.events == (Notified("a", "n1"),)
        assert receipt.stream == "mail-a"


async def test_a_handled_command_is_not_handled_again(app: App) -> None:
    mailer = with_handler(app)
    async with app:
        first = await app.execute(Notify("a"), id="n1")
        assert await app.execute(Notify("a"), id="n1") == first
        assert mailer.sent == ["a"]


async def test_a_handler_that_refuses_because_its_twin_was_first_gives_the_twins_receipt(app: App) -> None:
    done = asyncio.Event()
    calls: list[str] = []

    @app.command_handler
    async def once(command: Notify) -> Append:
        calls.append(command.account)
        if len(calls) == 2:
            await done.wait()
            raise Refused("has been notified")
        return Append(f"mail-{command.account}", [Notified(command.account, "")])

    app.event(Notified)
    async with app:
        first = asyncio.create_task(app.execute(Notify("a"), id="n1"))
        second = asyncio.create_task(app.execute(Notify("a"), id="n1"))
        receipt = await first
        done.set()
        assert await second == receipt
        assert len(calls) == 2


async def test_a_plain_handler_runs_on_a_thread(app: App) -> None:
    with_handler(app)

    class Slow(Command):
        account: str

    @app.command_handler
    def slow(command: Slow) -> None:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()

    async with app:
        assert (await app.execute(Slow("a"))).events == ()


async def test_a_handler_sends_further_commands_of_the_same_conversation(app: App) -> None:
    class OpenBoth(Command):
        owner: str

    @app.command_handler
    async def open_both(command: OpenBoth, commands: Commands) -> None:
        await commands.execute(Open("x", command.owner))
        await commands.execute(Open("y", command.owner))

    async with app:
        await app.execute(OpenBoth("Ann"), id="both", correlation_id="talk")
        stored = await app.running.store.read_all()
        assert [recorded.stream for recorded in stored] == ["account-x", "account-y"]
        assert all('"correlation_id":"talk","causation_id":"both"' in recorded.metadata for recorded in stored)


async def test_appends_of_a_handler_are_stored_all_or_none(app: App) -> None:
    class Both(Command):
        account: str

    @app.command_handler
    async def both(command: Both) -> list[Append]:
        return [Append("mail-1", [Notified("a", "b")]), Append("account-a", [Notified("a", "b")], NoStream())]

    app.event(Notified)
    async with app:
        await app.execute(Open("a", "Ann"))
        with pytest.raises(WrongExpectedVersion):
            await app.execute(Both("a"))
        assert await app.running.store.head() == 1


async def test_a_handler_that_returns_something_else_is_misuse(app: App) -> None:
    @app.command_handler
    async def wrong(command: Notify) -> Any:
        return "done"

    async with app:
        with pytest.raises(Misuse, match="return None, an Append"):
            await app.execute(Notify("a"))


async def test_middleware_is_around_every_command_the_first_outermost(app: App) -> None:
    seen: list[str] = []

    @app.middleware
    async def outer(context: CommandContext, proceed: Proceed) -> Receipt:
        seen.append("outer")
        return await proceed(context)

    @app.middleware
    async def inner(context: CommandContext, proceed: Proceed) -> Receipt:
        seen.append("inner")
        if isinstance(context.command, Rename):
            raise Refused("not today")
        return await proceed(context)

    async with app:
        await app.execute(Open("a", "Ann"))
        with pytest.raises(Refused):
            await app.execute(Rename("a", "Bob"))
    assert seen == ["outer", "inner", "outer", "inner"]


async def test_metadata_is_stored_with_each_event(app: App) -> None:
    async with app:
        await app.execute(Open("a", "Ann"), id="c", actor="me", tenant="t", traceparent="00-1-2-3", causation_id="k")
        (recorded,) = await app.running.store.read_all()
        assert recorded.metadata == (
            '{"correlation_id":"c","causation_id":"k","traceparent":"00-1-2-3","actor":"me","tenant":"t"}'
        )


async def test_a_stopped_app_refuses_and_starts_again(app: App) -> None:
    async with app:
        await app.execute(Open("a", "Ann"))
        store = app.running.store
    with pytest.raises(Unavailable, match="closed"):
        await store.append([StreamWrite("a-1", (), NoStream())], CommandKey("x", ""))
    if app.url != "memory://":
        assert (await app.execute(Deposit("a", ONE))).version == 2
        await app.stop()


def test_an_app_belongs_to_one_event_loop_at_a_time(app: App) -> None:
    async def open_it(key: str) -> None:
        await app.execute(Open(key, "Ann"))

    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(open_it("a"))
        with pytest.raises(Misuse, match="another event loop"):
            second.run(open_it("b"))
        first.run(app.stop())
        second.run(open_it("c"))
        second.run(app.stop())


def test_an_app_that_was_not_stopped_starts_anew_on_the_next_loop(tmp_path: Path) -> None:
    app = bank_app(f"sqlite:///{tmp_path / 'bank.db'}")

    async def open_it(key: str) -> int:
        return (await app.execute(Open(key, "Ann"))).position

    assert asyncio.run(open_it("a")) == 1
    assert asyncio.run(open_it("b")) == 2
    asyncio.run(app.stop())


async def test_a_command_class_that_always_starts_streams_is_not_looked_up(app: App) -> None:
    """After a few new streams the next is taken to be new; a wrong guess is corrected by the version check."""
    async with app:
        for number in range(20):
            await app.execute(Open(f"new{number}", "Ann"))
        reads = count_reads(app.running)
        await app.execute(Open("new20", "Ann"))
        assert not reads
        await app.running.store.append([StreamWrite("account-old", (opened(app, "old"),), NoStream())])
        with pytest.raises(Refused, match="is open"):
            await app.execute(Open("old", "Ann"))
        assert reads == ["account-old"]
        assert (await app.execute(Open("new21", "Ann"))).version == 1
        assert reads == ["account-old", "account-new21"]


async def test_a_wrong_guess_of_a_new_stream_still_decides_on_what_is_there(app: App) -> None:
    async with app:
        for number in range(20):
            with pytest.raises(Refused):
                await app.execute(Deposit(f"none{number}", ONE))
        await app.running.store.append([StreamWrite("account-old", (opened(app, "old"),), NoStream())])
        assert (await app.execute(Deposit("old", ONE))).version == 2


def opened(app: App, account: str) -> NewEvent:
    return app.running.codec.new_event(Opened(account, "Ann"), "{}")


def count_reads(running: Running) -> list[str]:
    """Grows by the stream's name for each stream that is read."""
    read, names = running.store.read_stream, []

    async def counting(stream: str, after: int = 0, limit: int = 500) -> Any:
        names.append(stream)
        return await read(stream, after, limit)

    running.store.read_stream = counting  # type: ignore[method-assign]
    return names
