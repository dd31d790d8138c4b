"""Handlers that decide over several aggregates and over tags: all or nothing, and a rule that holds under many at once."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deedlog import (
    Aggregate,
    App,
    Append,
    Command,
    Commands,
    ConditionFailed,
    Event,
    InvalidDeclaration,
    InvalidMessage,
    Matching,
    Misuse,
    Receipt,
    Refused,
    UnitOfWork,
    Unless,
    Writable,
    WrongExpectedVersion,
    decide,
    evolve,
    message,
)

MANY = 64


class Open(Command):
    account: str
    amount: int = 0


class Withdraw(Command):
    account: str
    amount: int


class Deposit(Command):
    account: str
    amount: int


class Opened(Event):
    account: str
    amount: int


class Moved(Event):
    account: str
    amount: int


class Transfer(Command):
    source: str
    target: str
    amount: int


class Enrol(Command):
    course: str
    student: str


@message(tags=["course", "student"])
class Enrolled(Event):
    course: str
    student: str


class Account(Aggregate):
    balance: int = 0

    @decide
    def open(self, command: Open) -> Opened:
        if self.exists:
            raise Refused("it is open")
        return Opened(command.account, command.amount)

    @decide
    def withdraw(self, command: Withdraw) -> Moved:
        if command.amount > self.balance:
            raise Refused("too little", balance=self.balance)
        return Moved(command.account, -command.amount)

    @decide
    def deposit(self, command: Deposit) -> Moved:
        if not self.exists:
            raise Refused("no such account")
        return Moved(command.account, command.amount)

    @evolve
    def opened(self, event: Opened) -> None:
        self.balance = event.amount

    @evolve
    def moved(self, event: Moved) -> None:
        self.balance += event.amount


async def transfer(command: Transfer, work: UnitOfWork) -> None:
    source = await work.load(Account, command.source)
    target = await work.load(Account, command.target)
    source.decide(Withdraw(command.source, command.amount))
    target.decide(Deposit(command.target, command.amount))


async def enrol(command: Enrol, work: UnitOfWork) -> Append:
    taken = await work.matching(Matching(tags=(f"course:{command.course}",), names=("Enrolled",)))
    if len(taken) >= 20:
        raise Refused("the course is full", seats=len(taken))
    return Append(f"student-{command.student}", [Enrolled(command.course, command.student)])


Make = Callable[[], App]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Apps on the test's store; each with memory has one of its own."""

    def app() -> App:
        app = App("bank", store="memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'bank.db'}")
        app.aggregate(key="account")(Account)
        app.event(Enrolled)
        return app

    return app


@pytest.fixture
def app(make: Make) -> App:
    app = make()
    app.command_handler(transfer)
    app.command_handler(enrol)
    return app


async def balances(app: App, *keys: str) -> list[int]:
    return [(await app.load(Account, key)).state.balance for key in keys]


async def test_a_transfer_is_one_append_over_two_streams(app: App) -> None:
    async with app:
        await app.execute(Open("a", 10))
        await app.execute(Open("b"))
        receipt = await app.execute(Transfer("a", "b", 7))
        assert receipt.events == (Moved("a", -7), Moved("b", 7))
        assert (receipt.stream, receipt.version, receipt.position) == ("account-a", 2, 4)
        assert await balances(app, "a", "b") == [3, 7]


async def test_a_transfer_that_half_fails_stores_nothing(app: App) -> None:
    async with app:
        await app.execute(Open("a", 10))
        with pytest.raises(Refused, match="no such account"):
            await app.execute(Transfer("a", "b", 7))
        with pytest.raises(Refused, match="too little"):
            await app.execute(Withdraw("a", 11))
        assert await app.running.store.head() == 1
        assert (await app.execute(Withdraw("a", 10))).version == 2


async def test_transfers_at_once_lose_nothing_and_never_overdraw(app: App) -> None:
    async with app:
        for key in ("a", "b"):
            await app.execute(Open(key, 20))
        pairs = [("a", "b"), ("b", "a"), ("a", "b")]
        results = await asyncio.gather(
            *(app.execute(Transfer(*pairs[n % 3], 1 + n % 4)) for n in range(MANY)), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, Refused)]
        assert all(isinstance(result, Refused) or not isinstance(result, BaseException) for result in results)
        assert 0 < len(refused) < MANY
        assert sum(await balances(app, "a", "b")) == 40
        for key in ("a", "b"):
            assert min(await history(app, key)) >= 0


async def history(app: App, key: str) -> list[int]:
    """The balance after each event."""
    last = (await app.load(Account, key)).version
    return [(await app.load(Account, key, version=version)).state.balance for version in range(1, last + 1)]


async def test_transfers_beside_commands_of_the_same_aggregates_lose_nothing(app: App) -> None:
    async with app:
        for key in ("a", "b"):
            await app.execute(Open(key, 1000))
        await asyncio.gather(
            *(app.execute(Transfer("a", "b", 1)) for _ in range(MANY // 2)),
            *(app.execute(Deposit("a", 1)) for _ in range(MANY // 2)),
        )
        assert await balances(app, "a", "b") == [1000, 1000 + MANY // 2]


async def test_a_handler_that_waits_between_loads_ends_in_success_not_in_a_conflict(make: Make) -> None:
    app = make()

    @app.command_handler
    async def slow_transfer(command: Transfer, work: UnitOfWork) -> None:
        source = await work.load(Account, command.source)
        await asyncio.sleep(0)  # whatever else it asks for
        target = await work.load(Account, command.target)
        await asyncio.sleep(0)
        source.record(Moved(command.source, -command.amount))
        target.record(Moved(command.target, command.amount))

    async with app:
        for key in ("a", "b"):
            await app.execute(Open(key, 0))
        await asyncio.gather(*(app.execute(Transfer("a", "b", 1)) for _ in range(MANY)))
        assert await balances(app, "a", "b") == [-MANY, MANY]


async def test_a_course_takes_no_more_than_it_has_seats(app: App) -> None:
    async with app:
        results = await asyncio.gather(
            *(app.execute(Enrol("c1", f"s{number}")) for number in range(MANY)), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, Refused)]
        assert len(refused) == MANY - 20
        assert not [result for result in results if isinstance(result, BaseException) and not isinstance(result, Refused)]
        found = await app.running.store.read_matching([Matching(("course:c1",))])
        assert len(found) == 20


async def test_two_processes_keep_one_rule(tmp_path: Path) -> None:
    def service() -> App:
        app = App("bank", store=f"sqlite:///{tmp_path / 'bank.db'}")
        app.event(Enrolled)
        app.command_handler(enrol)
        return app

    async with service() as here, service() as there:
        results = await asyncio.gather(
            *((here, there)[number % 2].execute(Enrol("c1", f"s{number}")) for number in range(30)), return_exceptions=True
        )
        enrolled = sum(isinstance(result, Receipt) for result in results)
        assert all(isinstance(result, Receipt | Refused | ConditionFailed) for result in results)
        assert 0 < enrolled <= 20
        assert await here.running.store.head() == enrolled


async def test_transfers_of_two_processes_lose_nothing(tmp_path: Path) -> None:
    def service() -> App:
        app = App("bank", store=f"sqlite:///{tmp_path / 'bank.db'}")
        app.aggregate(key="account")(Account)
        app.command_handler(transfer)
        return app

    async with service() as here, service() as there:
        await here.execute(Open("a", 40))
        await here.execute(Open("b"))
        results = await asyncio.gather(
            *((here, there)[number % 2].execute(Transfer("a", "b", 1)) for number in range(MANY)), return_exceptions=True
        )
        moved = sum(isinstance(result, Receipt) for result in results)
        assert all(isinstance(result, Receipt | Refused | WrongExpectedVersion) for result in results)
        assert 0 < moved <= 40
        assert await balances(here, "a", "b") == [40 - moved, moved]


async def test_what_was_only_loaded_must_be_unchanged(make: Make) -> None:
    """The rule reads one account and changes the other: a change of the first makes it decide again."""
    app, ran = make(), []

    @app.command_handler
    async def follow(command: Transfer, work: UnitOfWork, commands: Commands) -> None:
        leader = await work.load(Account, command.source)
        follower = await work.load(Account, command.target)
        ran.append(leader.state.balance)
        if len(ran) == 1:
            await commands.execute(Deposit("a", 5), id="meanwhile")
        follower.record(Moved(command.target, leader.state.balance))

    async with app:
        await app.execute(Open("a", 1))
        await app.execute(Open("b", 0))
        await app.execute(Transfer("a", "b", 0))
        assert ran == [1, 6]
        assert await balances(app, "b") == [6]


async def test_without_a_check_what_was_only_loaded_may_change(make: Make) -> None:
    app, ran = make(), []

    @app.command_handler
    async def follow(command: Transfer, work: UnitOfWork, commands: Commands) -> None:
        leader = await work.load(Account, command.source, check=False)
        follower = await work.load(Account, command.target)
        ran.append(leader.state.balance)
        await commands.execute(Deposit("a", 5))
        follower.record(Moved(command.target, leader.state.balance))

    async with app:
        await app.execute(Open("a", 1))
        await app.execute(Open("b", 0))
        await app.execute(Transfer("a", "b", 0))
        assert ran == [1]
        assert await balances(app, "a", "b") == [6, 1]


async def test_a_refusal_is_decided_on_what_the_log_holds(tmp_path: Path) -> None:
    """Another process opened the account: this one's cache says that there is none."""

    def service() -> App:
        app = App("bank", store=f"sqlite:///{tmp_path / 'bank.db'}")
        app.aggregate(key="account")(Account)
        app.command_handler(transfer)
        return app

    async with service() as here, service() as there:
        await here.execute(Open("a", 10))
        with pytest.raises(Refused):
            await here.execute(Transfer("a", "b", 5))
        await there.execute(Open("b"))
        assert (await here.execute(Transfer("a", "b", 5))).events == (Moved("a", -5), Moved("b", 5))


async def test_a_rule_that_never_holds_still_ends_as_a_conflict(make: Make) -> None:
    app = make()

    @app.command_handler
    async def outrun(command: Transfer, work: UnitOfWork, commands: Commands) -> None:
        account = await work.load(Account, command.source)
        await commands.execute(Deposit("a", 1), id=f"d{account.version}")
        account.record(Moved(command.source, 0))

    async with app:
        await app.execute(Open("a"))
        with pytest.raises(WrongExpectedVersion):
            await app.execute(Transfer("a", "b", 0))
        assert (await app.load(Account, "a")).version == 17


async def test_a_handler_that_did_it_once_does_it_once(app: App) -> None:
    async with app:
        await app.execute(Open("a", 10))
        await app.execute(Open("b"))
        first = await app.execute(Transfer("a", "b", 7), id="t1")
        assert await app.execute(Transfer("a", "b", 7), id="t1") == first
        twins = await asyncio.gather(*(app.execute(Transfer("b", "a", 2), id="t2") for _ in range(3)))
        assert twins[0] == twins[1] == twins[2]
        assert await balances(app, "a", "b") == [5, 5]


async def test_a_handler_that_refuses_on_what_its_twin_is_about_to_store_gives_the_twins_receipt(app: App) -> None:
    async with app:
        await app.execute(Open("a", 7))
        await app.execute(Open("b"))
        twins = await asyncio.gather(*(app.execute(Transfer("a", "b", 7), id="t") for _ in range(3)))
        assert twins[0] == twins[1] == twins[2]
        assert await balances(app, "a", "b") == [0, 7]


async def test_the_next_command_decides_behind_a_unit_of_work(app: App) -> None:
    async with app:
        await app.execute(Open("a", 10))
        await app.execute(Open("b"))
        await app.execute(Transfer("a", "b", 7))
        with pytest.raises(Refused) as caught:
            await app.execute(Withdraw("a", 4))
        assert caught.value.data == {"balance": 3}


async def test_a_handler_may_send_commands_in_its_turn(make: Make) -> None:
    """A handler that is run one after the other sends its own command: it waits for nobody."""
    app = make()

    @app.command_handler
    async def chain(command: Transfer, work: UnitOfWork, commands: Commands) -> None:
        account = await work.load(Account, command.source)
        await asyncio.sleep(0)
        if command.amount > 0:
            await commands.execute(Transfer(f"{command.source}x", "", command.amount - 1))
        account.record(Moved(command.source, 1))

    async with app:
        await asyncio.gather(*(app.execute(Transfer("a", "", 3)) for _ in range(8)))
        assert await balances(app, "a", "ax", "axx", "axxx") == [8, 8, 8, 8]


async def test_an_append_without_a_unit_of_work_may_have_a_condition(make: Make) -> None:
    app = make()

    @app.command_handler
    async def enrol(command: Enrol) -> Append:
        unless = Unless((Matching((f"student:{command.student}",)),))
        return Append(f"course-{command.course}", [Enrolled(command.course, command.student)], unless=unless)

    async with app:
        await app.execute(Enrol("c1", "s1"))
        with pytest.raises(ConditionFailed):
            await app.execute(Enrol("c2", "s1"))
        assert await app.running.store.head() == 1


async def ask(app: App, use: Callable[[UnitOfWork], Any]) -> None:
    @app.command_handler
    async def asking(command: Transfer, work: UnitOfWork) -> None:
        await use(work)

    async with app:
        await app.execute(Transfer("a", "b", 1))


async def test_a_command_for_another_aggregate_is_misuse(make: Make) -> None:
    async def other(work: UnitOfWork) -> None:
        (await work.load(Account, "a")).decide(Open("b"))

    with pytest.raises(Misuse, match="is for account-b, not for account-a"):
        await ask(make(), other)


async def test_a_command_that_the_aggregate_does_not_decide_is_misuse(make: Make) -> None:
    async def wrong(work: UnitOfWork) -> None:
        (await work.load(Account, "a")).decide(Enrol("a", "b"))

    with pytest.raises(Misuse, match="Account does not decide Enrol"):
        await ask(make(), wrong)


async def test_a_class_that_is_no_aggregate_is_misuse(make: Make) -> None:
    async def wrong(work: UnitOfWork) -> None:
        await work.load(Decimal, "a")

    with pytest.raises(Misuse, match=r"Decimal is no aggregate of this app \(declared: Account\)"):
        await ask(make(), wrong)


async def test_a_key_that_can_not_name_a_stream_is_refused(make: Make) -> None:
    async def wrong(work: UnitOfWork) -> None:
        await work.load(Account, "a\nb")

    with pytest.raises(InvalidMessage, match="Account: account"):
        await ask(make(), wrong)


async def test_an_aggregate_kept_beyond_its_handler_records_nothing(make: Make) -> None:
    kept: list[Writable[Account]] = []

    async def keep(work: UnitOfWork) -> None:
        kept.append(await work.load(Account, "a"))

    await ask(make(), keep)
    with pytest.raises(Misuse, match="the command is done"):
        kept[0].record(Moved("a", 1))


async def test_the_same_aggregate_loaded_twice_is_one(make: Make) -> None:
    async def twice(work: UnitOfWork) -> None:
        first = await work.load(Account, "a", check=False)
        first.record(Opened("a", 3))
        second = await work.load("Account", "a")
        assert second is first
        assert (second.version, second.exists, second.state.balance) == (1, True, 3)

    await ask(make(), twice)


def test_a_plain_handler_can_not_have_one() -> None:
    app = App("bank", store="memory://")

    @app.command_handler
    def plain(command: Transfer, work: UnitOfWork) -> None: ...

    with pytest.raises(InvalidDeclaration, match=r"test_units_of_work\.py:.*asks for a UnitOfWork but is not async"):
        app.build()


async def test_what_a_handler_with_an_id_sends_is_done_once_though_it_is_run_again(make: Make) -> None:
    app, crashes = make(), [True, False]

    @app.command_handler
    async def pay(command: Transfer, commands: Commands) -> None:
        await commands.execute(Deposit(command.source, 1))
        if crashes.pop(0):
            raise RuntimeError("the process ends here")
        await commands.execute(Deposit(command.source, 1))

    async with app:
        await app.execute(Open("a"))
        with pytest.raises(RuntimeError):
            await app.execute(Transfer("a", "b", 1), id="p" * 199)
        await app.execute(Transfer("a", "b", 1), id="p" * 199)
        assert await balances(app, "a") == [2]


@pytest.mark.parametrize(
    ("matching", "said"),
    [
        (Matching(names=("Enroled",)), "Enroled: there is no event of this name"),
        (Matching(tags=("curse:c1",)), "no event carries 'curse:c1'"),
        (Matching(tags=("c1",)), "no event carries 'c1'"),
    ],
    ids=["name", "tag", "no field"],
)
@pytest.mark.parametrize("by", ["work", "append"])
async def test_a_condition_that_could_never_be_broken_is_refused(matching: Matching, said: str, by: str) -> None:
    """Else a slip of the pen turns the rule off."""

    class Ask(Command):
        student: str

    app = App("school", store="memory://")
    app.event(Enrolled)

    @app.command_handler
    async def ask(command: Ask, work: UnitOfWork) -> Append:
        if by == "work":
            await work.matching(matching)
        return Append(f"student-{command.student}", [Enrolled("c1", command.student)], unless=Unless((matching,), 0))

    async with app:
        with pytest.raises(InvalidMessage, match=said):
            await app.execute(Ask("s1"))
        assert await app.running.store.head() == 0
