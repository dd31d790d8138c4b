"""A small ledger for the checkpoint contract: rows found by key and by column, looked up, started, ended, fed by many streams.

`expected` says in plain Python what its rows must be, with nothing of deedlog's folding.
"""

import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from deedlog.definition import Definition
from deedlog.messages.base import Event
from deedlog.messages.codec import Codec
from deedlog.module import Module
from deedlog.projections.declare import ends, on, starts
from deedlog.reads.model import ReadModel
from deedlog.store.port import EventStore, StreamWrite
from deedlog.types import Any as AnyVersion

ledger = Module()
broken: set[str] = set()
"""Accounts whose deposits the handler can't fold at the moment."""

TOO_MUCH = 2**63 - 1
"""A deposit of this makes a number that no 64-bit column holds."""


class Opened(Event):
    account: str
    owner: str | None


class Deposited(Event):
    account: str
    amount: int


class OwnerNamed(Event):
    owner: str | None
    name: str


class Moved(Event):
    account: str
    owner: str | None


class Closed(Event):
    account: str


@ledger.read_model(key="owner")
class Owner(ReadModel):
    owner: str
    name: str = ""
    renamed: int = 0

    @on(key=lambda event: [] if event.owner is None else [event.owner], start_missing=True)
    def named(self, event: OwnerNamed) -> None:
        self.name = event.name
        self.renamed += 1


@ledger.read_model(key="account", indexes=["owner"])
class Account(ReadModel):
    account: str
    owner: str | None
    owner_name: str = ""
    balance: int = 0
    history: list[str] = msgspec.field(default_factory=list)

    @starts
    @classmethod
    def opened(cls, event: Opened, owner: Owner | None) -> "Account":
        return cls(event.account, event.owner, owner.name if owner is not None else "")

    @on
    def deposited(self, event: Deposited) -> None:
        if event.account in broken:
            raise ZeroDivisionError(f"the ledger of {event.account} is broken")
        self.balance += event.amount
        self.history.append(f"+{event.amount}")

    @on
    def moved(self, event: Moved) -> None:
        self.owner = event.owner

    @on(where="owner")
    def renamed(self, event: OwnerNamed) -> None:
        self.owner_name = event.name
        self.history.append(event.name)

    @ends
    def closed(self, event: Closed) -> None: ...


@ledger.read_model(key="account")
class Statement(ReadModel):
    """What a deposit was at its time: the account's owner as it was then."""

    account: str
    lines: list[str] = msgspec.field(default_factory=list)

    @on(start_missing=True)
    def deposited(self, event: Deposited, account: Account | None) -> None:
        owner = account.owner if account is not None else "nobody"
        self.lines.append(f"{owner}: {event.amount}")


@ledger.read_model(key="kind")
class Totals(ReadModel):
    kind: str
    deposits: int = 0
    amount: Decimal = Decimal(0)

    @on(key=lambda event: ["all", event.account[0]], start_missing=True)
    def deposited(self, event: Deposited) -> None:
        self.deposits += 1
        self.amount += Decimal(event.amount)


definition = Definition(ledger, {})
codec = Codec(definition.registry)
together, totals = definition.projections
"""Owners, accounts and statements share a checkpoint, for each looks the one before up; totals have their own."""


def expected(events: Sequence[Any]) -> dict[str, list[Any]]:
    """The rows after `events`, by read model, in the order of their keys."""
    owners: dict[str | None, Owner] = {}
    accounts: dict[str, Account] = {}
    statements: dict[str, Statement] = {}
    sums: dict[str, Totals] = {}
    for event in events:
        match event:
            case Opened(account=account, owner=owner):
                accounts[account] = Account(account, owner, owners[owner].name if owner in owners else "")
            case Deposited(account=account, amount=amount):
                found = accounts.get(account)
                if found is not None:
                    found.balance += amount
                    found.history.append(f"+{amount}")
                lines = statements.setdefault(account, Statement(account)).lines
                lines.append(f"{'nobody' if found is None else found.owner}: {amount}")
                for kind in ("all", account[0]):
                    row = sums.setdefault(kind, Totals(kind))
                    row.deposits += 1
                    row.amount += amount
            case OwnerNamed(owner=str(owner), name=name):
                row_of_owner = owners.setdefault(owner, Owner(owner))
                row_of_owner.name = name
                row_of_owner.renamed += 1
                for one in accounts.values():
                    if one.owner == owner:
                        one.owner_name = name
                        one.history.append(name)
            case Moved(account=account, owner=owner) if account in accounts:
                accounts[account].owner = owner
            case Closed(account=account):
                accounts.pop(account, None)
    tables: dict[str, dict[Any, Any]] = {"Owner": owners, "Account": accounts, "Statement": statements, "Totals": sums}
    return {name: [table[key] for key in sorted(table)] for name, table in tables.items()}


def history(length: int, seed: int) -> list[Any]:
    """Events that concern few rows, each many times."""
    chance = random.Random(seed)
    accounts = [f"{kind}{number}" for kind in "ab" for number in range(3)]
    owners: list[str | None] = ["ann", "bob", None]

    def one() -> Any:
        account, owner = chance.choice(accounts), chance.choice(owners)
        kind = chance.random()
        if kind < 0.15:
            return Opened(account, owner)
        if kind < 0.65:
            return Deposited(account, chance.randint(-5, 100))
        if kind < 0.8:
            return OwnerNamed(owner, chance.choice(["Ann", "Bob", "Cem"]))
        return Moved(account, owner) if kind < 0.92 else Closed(account)

    return [one() for _ in range(length)]


async def record(store: EventStore, *events: Any) -> None:
    """Appends events, all to streams of their accounts or owners, in one batch."""
    writes = [
        StreamWrite(f"ledger-{getattr(event, 'account', 'owner')}", (codec.new_event(event, "{}"),), AnyVersion())
        for event in events
    ]
    await store.append(tuple(writes))
