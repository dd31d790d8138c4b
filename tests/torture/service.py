"""The service that is tortured: the bank of the fault tests, with all that a command, a fold or a projection may be besides.

Commands over several streams, a decider, a rule over tags; a read model of each mode, and a projection that writes SQL. Money is
only moved by all but deposits, so sums must hold.
"""

import random
from decimal import Decimal

from deedlog import (
    App,
    Append,
    Command,
    Event,
    Matching,
    Module,
    Query,
    Reader,
    ReadModel,
    RecordedEvent,
    Refused,
    SqlWriter,
    UnitOfWork,
    message,
    on,
)
from tests.faults import bank

ACCOUNTS, TINS = 40, 5
SEATS = 3
"""So many may claim one name."""
MODELS = ("Balance", "Ledger", "journal")
"""A read model or function of each stored projection."""

torture = Module()


class Transfer(Command):
    """From one account to another: a unit of work over two aggregates."""

    source: str
    target: str
    amount: Decimal


class Save(Command):
    """From an account into a tin, or back where `amount` is negative: a unit of work over an aggregate and a decider."""

    account: str
    tin: str
    amount: Decimal


class Share(Command):
    """To two accounts at once: a handler that returns two appends."""

    one: str
    other: str
    amount: Decimal


class Claim(Command):
    """A name, of which there are a few seats: a condition over tags."""

    name: str
    account: str


class Fill(Command):
    """Into a tin, from outside; what the decider decides, as a command and in a unit of work."""

    tin: str
    amount: Decimal


class Filled(Event):
    tin: str
    amount: Decimal


@message(tags=["name"])
class Claimed(Event):
    name: str
    account: str


torture.event(Claimed)


def decide(command: Fill, inside: Decimal) -> Filled:
    if inside + command.amount < 0:
        raise Refused("so much is not in the tin", code="too_little")
    return Filled(command.tin, command.amount)


def evolve(inside: Decimal, event: Filled) -> Decimal:
    return inside + event.amount


torture.decider("tin", key="tin", initial=Decimal, decide=decide, evolve=evolve)


@torture.command_handler
async def transfer(command: Transfer, work: UnitOfWork) -> None:
    source = await work.load(bank.Account, command.source)
    target = await work.load(bank.Account, command.target)
    if source.state.balance < command.amount:
        raise Refused("so much is not in the account", code="too_little")
    source.record(bank.Deposited(command.source, -command.amount))
    target.record(bank.Deposited(command.target, command.amount))


@torture.command_handler
async def save(command: Save, work: UnitOfWork) -> None:
    account = await work.load(bank.Account, command.account)
    tin = await work.load("tin", command.tin)
    if account.state.balance < command.amount:
        raise Refused("so much is not in the account", code="too_little")
    account.record(bank.Deposited(command.account, -command.amount))
    tin.decide(Fill(command.tin, command.amount))


@torture.command_handler
async def share(command: Share) -> list[Append]:
    return [Append(f"account-{name}", [bank.Deposited(name, command.amount)]) for name in (command.one, command.other)]


@torture.command_handler
async def claim(command: Claim, work: UnitOfWork) -> Append:
    if len(await work.matching(Matching(tags=(f"name:{command.name}",), names=("Claimed",)))) >= SEATS:
        raise Refused("all of that name have one", code="taken")
    return Append(f"holder-{command.account}", [Claimed(command.name, command.account)])


@torture.read_model(key="account", mode="inline")
class Ledger(ReadModel):
    """Folded in the commit of each append."""

    account: str
    moved: Decimal = Decimal(0)
    moves: int = 0

    @on(start_missing=True)
    def deposited(self, event: bank.Deposited) -> None:
        self.moved += event.amount
        bank.fold(event.account)
        self.moves += 1


@torture.read_model(key="tin", mode="live")
class Content(ReadModel):
    """Folded when somebody asks."""

    tin: str
    amount: Decimal = Decimal(0)

    @on(start_missing=True)
    def filled(self, event: Filled) -> None:
        self.amount += event.amount


@torture.projection(
    key="account",
    setup=["create table if not exists journal (position integer not null, account text not null, amount text not null)"],
    reset=["delete from journal"],
)
def journal(event: bank.Deposited, recorded: RecordedEvent, sql: SqlWriter) -> None:
    """One line for each deposit. Nothing in the table forbids a second one."""
    sql.execute("insert into journal values (?, ?, ?)", (recorded.position, event.account, str(event.amount)))
    bank.fold(event.account)


class GetLedger(Query[Ledger]):
    account: str


class GetContent(Query[Decimal]):
    tin: str


@torture.query
async def get_ledger(query: GetLedger, rows: Reader[Ledger]) -> Ledger:
    return await rows.get(query.account)


@torture.query
async def get_content(query: GetContent, rows: Reader[Content]) -> Decimal:
    row = await rows.get(query.tin, None)
    return row.amount if row is not None else Decimal(0)


def torture_app(url: str) -> App:
    app = bank.bank_app(url)
    app.include(torture)
    return app


def command_of(id: str) -> Command:
    """The command of an id: the same id gives the same command, whoever asks."""
    dice = random.Random(f"{id} kind")
    amount = Decimal(dice.randrange(1, 2000)) / 100
    one, other = (f"a{number}" for number in dice.sample(range(ACCOUNTS), 2))
    tin = f"t{dice.randrange(TINS)}"
    match dice.randrange(20):
        case 0 | 1 | 2:
            return Transfer(one, other, amount)
        case 3 | 4:
            return Save(one, tin, amount if dice.random() < 0.6 else -amount)
        case 5:
            return Share(one, other, amount)
        case 6:
            return Fill(tin, amount)
        case 7:
            return Claim(f"{_round_of(id)}-{dice.randrange(6)}", one)
        case _:
            return bank.command_of(id)[1]


def _round_of(id: str) -> str:
    """What the ids of all processes of a round have in common, so that they want the same names."""
    return id.rsplit("-", 2)[0].rstrip("ab")


def effect_of(command: Command) -> list[tuple[str, Event]]:
    """What a command stores, where it stores anything: streams and events, in order."""
    match command:
        case bank.Open(account=account, owner=owner):
            return [(f"account-{account}", bank.Opened(account, owner))]
        case bank.Deposit(account=account, amount=amount):
            return [(f"account-{account}", bank.Deposited(account, amount))]
        case bank.Rename(account=account, owner=owner):
            return [(f"account-{account}", bank.Renamed(account, owner))]
        case Transfer(source=one, target=other, amount=amount):
            return [(f"account-{one}", bank.Deposited(one, -amount)), (f"account-{other}", bank.Deposited(other, amount))]
        case Save(account=account, tin=tin, amount=amount):
            return [(f"account-{account}", bank.Deposited(account, -amount)), (f"tin-{tin}", Filled(tin, amount))]
        case Share(one=one, other=other, amount=amount):
            return [(f"account-{name}", bank.Deposited(name, amount)) for name in (one, other)]
        case Fill(tin=tin, amount=amount):
            return [(f"tin-{tin}", Filled(tin, amount))]
        case Claim(name=name, account=account):
            return [(f"holder-{account}", Claimed(name, account))]
        case _:
            raise AssertionError(f"no effect of {command}")


def income_of(command: Command) -> Decimal:
    """What a command brings in, where it is done; all others only move money."""
    match command:
        case bank.Deposit(amount=amount) | Fill(amount=amount):
            return amount
        case Share(amount=amount):
            return 2 * amount
        case _:
            return Decimal(0)
