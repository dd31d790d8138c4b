"""What must be true of a file after each restart: read from the file itself, and compared with plain Python."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from deedlog import App, Refused
from tests.faults.bank import Account, Deposited, Opened, Renamed
from tests.torture.load import IMPORT, IMPORTED, imported_of
from tests.torture.plain import Stored, select
from tests.torture.service import SEATS, TINS, Claimed, Filled, GetContent, command_of, effect_of, income_of


class Ack(NamedTuple):
    """What a child said of a command."""

    stream: str
    version: int
    position: int
    events: int


Acks: TypeAlias = dict[str, Ack]


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
    if isinstance(found, dict) and isinstance(wanted, dict) and set(found) == set(wanted):
        return ", ".join(f"{key} {_first_difference(found[key], wanted[key])}" for key in found if found[key] != wanted[key])
    return f"{str(found)[:300]}, not {str(wanted)[:300]}"


def _cut(found: list[Any], wanted: list[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    both = min(len(found), len(wanted))
    return (*found[:both], *found[both : both + 1], "-")[: both + 1], (*wanted[:both], *wanted[both : both + 1], "-")[: both + 1]


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
        self.left: set[tuple[str, str, int]] = set()

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
        found.expect(
            f"positions of {id}", positions, list(range(ack.position - ack.events + 1, ack.position + 1)) if events else []
        )
        found.expect(f"events of {id}", len(events), ack.events)
        versions = [event.version for event in events if event.stream == ack.stream]
        found.expect(f"version of {id}", versions[-1:], [ack.version] if events else [])
    else:
        found.expect(f"time of {id}, which is forgotten", events[0].recorded_at < forgotten_before, True)
        found.expect(f"positions of {id}", positions, list(range(positions[0], positions[0] + len(events))))
    stored = [(event.stream, event.event) for event in events]
    found.expect(f"content of {id}", stored, effect_of(command_of(id)) if events else [])


def check_closings(path: Path, log: list[Stored], known: Known, found: Findings) -> None:
    """What was closed is closed, and no event came behind it."""
    closed = dict(select(path, "select stream, version from deedlog_closings"))
    found.expect("closings that were acknowledged", {stream: closed.get(stream) for stream in known.closed}, known.closed)
    heads = {event.stream: event.version for event in log}
    found.expect("versions of closed streams", {stream: heads.get(stream, 0) for stream in closed}, closed)


def check_sums(log: Sequence[Stored], found: Findings) -> None:
    """Money is what came in, wherever it is by now; nobody has less than nothing at any time, no name more than its seats."""
    inside: dict[str, Decimal] = {}
    seats: dict[str, int] = {}
    for stored in log:
        if isinstance(stored.event, Deposited | Filled):
            inside[stored.stream] = inside.get(stored.stream, Decimal(0)) + stored.event.amount
            found.expect(f"{stored.stream} at {stored.position} is not overdrawn", inside[stored.stream] >= 0, True)
        elif isinstance(stored.event, Claimed):
            name = stored.event.name
            seats[name] = seats.get(name, 0) + 1
    found.expect("names with more than their seats", [name for name, count in seats.items() if count > SEATS], [])
    came = (
        sum(event.amount for event in imported_of(id)) if id.startswith(IMPORT) else income_of(command_of(id))
        for id in {stored.cause for stored in log}
    )
    found.expect("all money", sum(inside.values()), sum(came))


async def check_states(app: App, path: Path, log: list[Stored], found: Findings) -> None:
    """A loaded state is what plain Python folds from the stream's events, from a snapshot or not; no snapshot is of no event."""
    states: dict[str, tuple[str, Decimal, int]] = {}
    for stored in log:
        owner, amount, _ = states.get(stored.stream, ("", Decimal(0), 0))
        event = stored.event
        owner = event.owner if isinstance(event, Opened | Renamed) else owner
        amount += event.amount if isinstance(event, Deposited | Filled) else 0
        states[stored.stream] = (owner, amount, stored.version)
    for stream, wanted in states.items():
        if stream.startswith("account-"):
            loaded = await app.load(Account, stream.removeprefix("account-"))
            found.expect(f"state of {stream}", (loaded.state.owner, loaded.state.balance, loaded.version), wanted)
    for tin in (f"t{number}" for number in range(TINS)):
        _, amount, version = states.get(f"tin-{tin}", ("", Decimal(0), 0))
        found.expect(f"content of tin {tin}, live", (await app.ask(GetContent(tin))).value, amount)
        if version:
            held = await app.load("tin", tin)
            found.expect(f"state of tin {tin}", (held.state, held.version), (amount, version))
    lost = "select stream from deedlog_states where event_id not in (select id from deedlog_events)"
    found.expect("snapshots of no event", select(path, lost), [])


async def check_receipts(app: App, acks: Mapping[str, Ack], found: Findings) -> None:
    """P4: sent again, the same receipt, and nothing is stored."""
    head = await app.running.store.head()
    for id, ack in acks.items():
        receipt = await app.execute(command_of(id), id=id)
        again = Ack(receipt.stream, receipt.version, receipt.position, len(receipt.events))
        found.expect(f"receipt of {id} sent again", again, ack)
    found.expect("head after sending again", await app.running.store.head(), head)


async def send(app: App, ids: Iterable[str]) -> Acks:
    """Sends commands of which nobody knows whether they were done."""
    acks: Acks = {}
    for id in ids:
        try:
            receipt = await app.execute(command_of(id), id=id)
        except Refused:
            continue
        acks[id] = Ack(receipt.stream, receipt.version, receipt.position, len(receipt.events))
    return acks
