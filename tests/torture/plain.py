"""The read models in plain Python: what the tables must hold, and what they do."""

import json
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from tests.faults.bank import Deposited, Opened, Renamed
from tests.torture.service import Claimed, Filled

EVENTS = {kind.__name__: kind for kind in (Opened, Deposited, Renamed, Filled, Claimed)}
Rows: TypeAlias = dict[str, list[Any]]
"""By the name of a read model or function: its rows, by key, with the position and time of their last change."""
Place: TypeAlias = tuple[str, str]
Left: TypeAlias = Collection[tuple[str, str, int]]
"""Events that somebody decided to leave out of a row: name, key, position."""


class Stored(NamedTuple):
    position: int
    stream: str
    version: int
    event: Any
    cause: str
    recorded_at: int


def select(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def log_of(path: Path) -> list[Stored]:
    rows = select(
        path, "select position, stream, version, name, data, metadata, recorded_at from deedlog_events order by position"
    )
    return [
        Stored(position, stream, version, _event(EVENTS[name], data), json.loads(metadata)["causation_id"], at)
        for position, stream, version, name, data, metadata, at in rows
    ]


def _event(kind: type[Any], data: str) -> Any:
    fields = json.loads(data)
    if "amount" in fields:
        fields["amount"] = Decimal(fields["amount"])
    return kind(**fields)


class Plain:
    """All read models of a log, folded one event after the other."""

    def __init__(self, left: Left) -> None:
        self._left = left
        self.balances: dict[str, list[Any]] = {}
        self.totals: dict[str, list[Any]] = {}
        self.ledgers: dict[str, list[Any]] = {}
        self.journal: list[tuple[int, str, Decimal]] = []

    def fold(self, stored: Stored) -> None:
        last = [stored.position, stored.recorded_at]
        match stored.event:
            case Opened(account=account, owner=owner) if self._gets("Balance", account, stored):
                self.balances[account] = [account, owner, Decimal(0), 0, *last]
            case Renamed(account=account, owner=owner) if self._gets("Balance", account, stored):
                if row := self.balances.get(account):  # none: renamed before it was opened, which the bank allows
                    row[1], row[4:] = owner, last
            case Deposited(account=account, amount=amount):
                self._deposited(account, amount, stored, last)
            case _:
                pass

    def _deposited(self, account: str, amount: Decimal, stored: Stored, last: list[int]) -> None:
        row = self.balances.get(account)
        if row and self._gets("Balance", account, stored):
            row[2:] = [row[2] + amount, row[3] + 1, *last]
        if self._gets("OwnerTotal", "everybody", stored):
            total = self.totals.setdefault("everybody", ["everybody", Decimal(0), 0, 0])
            total[1:] = [total[1] + (amount if row else Decimal("1e6")), *last]
        if self._gets("Ledger", account, stored):
            ledger = self.ledgers.setdefault(account, [account, Decimal(0), 0, 0, 0])
            ledger[1:] = [ledger[1] + amount, ledger[2] + 1, *last]
        if self._gets("journal", account, stored):
            self.journal.append((stored.position, account, amount))

    def _gets(self, name: str, key: str, stored: Stored) -> bool:
        return (name, key, stored.position) not in self._left

    @property
    def rows(self) -> Rows:
        by_key = {"Balance": self.balances, "OwnerTotal": self.totals, "Ledger": self.ledgers}
        rows = {name: [tuple(found[key]) for key in sorted(found)] for name, found in by_key.items()}
        return {**rows, "journal": list(self.journal)}


def rows_by_model(log: Sequence[Stored], left: Left = ()) -> Rows:
    """What `rows_of` must find."""
    plain = Plain(left)
    for stored in log:
        plain.fold(stored)
    return plain.rows


def rows_of(path: Path) -> Rows:
    """The rows of the live read models, and the lines of the journal."""
    balances = select(path, "select account, owner, balance, deposits, _position, _updated_at from balance order by account")
    totals = select(path, "select owner, total, _position, _updated_at from owner_total")
    ledgers = select(path, "select account, moved, moves, _position, _updated_at from ledger order by account")
    lines = select(path, "select position, account, amount from journal order by position")
    return {
        "Balance": [(account, owner, Decimal(balance), *rest) for account, owner, balance, *rest in balances],
        "OwnerTotal": [(owner, Decimal(total), *rest) for owner, total, *rest in totals],
        "Ledger": [(account, Decimal(moved), *rest) for account, moved, *rest in ledgers],
        "journal": [(position, account, Decimal(amount)) for position, account, amount in lines],
    }


def without(rows: Sequence[Any], name: str, parked: Collection[Place]) -> list[Any]:
    """Rows (or lines) whose key is not parked."""
    column = 1 if name == "journal" else 0
    return [row for row in rows if (name, row[column]) not in parked]
