"""The auditor: whether a projection consumed exactly the events of the log, each once, in order (ADR 0010).

Each checkpoint carries a rolling hash of the ids of the events behind it. Computed again from the log it must be the same.
"""

import asyncio
from collections.abc import Sequence
from zlib import crc32

import msgspec

from deedlog.messages.envelope import RecordedEvent
from deedlog.reads.port import ReadStore
from deedlog.reads.values import Changes, Checkpoint, Projected
from deedlog.store.port import EventStore
from deedlog.types import Position

PAGE = 5_000


def rolled(digest: int, events: Sequence[RecordedEvent]) -> int:
    """The rolling hash after these events: CRC-32 over their ids, the same in pages of any size."""
    return crc32("".join([event.id for event in events]).encode(), digest)


def moved(before: Checkpoint, events: Sequence[RecordedEvent], changes: Changes) -> Checkpoint:
    """The checkpoint after these events, which follow it."""
    return msgspec.structs.replace(
        before,
        position=events[-1].position,
        events=before.events + len(events),
        digest=rolled(before.digest, events),
        updated_at=events[-1].recorded_at,
        revision=before.revision + 1 if changes.letters else before.revision,
    )


class Alert(msgspec.Struct, frozen=True):
    """A projection consumed something else than the log: after position `after`, and at or before `until`."""

    projection: str
    after: Position
    until: Position
    problem: str

    def __str__(self) -> str:
        return f"{self.projection}, after {self.after} and up to {self.until}: {self.problem}"


async def audit(
    projected: Projected, checkpoint: Checkpoint, store: EventStore, reads: ReadStore | None = None, *, whole: bool = False
) -> Alert | None:
    """Compares a checkpoint with the log, from where the auditor agreed last (or from the start); None: they agree.

    With `reads` it keeps how far it came.
    """
    name, until = projected.name, checkpoint.position
    after, digest = (0, 0) if whole else (checkpoint.audited, checkpoint.audited_digest)
    if checkpoint.events != until:
        count = f"{checkpoint.events} events were consumed up to position {until}"
        return Alert(name, after, until, f"{count}: some were {'skipped' if checkpoint.events < until else 'taken twice'}")
    position = after
    while position < until:
        page = await store.read_all(position, min(PAGE, until - position))
        if not page:
            return Alert(name, position, until, f"the log ends at {position}, the projection is further")
        digest = rolled(digest, page)
        position = page[-1].position
        await asyncio.sleep(0)
    if digest != checkpoint.digest:
        return Alert(name, after, until, "the events that were consumed are not those in the log")
    if reads is not None and until > checkpoint.audited:
        await reads.audited(projected, checkpoint, until, digest)
    return None
