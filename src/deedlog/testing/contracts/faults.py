"""Stores that page small or crash on the way, around any other."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, TypeAlias

import msgspec

from deedlog.messages.envelope import RecordedEvent
from deedlog.reads.port import ReadStore, Snapshot, Within, Work
from deedlog.reads.values import Changes, Checkpoint, Comparison, Letter, Parked, Place, Projected, Skip, Stored, Wanted
from deedlog.store.port import (
    ANY,
    PAGE,
    Appended,
    CommandKey,
    EventStore,
    ImportedEvent,
    Matching,
    StoredCommand,
    StoredState,
    StreamClosing,
    StreamSummary,
    StreamWrite,
    Unless,
)
from deedlog.types import ExpectedVersion, Position, StreamName, Version

Moment: TypeAlias = Literal["before the write", "between rows and checkpoint", "after the write"]
MOMENTS: tuple[Moment, ...] = ("before the write", "between rows and checkpoint", "after the write")


class Crash(BaseException):
    """The process is gone: no handler catches it."""


class SmallPages(EventStore):
    """Reads at most `size` events of the log at once, whatever is asked for."""

    def __init__(self, inner: EventStore, size: int) -> None:
        self.id = inner.id
        self._inner = inner
        self._size = size

    async def open(self) -> None:
        await self._inner.open()

    async def close(self) -> None:
        await self._inner.close()

    async def append(
        self, writes: Sequence[StreamWrite], command: CommandKey | None = None, conditions: Sequence[Unless] = ()
    ) -> Appended:
        return await self._inner.append(writes, command, conditions)

    async def import_events(self, events: Sequence[ImportedEvent], *, expected_head: Position | None = None) -> Appended:
        return await self._inner.import_events(events, expected_head=expected_head)

    async def close_stream(self, stream: StreamName, expected: ExpectedVersion = ANY, *, by: str, why: str) -> StreamClosing:
        return await self._inner.close_stream(stream, expected, by=by, why=why)

    async def closing(self, stream: StreamName) -> StreamClosing | None:
        return await self._inner.closing(stream)

    async def read_stream(self, stream: StreamName, after: Version = 0, limit: int = PAGE) -> Sequence[RecordedEvent]:
        return await self._inner.read_stream(stream, after, limit)

    async def read_all(
        self,
        after: Position = 0,
        limit: int = PAGE,
        *,
        categories: Collection[str] = (),
        names: Collection[str] = (),
    ) -> Sequence[RecordedEvent]:
        return await self._inner.read_all(after, min(limit, self._size), categories=categories, names=names)

    async def read_matching(
        self, matching: Sequence[Matching], after: Position = 0, limit: int = PAGE
    ) -> Sequence[RecordedEvent]:
        return await self._inner.read_matching(matching, after, min(limit, self._size))

    async def head(self) -> Position:
        return await self._inner.head()

    async def position_at(self, time_micros: int) -> Position:
        return await self._inner.position_at(time_micros)

    async def version_at(self, stream: StreamName, position: Position) -> Version:
        return await self._inner.version_at(stream, position)

    async def command(self, command_id: str) -> StoredCommand | None:
        return await self._inner.command(command_id)

    async def forget_commands(self, before: int, limit: int = 1_000) -> int:
        return await self._inner.forget_commands(before, limit)

    async def state(self, stream: StreamName) -> StoredState | None:
        return await self._inner.state(stream)

    async def save_state(self, state: StoredState) -> None:
        await self._inner.save_state(state)

    async def drop_states(self, stream: StreamName | None = None) -> int:
        return await self._inner.drop_states(stream)

    async def streams(self, prefix: str = "", after: str = "", limit: int = PAGE) -> Sequence[StreamSummary]:
        return await self._inner.streams(prefix, after, limit)

    async def wait(self, after: Position, timeout: float) -> None:
        await self._inner.wait(after, timeout)


class Unreadable(SmallPages):
    """One event of the log has data that no class fits."""

    def __init__(self, inner: EventStore, position: Position) -> None:
        super().__init__(inner, PAGE)
        self._position = position

    async def read_all(
        self,
        after: Position = 0,
        limit: int = PAGE,
        *,
        categories: Collection[str] = (),
        names: Collection[str] = (),
    ) -> Sequence[RecordedEvent]:
        page = await super().read_all(after, limit, categories=categories, names=names)
        return [msgspec.structs.replace(e, data="no JSON") if e.position == self._position else e for e in page]


class CrashingReads(ReadStore):
    """Crashes once, at the `number`-th write. Between rows and checkpoint is what a store without transactions can do."""

    def __init__(self, inner: ReadStore, moment: Moment, number: int) -> None:
        self._inner = inner
        self._moment = moment
        self._left = number

    async def open(self) -> None:
        await self._inner.open()

    async def close(self) -> None:
        await self._inner.close()

    async def prepare(self, projected: Projected, head: Position) -> Checkpoint:
        return await self._inner.prepare(projected, head)

    async def current(self, projected: Projected) -> Checkpoint | None:
        return await self._inner.current(projected)

    async def generations(self, name: str) -> list[Checkpoint]:
        return await self._inner.generations(name)

    async def load(self, projected: Projected, checkpoint: Checkpoint, wanted: Wanted) -> dict[str, list[Stored]]:
        return await self._inner.load(projected, checkpoint, wanted)

    async def write(self, projected: Projected, changes: Changes, before: Checkpoint, after: Checkpoint) -> None:
        self._left -= 1
        if self._left != 0:
            return await self._inner.write(projected, changes, before, after)
        if self._moment == "between rows and checkpoint":
            await self._inner.write(projected, changes, before, before)
        elif self._moment == "after the write":
            await self._inner.write(projected, changes, before, after)
        raise Crash

    async def transact(self, projected: Projected, before: Checkpoint, work: Work) -> Checkpoint:
        return await self._inner.transact(projected, before, work)

    async def restart(self, projected: Projected, head: Position, statements: Sequence[str]) -> Checkpoint:
        return await self._inner.restart(projected, head, statements)

    def within(self, transaction: object) -> Within:
        return self._inner.within(transaction)

    async def begin_rebuild(self, projected: Projected) -> Checkpoint:
        return await self._inner.begin_rebuild(projected)

    async def switch(self, projected: Projected, built: Checkpoint) -> Checkpoint:
        return await self._inner.switch(projected, built)

    async def go_live(self, projected: Projected, checkpoint: Checkpoint) -> Checkpoint:
        return await self._inner.go_live(projected, checkpoint)

    async def rollback(self, name: str) -> Checkpoint:
        return await self._inner.rollback(name)

    async def reinstate(self, name: str) -> Checkpoint:
        return await self._inner.reinstate(name)

    async def discard(self, projected: Projected, built: Checkpoint) -> None:
        await self._inner.discard(projected, built)

    async def compare(self, projected: Projected, mine: Checkpoint, other: Checkpoint, limit: int = 100) -> Comparison:
        return await self._inner.compare(projected, mine, other, limit)

    async def parked(self, projected: Projected, checkpoint: Checkpoint) -> Parked:
        return await self._inner.parked(projected, checkpoint)

    async def letters(
        self, projected: Projected, at: Checkpoint, *, place: Place | None = None, failed: bool = False, limit: int = 1_000
    ) -> list[Letter]:
        return await self._inner.letters(projected, at, place=place, failed=failed, limit=limit)

    async def skips(self, projected: Projected) -> list[Skip]:
        return await self._inner.skips(projected)

    async def pause(self, name: str, words: str) -> None:
        await self._inner.pause(name, words)

    async def lease(self, projected: Projected, checkpoint: Checkpoint, owner: str, now: int, until: int) -> Checkpoint | None:
        return await self._inner.lease(projected, checkpoint, owner, now, until)

    async def renew(self, owner: str, until: int) -> None:
        await self._inner.renew(owner, until)

    async def release(self, owner: str) -> None:
        await self._inner.release(owner)

    async def audited(self, projected: Projected, checkpoint: Checkpoint, position: Position, digest: int) -> None:
        await self._inner.audited(projected, checkpoint, position, digest)

    def snapshot(self, projections: Collection[Projected], *, by_name: bool = False) -> AbstractAsyncContextManager[Snapshot]:
        return self._inner.snapshot(projections, by_name=by_name)
