"""What must be true of a file after each restart: read from the file itself, and compared with plain Python."""

import json
import random
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from deedlog import App, Refused
from tests.faults.bank import Account, Deposit, Deposited, Open, Opened, Rename, Renamed, command_of
from tests.torture.load import IMPORT, IMPORTED, imported_of

OLDER = 30
"""So many acknowledged commands of earlier rounds are sent again after each restart, besides those of the last."""


class Ack(NamedTuple):
    """What a child said of a command."""

    stream: str
    version: int
    position: int
    events: int


Acks: TypeAlias = dict[str, Ack]


class Stored(NamedTuple):
    position: int
    stream: str
    version: int
    event: Any
    cause: str
    recorded_at: int


class Findings:
    """What was looked at and what was wrong, of one restart."""

    def __init__(self) -> None:
        self.checks = 0
        self.wrong: list[str] = []

    def expect(self, what: str, found: Any, wanted: Any) -> None:
        self.checks += 1
        if found != wanted:
            self.wrong.append(f"{what}: {_first_difference(found, wanted)}")


def _first_difference(found: Any, wanted: Any) -> str:
    """Of lists in lists, the first element that is not as it should be."""
    if isinstance(found, list | tuple) and isinstance(wanted, list | tuple) and len(found) == len(wanted):
        for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
            if one != other:
                return (
                    f"[{number}] {_first_difference(one, other)}" if isinstance(one, list) else f"[{number}] {one}, not {other}"
                )
    if isinstance(found, list) and isinstance(wanted, list):
        return f"{len(found)} of them, not {len(wanted)}; the first that differ {_first_difference(*_cut(found, wanted))}"
    return f"{str(found)[:300]}, not {str(wanted)[:300]}"


def _cut(found: list[Any], wanted: list[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    both = min(len(found), len(wanted))
    return (*found[:both], *found[both : both + 1], "-")[: both + 1], (*wanted[:both], *wanted[both : both + 1], "-")[: both + 1]


def select(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def log_of(path: Path) -> list[Stored]:
    rows = select(
        path, "select position, stream, version, name, data, metadata, recorded_at from deedlog_events order by position"
    )
    kinds = {kind.__name__: kind for kind in (Opened, Deposited, Renamed)}
    return [
        Stored(position, stream, version, _event(kinds[name], data), json.loads(metadata)["causation_id"], at)
        for position, stream, version, name, data, metadata, at in rows
    ]


def _event(kind: type[Any], data: str) -> Any:
    fields = json.loads(data)
    if "amount" in fields:
        fields["amount"] = Decimal(fields["amount"])
    return kind(**fields)


def check_order(log: list[Stored], found: Findings) -> None:
    """P2: no hole, no event twice, each stream counts by one."""
    found.expect("positions", [event.position for event in log], list(range(1, len(log) + 1)))
    heads: dict[str, int] = {}
    for event in log:
        found.expect(f"version of {event.stream} at {event.position}", event.version, heads.get(event.stream, 0) + 1)
        heads[event.stream] = event.version


class Known:
    """What the children of a file have said so far, and what is allowed to be gone."""

    def __init__(self) -> None:
        self.acks: Acks = {}
        self.imports: Acks = {}
        self.closed: dict[str, int] = {}
        self.times: dict[str, int] = {}
        self.forget_before = 0

    def forget(self, stored: Acks, found: Findings) -> None:
        """Commands that are gone were recorded before the time that the children forget by, and seen then."""
        gone = [id for id in self.acks if id not in stored]
        found.expect(
            "gone, and not told to", [id for id in gone if self.times.get(id, self.forget_before) >= self.forget_before], []
        )
        for id in gone:
            del self.acks[id]


def commands_of(path: Path) -> tuple[Acks, dict[str, int]]:
    """The stored commands, and when they were stored."""
    rows = select(path, "select id, stream, version, position, count, recorded_at from deedlog_commands")
    return {id: Ack(*row) for id, *row, _ in rows}, {row[0]: row[-1] for row in rows}


def check_commands(stored: Acks, log: list[Stored], known: Known, found: Findings) -> None:
    """P1, P4: what was acknowledged is there as it was acknowledged, once, and nothing is there that nobody asked for."""
    for id, ack in known.acks.items():
        found.expect(f"stored command {id}", stored.get(id), ack)
    by_cause: dict[str, list[Stored]] = {}
    for event in log:
        by_cause.setdefault(event.cause, []).append(event)
    for id, ack in known.imports.items():
        found.expect(
            f"last event of {id}", [tuple(event[:3]) for event in by_cause[id][-1:]], [(ack.position, ack.stream, ack.version)]
        )
    for id in {*by_cause, *stored}:
        check_effect(id, by_cause.get(id, []), stored.get(id), known.forget_before, found)


def check_effect(id: str, events: list[Stored], ack: Ack | None, forgotten_before: int, found: Findings) -> None:
    """All that a command or import has stored, and only that, side by side in the log."""
    positions = [event.position for event in events]
    if id.startswith(IMPORT):
        last = positions[-1]
        found.expect(f"positions of {id}", positions, list(range(last - IMPORTED + 1, last + 1)))
        found.expect(f"content of {id}", [event.event for event in events], imported_of(id))
        return
    if ack is not None:
        places = [(event.stream, event.version, event.position) for event in events]
        wanted = [(ack.stream, ack.version - n, ack.position - n) for n in reversed(range(ack.events))]
        found.expect(f"events of {id}", places, wanted)
    else:
        found.expect(f"time of {id}, which is forgotten", events[0].recorded_at < forgotten_before, True)
    found.expect(f"content of {id}", [event.event for event in events], [event_of(command_of(id)[1])] * len(events))


def check_closings(path: Path, log: list[Stored], known: Known, found: Findings) -> None:
    """What was closed is closed, and no event came behind it."""
    closed = dict(select(path, "select stream, version from deedlog_closings"))
    found.expect("closings that were acknowledged", {stream: closed.get(stream) for stream in known.closed}, known.closed)
    heads = {event.stream: event.version for event in log}
    found.expect("versions of closed streams", {stream: heads.get(stream, 0) for stream in closed}, closed)


async def check_states(app: App, path: Path, log: list[Stored], found: Findings) -> None:
    """A loaded state is what plain Python folds from the stream's events, from a snapshot or not; no snapshot is of no event."""
    states: dict[str, tuple[str, Decimal, int]] = {}
    for stored in log:
        owner, balance, _ = states.get(stored.stream, ("", Decimal(0), 0))
        event = stored.event
        owner = owner if isinstance(event, Deposited) else event.owner
        balance += event.amount if isinstance(event, Deposited) else 0
        states[stored.stream] = (owner, balance, stored.version)
    for stream, wanted in states.items():
        if stream.startswith("account-"):
            loaded = await app.load(Account, stream.removeprefix("account-"))
            found.expect(f"state of {stream}", (loaded.state.owner, loaded.state.balance, loaded.version), wanted)
    lost = "select stream from deedlog_states where event_id not in (select id from deedlog_events)"
    found.expect("snapshots of no event", select(path, lost), [])


def event_of(command: Any) -> Any:
    match command:
        case Open(account=account, owner=owner):
            return Opened(account, owner)
        case Deposit(account=account, amount=amount):
            return Deposited(account, amount)
        case Rename(account=account, owner=owner):
            return Renamed(account, owner)
        case _:
            raise AssertionError(f"no event of {command}")


def rows_by_model(log: list[Stored]) -> tuple[list[Any], list[Any]]:
    """The read models, folded in plain Python: what `rows_of` must find."""
    balances: dict[str, list[Any]] = {}
    total: list[Any] = ["everybody", Decimal(0), 0, 0]
    for stored in log:
        last = [stored.position, stored.recorded_at]
        row = balances.get(stored.event.account)  # none: renamed before it was opened, which the bank allows
        match stored.event:
            case Opened(account=account, owner=owner):
                balances[account] = [account, owner, Decimal(0), 0, *last]
            case Deposited(amount=amount):
                total[1:] = [total[1] + (amount if row else Decimal("1e6")), *last]
                if row:
                    row[2:] = [row[2] + amount, row[3] + 1, *last]
            case Renamed(owner=owner):
                if row:
                    row[1], row[4:] = owner, last
            case _:
                raise AssertionError(stored)
    return [tuple(balances[account]) for account in sorted(balances)], [tuple(total)] if total[2] else []


def rows_of(path: Path) -> tuple[list[Any], list[Any]]:
    """The rows of the live read models, with the position and time of their last change."""
    balances = select(path, "select account, owner, balance, deposits, _position, _updated_at from balance order by account")
    totals = select(path, "select owner, total, _position, _updated_at from owner_total")
    return (
        [(account, owner, Decimal(balance), *rest) for account, owner, balance, *rest in balances],
        [(owner, Decimal(total), *rest) for owner, total, *rest in totals],
    )


async def check_receipts(app: App, acks: Mapping[str, Ack], found: Findings) -> None:
    """P4: sent again, the same receipt, and nothing is stored."""
    head = await app.running.store.head()
    for id, ack in acks.items():
        receipt = await app.execute(command_of(id)[1], id=id)
        again = Ack(receipt.stream, receipt.version, receipt.position, len(receipt.events))
        found.expect(f"receipt of {id} sent again", again, ack)
    found.expect("head after sending again", await app.running.store.head(), head)


async def send(app: App, ids: Iterable[str]) -> Acks:
    """Sends commands of which nobody knows whether they were done."""
    acks: Acks = {}
    for id in ids:
        try:
            receipt = await app.execute(command_of(id)[1], id=id)
        except Refused:
            continue
        acks[id] = Ack(receipt.stream, receipt.version, receipt.position, len(receipt.events))
    return acks


async def check_read_models(app: App, path: Path, log: list[Stored], found: Findings) -> None:
    """P5, P6: the live rows are those of the plain model, and those of a rebuild; the auditor's count is right."""
    await app.catch_up()
    live = rows_of(path)
    found.expect("rows of the live read models", live, rows_by_model(log))
    for name, runner in app.running.runners.items():
        checkpoint = await app.running.reads.current(runner.projection.projected)
        counted = (checkpoint.position, checkpoint.events) if checkpoint else None
        found.expect(f"checkpoint of {name}", counted, (len(log), len(log)))
        await app.rebuild(name)
    found.expect("rows after a rebuild", rows_of(path), live)


async def check_file(app: App, path: Path, last: Acks, known: Known, unknown: Iterable[str], dice: random.Random) -> Findings:
    """All of the above, on a running app. `known` gets those that were unknown and are acknowledged now."""
    found = Findings()
    await check_states(app, path, log_of(path), found)
    known.forget(commands_of(path)[0], found)
    older = dice.sample(sorted(known.acks), min(OLDER, len(known.acks)))
    await check_receipts(app, last | {id: known.acks[id] for id in older}, found)
    known.acks |= last | await send(app, unknown)
    log = log_of(path)
    stored, known.times = commands_of(path)
    check_order(log, found)
    check_commands(stored, log, known, found)
    check_closings(path, log, known, found)
    await check_read_models(app, path, log, found)
    found.expect("SQLite's own check", select(path, "pragma quick_check"), [("ok",)])
    return found
