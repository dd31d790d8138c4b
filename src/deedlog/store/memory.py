"""The reference event store: plain lists, no file. What the other adapters must equal; also for tests."""

import bisect
from collections.abc import Collection, Sequence
from itertools import islice

from deedlog.ids import new_id
from deedlog.messages.envelope import RecordedEvent, to_micros
from deedlog.store.batch import Outcome, settle, streams_of, tips_of
from deedlog.store.coalescer import MAX_WAITING, Coalescer
from deedlog.store.port import (
    PAGE,
    Appended,
    CommandKey,
    EventStore,
    StoredCommand,
    StreamSummary,
    StreamWrite,
    Submission,
)
from deedlog.store.signal import Signal
from deedlog.types import Clock, Position, StreamName, Version


class MemoryEventStore(EventStore):
    """Everything in this process; gone with it."""

    def __init__(self, clock: Clock, *, max_waiting: int = MAX_WAITING) -> None:
        self.id = new_id()[-8:]
        self._clock = clock
        self._log: list[RecordedEvent] = []
        self._streams: dict[StreamName, list[RecordedEvent]] = {}
        self._commands: dict[str, StoredCommand] = {}
        self._coalescer = Coalescer(self._write, max_waiting)
        self._signal = Signal()

    async def open(self) -> None:
        return

    async def close(self) -> None:
        await self._coalescer.close()

    async def append(self, writes: Sequence[StreamWrite], command: CommandKey | None = None) -> Appended:
        return await self._coalescer.submit(Submission(tuple(writes), command))

    async def _write(self, batch: list[Submission]) -> Sequence[Outcome]:
        versions = {stream: len(self._streams.get(stream, ())) for stream in streams_of(batch)}
        tips = {stream: self._streams[stream][-1].id for stream in tips_of(batch) if stream in self._streams}
        settled = settle(batch, len(self._log), versions, tips, self._commands, to_micros(self._clock.now()))
        for recorded in settled.recorded():
            self._log.append(recorded)
            self._streams.setdefault(recorded.stream, []).append(recorded)
        for done in settled.commands:
            self._commands[done.key.id] = done
        self._signal.wake()
        return settled.outcomes

    async def read_stream(self, stream: StreamName, after: Version = 0, limit: int = PAGE) -> Sequence[RecordedEvent]:
        return self._streams.get(stream, [])[after : after + limit]

    async def read_all(
        self,
        after: Position = 0,
        limit: int = PAGE,
        *,
        categories: Collection[str] = (),
        names: Collection[str] = (),
    ) -> Sequence[RecordedEvent]:
        if not categories and not names:
            return self._log[after : after + limit]
        matching = (
            recorded
            for recorded in islice(self._log, after, None)
            if (not categories or recorded.category in categories) and (not names or recorded.name in names)
        )
        return list(islice(matching, limit))

    async def head(self) -> Position:
        return len(self._log)

    async def command(self, command_id: str) -> StoredCommand | None:
        return self._commands.get(command_id)

    async def streams(self, prefix: str = "", after: str = "", limit: int = PAGE) -> Sequence[StreamSummary]:
        names = sorted(self._streams)
        found = [name for name in names[bisect.bisect_right(names, after) :] if name.startswith(prefix)]
        newest = [self._streams[name][-1] for name in found[:limit]]
        return [StreamSummary(e.stream, e.version, e.position, e.recorded_at) for e in newest]

    async def wait(self, after: Position, timeout: float) -> None:
        if len(self._log) <= after:
            await self._signal.wait(timeout)
