"""Stores that page small or crash on the way, around any other."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, TypeAlias

from deedlog.messages.envelope import RecordedEvent
from deedlog.reads.port import Changes, Checkpoint, Projected, ReadStore, Snapshot, Stored, Wanted
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

    async def checkpoint(self, name: str) -> Checkpoint | None:
        return await self._inner.checkpoint(name)

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

    async def begin_rebuild(self, projected: Projected) -> Checkpoint:
        return await self._inner.begin_rebuild(projected)

    async def switch(self, projected: Projected, built: Checkpoint) -> None:
        await self._inner.switch(projected, built)

    def snapshot(self, projections: Collection[Projected]) -> AbstractAsyncContextManager[Snapshot]:
        return self._inner.snapshot(projections)
