"""An aggregate whose events and refusals say on what they were decided, and what a log of them must look like."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from deedlog import Aggregate, Command, Event, Module, Receipt, Refused, decide, evolve
from deedlog.messages.codec import Codec
from deedlog.messages.envelope import RecordedEvent
from deedlog.messages.registry import Registry
from deedlog.types import Position

LIMIT = 40


class Add(Command):
    counter: str
    amount: int
    wish: str
    parts: int = 1


class Added(Event):
    """`count` and `total` are what its decision saw; `part` is its place in that decision. A stranger saw nothing: -1."""

    counter: str
    amount: int
    wish: str
    part: int = 0
    count: int = -1
    total: int = 0


counters = Module()


class Broken(Exception):
    """A decide method that fails, and what it saw."""


@counters.aggregate(key="counter")
class CounterOf(Aggregate):
    count: int = 0
    total: int = 0

    @decide
    def add(self, command: Add) -> list[Added]:
        if command.amount == 13:
            raise Broken(command.counter, self.count, self.total)
        if self.total + command.amount * command.parts > LIMIT:
            raise Refused("too much", counter=command.counter, count=self.count, total=self.total)
        return [
            Added(command.counter, command.amount, command.wish, part, self.count, self.total) for part in range(command.parts)
        ]

    @evolve
    def added(self, event: Added) -> None:
        self.count += 1
        self.total += event.amount


registry = Registry()
registry.add("event", Added)
codec = Codec(registry)


class Outcome(msgspec.Struct):
    """What one caller heard: a receipt, an error, or nothing, because it went away."""

    command: Add
    id: str | None
    receipt: Receipt | None = None
    error: BaseException | None = None


def check_log(log: Sequence[RecordedEvent]) -> None:
    """P2: contiguous. P3: each event was decided on the very state before its decision."""
    assert [event.position for event in log] == list(range(1, len(log) + 1))
    count: Counter[str] = Counter()
    total: Counter[str] = Counter()
    saw: dict[str, tuple[int, int]] = {}
    for recorded in log:
        event = codec.decode(recorded)
        stream = recorded.stream
        if event.part == 0:
            saw[stream] = count[stream], total[stream]
        if event.count >= 0:
            assert (event.count, event.total) == saw[stream], (recorded.position, event)
        count[stream] += 1
        total[stream] += event.amount
        assert recorded.version == count[stream]


def check_outcomes(log: Sequence[RecordedEvent], outcomes: Sequence[Outcome]) -> None:
    """P1: what was acknowledged is there, once and as the receipt says. A refusal was decided on a state that was stored."""
    events = [codec.decode(recorded) for recorded in log]
    parts = Counter(event.wish for event in events)
    states = {(f"counter_of-{event.counter}", event_state) for event, event_state in zip(events, _states(log), strict=True)}
    for outcome in outcomes:
        if outcome.receipt is not None:
            assert parts[outcome.command.wish] == outcome.command.parts, outcome
            check_receipt(log, events, outcome.receipt)
        match outcome.error:
            case Refused(data=data):
                _check_seen(states, data["counter"], data["count"], data["total"])
            case Broken(args=(counter, count, total)):
                _check_seen(states, counter, count, total)
    assert all(parts[o.command.wish] in (0, o.command.parts) for o in outcomes), "a command was stored twice, or in part"


def check_receipt(log: Sequence[RecordedEvent], events: Sequence[Any], receipt: Receipt) -> None:
    """The events that a receipt names are those of the log, at the place that it names."""
    last: Position = receipt.position
    if not receipt.events:
        return
    assert list(receipt.events) == events[last - len(receipt.events) : last]
    assert (log[last - 1].stream, log[last - 1].version) == (receipt.stream, receipt.version)


def _states(log: Sequence[RecordedEvent]) -> list[tuple[int, int]]:
    """Count and total of the event's stream after each event."""
    total: Counter[str] = Counter()
    states = []
    for recorded in log:
        total[recorded.stream] += codec.decode(recorded).amount
        states.append((recorded.version, total[recorded.stream]))
    return states


def _check_seen(states: set[tuple[str, tuple[int, int]]], counter: str, count: int, total: int) -> None:
    assert (count, total) == (0, 0) or (f"counter_of-{counter}", (count, total)) in states, "decided on what was never stored"
