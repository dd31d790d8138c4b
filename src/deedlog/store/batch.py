"""What one batch of appends does: pure, so that every adapter decides alike.

The adapter reads what `Found` names, inside its write transaction; `settle` answers each caller and says which rows to
insert. A conflict rejects one caller, not the batch.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from deedlog.errors import ConditionFailed, DeedlogError, DuplicateMessage, StreamClosed, WrongExpectedVersion
from deedlog.messages.envelope import NewEvent, RecordedEvent, from_micros
from deedlog.messages.streams import bucket_of, category_of
from deedlog.store.port import Appended, Matching, StoredCommand, StreamClosing, StreamWrite, Submission, Unless
from deedlog.types import Position, StreamName, Version

Outcome: TypeAlias = Appended | DeedlogError
EventRow: TypeAlias = tuple[int, str, int, str, int, str, int, str, str, int, str]


class Found(msgspec.Struct, gc=False):
    """What the log holds of what a batch asks about; what is not there is not in the mappings.

    `matched`: for each Matching of a condition, the newest position that matches, where it is behind the condition's `after`.
    """

    head: Position
    versions: Mapping[StreamName, Version]
    closed: Mapping[StreamName, StreamClosing] = {}
    tips: Mapping[StreamName, str] = {}
    done: Mapping[str, StoredCommand] = {}
    matched: Mapping[Matching, Position] = {}


class Settled:
    """The answers in the callers' order, and the rows that make them true."""

    def __init__(self, found: Found, accepted: "Accepted | None" = None) -> None:
        self.head = found.head
        self.versions = dict(found.versions)
        self.tips = dict(found.tips)
        self.done = dict(found.done)
        self.accepted = accepted
        self.outcomes: list[Outcome] = []
        self.events: list[EventRow] = []
        self.tags: list[tuple[str, int]] = []
        self.commands: list[StoredCommand] = []

    def recorded(self) -> list[RecordedEvent]:
        return [RecordedEvent(*row) for row in self.events]

    def add(self, stream: StreamName, events: Iterable[NewEvent], now: int) -> None:
        """The events at the end of the stream and of the log."""
        position, version = self.head, self.versions.get(stream, 0)
        category, bucket = category_of(stream), bucket_of(stream)
        rows = self.events
        for new in events:
            position += 1
            version += 1
            name, text, metadata = new.name, new.data, new.metadata
            rows.append((position, stream, version, category, bucket, name, new.name_version, text, metadata, now, new.id))
            for tag in new.tags:
                self.tags.append((tag, position))
            if self.accepted is not None:
                self.accepted.add(new, position)
        self.head, self.versions[stream] = position, version


class Accepted:
    """The events of the batch so far, to be found by tag and by name. Kept only where somebody sets a condition."""

    def __init__(self) -> None:
        self._by_tag: dict[str, list[tuple[Position, NewEvent]]] = {}
        self._by_name: dict[str, list[tuple[Position, NewEvent]]] = {}

    def add(self, new: NewEvent, position: Position) -> None:
        for tag in set(new.tags):
            self._by_tag.setdefault(tag, []).append((position, new))
        self._by_name.setdefault(new.name, []).append((position, new))

    def newest(self, matching: Matching) -> Position:
        """Of the event that matches; 0: none does."""
        if matching.tags:
            candidates = [self._by_tag.get(matching.tags[0], [])]
        else:
            candidates = [self._by_name.get(name, []) for name in matching.names]
        found = (
            next((position for position, new in reversed(some) if matching.accepts(new.name, new.tags)), 0) for some in candidates
        )
        return max(found, default=0)


class Asked(NamedTuple):
    """What `settle` needs to know of the log for a batch.

    `streams`: those whose versions and closings it needs; `tips`: those whose last event's id; `commands`: the ids to look for;
    `matching`: of what it needs the newest position that matches, where it is behind the position given, the lowest asked for.
    """

    streams: list[StreamName]
    tips: list[StreamName]
    commands: list[str]
    matching: dict[Matching, Position]


def asked_by(batch: Iterable[Submission]) -> Asked:
    """What a batch asks of the log, each thing once."""
    streams: dict[StreamName, bool] = {}
    commands: list[str] = []
    lowest: dict[Matching, Position] = {}
    for submission in batch:
        for write in submission.writes:
            streams[write.stream] = write.tip is not None or streams.get(write.stream, False)
        if submission.command is not None:
            commands.append(submission.command.id)
        for condition in submission.conditions:
            for matching in condition.matching:
                lowest[matching] = min(condition.after, lowest.get(matching, condition.after))
    return Asked(list(streams), [stream for stream, tip in streams.items() if tip], commands, lowest)


def settle(batch: Sequence[Submission], found: Found, now: int) -> Settled:
    """Accepts or rejects each submission in turn, on the state that those before it leave."""
    conditional = any(submission.conditions for submission in batch)
    settled = Settled(found, Accepted() if conditional else None)
    for submission in batch:
        settled.outcomes.append(_settle_one(submission, found, settled, now))
    return settled


def _settle_one(submission: Submission, found: Found, settled: Settled, now: int) -> Outcome:
    key = submission.command
    if key is not None and (earlier := settled.done.get(key.id)) is not None:
        return repeat(earlier, key.digest)
    for write in submission.writes:
        if (refusal := _refusal(write, found, settled)) is not None:
            return refusal
    accepted = settled.accepted
    if accepted is not None and (broken := _broken(submission.conditions, found, accepted)) is not None:
        return broken
    before = settled.head
    for write in submission.writes:
        if write.events:
            settled.add(write.stream, write.events, now)
            settled.tips[write.stream] = write.events[-1].id
    stream = submission.writes[0].stream if submission.writes else ""
    appended = Appended(stream, settled.versions.get(stream, 0), settled.head, settled.head - before)
    if key is not None:
        settled.done[key.id] = StoredCommand(key, appended)
        settled.commands.append(settled.done[key.id])
    return appended


def _refusal(write: StreamWrite, found: Found, settled: Settled) -> DeedlogError | None:
    stream, actual = write.stream, settled.versions.get(write.stream, 0)
    if found.closed and write.events and (closing := found.closed.get(stream)) is not None:
        return closed(closing)
    if not write.expected.allows(actual):
        return WrongExpectedVersion(stream, str(write.expected), actual)
    if write.tip is not None and settled.tips.get(stream) != write.tip:
        return WrongExpectedVersion(stream, f"{write.expected} with event {write.tip}", actual)
    return None


def _broken(conditions: Iterable[Unless], found: Found, accepted: Accepted) -> ConditionFailed | None:
    for condition in conditions:
        for matching in condition.matching:
            position = accepted.newest(matching) or found.matched.get(matching, 0)
            if position > condition.after:
                return ConditionFailed(str(matching), condition.after, position)
    return None


def closed(closing: StreamClosing) -> StreamClosed:
    """The refusal of events to a closed stream."""
    return StreamClosed(closing.stream, closing.by, closing.why, from_micros(closing.recorded_at))


def repeat(earlier: StoredCommand, digest: str) -> Outcome:
    """The stored answer of a command sent again (P4), or DuplicateMessage when its content differs."""
    if earlier.key.digest != digest:
        return DuplicateMessage(earlier.key.id)
    done = earlier.appended
    return Appended(done.stream, done.version, done.position, done.count, repeated=True)
