"""The reference event store: plain lists, no file. What the other adapters must equal; also for tests."""

import bisect
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from operator import attrgetter

from deedlog.errors import WrongExpectedVersion
from deedlog.ids import new_id
from deedlog.messages.envelope import RecordedEvent, to_micros
from deedlog.messages.streams import check_stream
from deedlog.store.batch import Found, Outcome, asked_by, settle
from deedlog.store.coalescer import MAX_WAITING, Coalescer, by_task
from deedlog.store.importing import checked_streams, settle_import
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
    Submission,
    Unless,
)
from deedlog.store.signal import Signal
from deedlog.types import Clock, ExpectedVersion, Position, StreamName, Version


class MemoryEventStore(EventStore):
    """Everything in this process; gone with it."""

    def __init__(self, clock: Clock, *, max_waiting: int = MAX_WAITING) -> None:
        self.id = new_id()[-8:]
        self._clock = clock
        self._log: list[RecordedEvent] = []
        self._tags: list[frozenset[str]] = []
        self._streams: dict[StreamName, list[RecordedEvent]] = {}
        self._commands: dict[str, StoredCommand] = {}
        self._commands_at: dict[str, int] = {}
        self._closed: dict[StreamName, StreamClosing] = {}
        self._states: dict[StreamName, StoredState] = {}
        self._coalescer = Coalescer(by_task(self._write), max_waiting)
        self._signal = Signal()

    async def open(self) -> None:
        return

    async def close(self) -> None:
        await self._coalescer.close()

    async def append(
        self, writes: Sequence[StreamWrite], command: CommandKey | None = None, conditions: Sequence[Unless] = ()
    ) -> Appended:
        return await self._coalescer.submit(Submission(tuple(writes), command, tuple(conditions)))

    async def _write(self, batch: list[Submission]) -> Sequence[Outcome]:
        now = self._now()
        asked = asked_by(batch)
        found = self._found(asked.streams)
        found.tips = {stream: self._streams[stream][-1].id for stream in asked.tips if stream in self._streams}
        found.done = {id: self._commands[id] for id in asked.commands if id in self._commands}
        found.matched = {matching: self._newest(matching, after) for matching, after in asked.matching.items()}
        settled = settle(batch, found, now)
        recorded = settled.recorded()
        if self.inline is not None and recorded:
            self.inline(None, recorded)
        self._keep(recorded, settled.tags)
        for done in settled.commands:
            self._commands[done.key.id] = done
            self._commands_at[done.key.id] = now
        return settled.outcomes

    def _found(self, streams: Iterable[StreamName]) -> Found:
        versions = {stream: len(self._streams.get(stream, ())) for stream in streams}
        closed = {stream: self._closed[stream] for stream in streams if stream in self._closed}
        return Found(len(self._log), versions, closed)

    def _newest(self, matching: Matching, after: Position) -> Position:
        fitting = (event.position for event in reversed(self._log[after:]) if self._matches(event, matching))
        return next(fitting, 0)

    def _matches(self, event: RecordedEvent, matching: Matching) -> bool:
        return matching.accepts(event.name, self._tags[event.position - 1])

    def _keep(self, recorded: Sequence[RecordedEvent], tags: Iterable[tuple[str, Position]]) -> None:
        by_position: dict[Position, set[str]] = {}
        for tag, position in tags:
            by_position.setdefault(position, set()).add(tag)
        for event in recorded:
            self._log.append(event)
            self._tags.append(frozenset(by_position.get(event.position, ())))
            self._streams.setdefault(event.stream, []).append(event)
        self._signal.wake()

    async def import_events(self, events: Sequence[ImportedEvent], *, expected_head: Position | None = None) -> Appended:
        self._coalescer.check_open()
        imported = settle_import(events, expected_head, self._found(checked_streams(events)), self._now())
        self._keep([RecordedEvent(*row) for row in imported.events], imported.tags)
        return imported.appended

    async def close_stream(self, stream: StreamName, expected: ExpectedVersion = ANY, *, by: str, why: str) -> StreamClosing:
        self._coalescer.check_open()
        check_stream(stream)
        if stream not in self._closed:
            version = len(self._streams.get(stream, ()))
            if not expected.allows(version):
                raise WrongExpectedVersion(stream, str(expected), version)
            self._closed[stream] = StreamClosing(stream, version, len(self._log), by, why, self._now())
        return self._closed[stream]

    async def closing(self, stream: StreamName) -> StreamClosing | None:
        return self._closed.get(stream)

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

    async def read_matching(
        self, matching: Sequence[Matching], after: Position = 0, limit: int = PAGE
    ) -> Sequence[RecordedEvent]:
        log = islice(self._log, after, None)
        return list(islice((event for event in log if any(self._matches(event, one) for one in matching)), limit))

    async def head(self) -> Position:
        return len(self._log)

    async def position_at(self, time_micros: int) -> Position:
        return bisect.bisect_right(self._log, time_micros, key=attrgetter("recorded_at"))

    async def version_at(self, stream: StreamName, position: Position) -> Version:
        return bisect.bisect_right(self._streams.get(stream, []), position, key=attrgetter("position"))

    async def command(self, command_id: str) -> StoredCommand | None:
        return self._commands.get(command_id)

    async def forget_commands(self, before: int, limit: int = 1_000) -> int:
        self._coalescer.check_open()
        old = sorted((at, id) for id, at in self._commands_at.items() if at < before)[:limit]
        for _, id in old:
            del self._commands[id], self._commands_at[id]
        return len(old)

    async def state(self, stream: StreamName) -> StoredState | None:
        return self._states.get(stream)

    async def save_state(self, state: StoredState) -> None:
        self._coalescer.check_open()
        kept, events = self._states.get(state.stream), self._streams.get(state.stream, [])
        at = events[state.version - 1 : state.version] if state.version > 0 else []
        if [event.id for event in at] == [state.event_id] and (kept is None or kept.version <= state.version):
            self._states[state.stream] = state

    async def drop_states(self, stream: StreamName | None = None) -> int:
        self._coalescer.check_open()
        dropped = [name for name in self._states if stream is None or name == stream]
        for name in dropped:
            del self._states[name]
        return len(dropped)

    async def streams(self, prefix: str = "", after: str = "", limit: int = PAGE) -> Sequence[StreamSummary]:
        names = sorted(self._streams)
        found = [name for name in names[bisect.bisect_right(names, after) :] if name.startswith(prefix)]
        newest = [self._streams[name][-1] for name in found[:limit]]
        return [StreamSummary(e.stream, e.version, e.position, e.recorded_at) for e in newest]

    async def wait(self, after: Position, timeout: float) -> None:
        if len(self._log) <= after:
            await self._signal.wait(timeout)

    def _now(self) -> int:
        return to_micros(self._clock.now())
