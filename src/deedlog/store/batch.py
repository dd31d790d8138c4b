"""What one batch of appends does: pure, so that every adapter decides alike.

The adapter reads the head, the versions of the streams concerned and the commands already done, inside its write
transaction; `settle` answers each caller and says which rows to insert. A conflict rejects one caller, not the batch.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from deedlog.errors import DeedlogError, DuplicateMessage, WrongExpectedVersion
from deedlog.messages.envelope import RecordedEvent
from deedlog.messages.streams import bucket_of, category_of
from deedlog.store.port import Appended, StoredCommand, StreamWrite, Submission
from deedlog.types import Position, StreamName, Version

Outcome: TypeAlias = Appended | DeedlogError
EventRow: TypeAlias = tuple[int, str, int, str, int, str, int, str, str, int, str]


class Settled:
    """The answers in the callers' order, and the rows that make them true."""

    def __init__(self, head: Position, tips: Mapping[StreamName, str]) -> None:
        self.head = head
        self.tips = dict(tips)
        self.outcomes: list[Outcome] = []
        self.events: list[EventRow] = []
        self.tags: list[tuple[str, int]] = []
        self.commands: list[StoredCommand] = []

    def recorded(self) -> list[RecordedEvent]:
        return [RecordedEvent(*row) for row in self.events]


def streams_of(batch: Iterable[Submission]) -> list[StreamName]:
    """The streams whose versions `settle` needs."""
    return list({write.stream for submission in batch for write in submission.writes})


def tips_of(batch: Iterable[Submission]) -> list[StreamName]:
    """The streams of which `settle` needs the id of the last event."""
    return list({write.stream for submission in batch for write in submission.writes if write.tip is not None})


def command_ids_of(batch: Iterable[Submission]) -> list[str]:
    """The command ids that `settle` needs to look for."""
    return [submission.command.id for submission in batch if submission.command is not None]


def settle(
    batch: Sequence[Submission],
    head: Position,
    versions: Mapping[StreamName, Version],
    tips: Mapping[StreamName, str],
    done: Mapping[str, StoredCommand],
    now: int,
) -> Settled:
    """Accepts or rejects each submission in turn, on the state that those before it leave."""
    settled = Settled(head, tips)
    at = dict(versions)
    answered = dict(done)
    for submission in batch:
        settled.outcomes.append(_settle_one(submission, settled, at, answered, now))
    return settled


def _settle_one(
    submission: Submission,
    settled: Settled,
    at: dict[StreamName, Version],
    answered: dict[str, StoredCommand],
    now: int,
) -> Outcome:
    key = submission.command
    if key is not None and (earlier := answered.get(key.id)) is not None:
        return repeat(earlier, key.digest)
    for write in submission.writes:
        actual = at.get(write.stream, 0)
        if not write.expected.allows(actual):
            return WrongExpectedVersion(write.stream, str(write.expected), actual)
        if write.tip is not None and settled.tips.get(write.stream) != write.tip:
            return WrongExpectedVersion(write.stream, f"{write.expected} with event {write.tip}", actual)
    before = settled.head
    for write in submission.writes:
        _number(write, settled, at, now)
    stream = submission.writes[0].stream if submission.writes else ""
    appended = Appended(stream, at.get(stream, 0), settled.head, settled.head - before)
    if key is not None:
        answered[key.id] = StoredCommand(key, appended)
        settled.commands.append(answered[key.id])
    return appended


def _number(write: StreamWrite, settled: Settled, at: dict[StreamName, Version], now: int) -> None:
    stream = write.stream
    position, version = settled.head, at.get(stream, 0)
    category, bucket = category_of(stream), bucket_of(stream)
    for new in write.events:
        position += 1
        version += 1
        settled.events.append(
            (
                position,
                stream,
                version,
                category,
                bucket,
                new.name,
                new.name_version,
                new.data,
                new.metadata,
                now,
                new.id,
            )
        )
        for tag in new.tags:
            settled.tags.append((tag, position))
    settled.head, at[stream] = position, version
    if write.events:
        settled.tips[stream] = write.events[-1].id


def repeat(earlier: StoredCommand, digest: str) -> Outcome:
    """The stored answer of a command sent again (P4), or DuplicateMessage when its content differs."""
    if earlier.key.digest != digest:
        return DuplicateMessage(earlier.key.id)
    done = earlier.appended
    return Appended(done.stream, done.version, done.position, done.count, repeated=True)
