"""A small service for the fault tests, and the child process that is killed.

`python bank.py FILE SEED` sends commands from 16 callers for ever and prints a line for each that is acknowledged:
command id, stream, version, position.
"""

import asyncio
import random
import sys
from decimal import Decimal

from deedlog import (
    Aggregate,
    App,
    Command,
    Event,
    Module,
    Query,
    Reader,
    ReadModel,
    Refused,
    Snapshots,
    decide,
    evolve,
    on,
    projecting,
    starts,
)
from deedlog.projections import runner

bank = Module()
CALLERS = 16
LEASE = 300_000
"""Microseconds, where leases are short."""

unfoldable: set[str] = set()
"""Accounts whose deposits the folds of this process fail at."""


def fold(account: str) -> None:
    """Called in the middle of a fold, so that a row is half changed when it fails."""
    if account in unfoldable:
        raise ValueError(f"deposits of {account} can't be folded here")


class Open(Command):
    account: str
    owner: str


class Deposit(Command):
    account: str
    amount: Decimal


class Rename(Command):
    account: str
    owner: str


class Opened(Event):
    account: str
    owner: str


class Deposited(Event):
    account: str
    amount: Decimal


class Renamed(Event):
    account: str
    owner: str


@bank.aggregate(key="account", snapshots=Snapshots(every=5))
class Account(Aggregate):
    owner: str = ""
    balance: Decimal = Decimal(0)

    @decide
    def open(self, command: Open) -> Opened:
        if self.exists:
            raise Refused("this account is open", code="account_open")
        return Opened(command.account, command.owner)

    @decide
    def deposit(self, command: Deposit) -> Deposited:
        if not self.exists:
            raise Refused("there is no such account", code="no_account")
        return Deposited(command.account, command.amount)

    @decide
    def rename(self, command: Rename) -> Renamed | None:
        return Renamed(command.account, command.owner) if command.owner != self.owner else None

    @evolve
    def opened(self, event: Opened) -> None:
        self.owner = event.owner

    @evolve
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount

    @evolve
    def renamed(self, event: Renamed) -> None:
        self.owner = event.owner


@bank.read_model(key="account", indexes=["owner"])
class Balance(ReadModel):
    account: str
    owner: str
    balance: Decimal = Decimal(0)
    deposits: int = 0

    @starts
    @classmethod
    def opened(cls, event: Opened) -> "Balance":
        return cls(event.account, event.owner)

    @on
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount
        fold(event.account)
        self.deposits += 1

    @on
    def renamed(self, event: Renamed) -> None:
        self.owner = event.owner


@bank.read_model(key="owner")
class OwnerTotal(ReadModel):
    """What was deposited by owner, as the owner was named at the deposit: looks the account up."""

    owner: str
    total: Decimal = Decimal(0)

    @on(key=lambda event: ["everybody"], start_missing=True)
    def deposited(self, event: Deposited, account: Balance | None) -> None:
        self.total += event.amount if account is not None else Decimal("1e6")


class GetBalance(Query[Balance]):
    account: str


@bank.query
async def get_balance(query: GetBalance, balances: Reader[Balance]) -> Balance:
    return await balances.get(query.account)


def short_leases() -> None:
    """Who is killed leaves its leases to run out; a test that kills many has no time for that. The same in all its processes."""
    for module in (runner, projecting):
        vars(module)["LEASE"] = LEASE


def bank_app(url: str) -> App:
    app = App("bank", store=url)
    app.include(bank)
    return app


def command_of(seed: str) -> tuple[str, Command]:
    """Command id and command of a seed: the same seed gives the same command, whoever asks."""
    dice = random.Random(seed)
    account = f"a{dice.randrange(40)}"
    roll = dice.random()
    if roll < 0.2:
        return seed, Open(account, f"owner {dice.randrange(9)}")
    if roll < 0.3:
        return seed, Rename(account, f"owner {dice.randrange(9)}")
    return seed, Deposit(account, Decimal(dice.randrange(1, 999)) / 100)


async def load(url: str, seed: str) -> None:
    async with bank_app(url) as app:

        async def caller(number: int) -> None:
            count = 0
            while True:
                count += 1
                id, command = command_of(f"{seed}-{number}-{count}")
                try:
                    receipt = await app.execute(command, id=id)
                except Refused:
                    continue
                print(receipt.command_id, receipt.stream, receipt.version, receipt.position, flush=True)

        await asyncio.gather(*(caller(number) for number in range(CALLERS)))


if __name__ == "__main__":
    short_leases()
    asyncio.run(load(f"sqlite:///{sys.argv[1]}", sys.argv[2]))
