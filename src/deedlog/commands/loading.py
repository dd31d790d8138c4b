"""Loading a state: the snapshot where there is a true one, then the events behind it.

A snapshot is believed only when the log has its very event at its version, and the code that folded it is today's.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from deedlog.commands.cache import AggregateCache, Cached
from deedlog.commands.snapshots import Snapshotter
from deedlog.domain.deciding import Deciding
from deedlog.errors import Misuse
from deedlog.messages.codec import Codec
from deedlog.messages.envelope import RecordedEvent, from_micros, to_micros
from deedlog.store.port import PAGE, EventStore, StoredState, StreamWrite
from deedlog.types import Clock, StreamName, Version

S = TypeVar("S")


class Loaded(Generic[S]):
    """An aggregate's state, read once: nothing moves it afterwards. `version` 0: the stream has no events."""

    stream: StreamName
    state: S
    version: Version

    def __init__(self, stream: StreamName, state: S, version: Version) -> None:
        self.stream = stream
        self.state = state
        self.version = version

    @property
    def exists(self) -> bool:
        """Whether the stream has an event."""
        return self.version > 0

    def __repr__(self) -> str:
        return f"<{self.stream} at version {self.version}: {self.state!r}>"


class Aggregates:
    """The aggregates and deciders of an app, by what a user names them by."""

    def __init__(self, kinds: Sequence[Deciding]) -> None:
        self._kinds = kinds

    def of(self, wanted: type[Any] | str) -> Deciding:
        """That of a class (an aggregate's, or a decider's states'), or of a name. Raises Misuse for none, or several."""
        found = [kind for kind in self._kinds if kind.cls is wanted or kind.name == wanted]
        if len(found) == 1:
            return found[0]
        shown = wanted if isinstance(wanted, str) else getattr(wanted, "__name__", repr(wanted))
        known = ", ".join(sorted(kind.name for kind in self._kinds)) or "none"
        if found:
            raise Misuse(f"{shown} is the state of several deciders", fix=f"name one: {', '.join(k.name for k in found)}")
        raise Misuse(f"{shown} is no aggregate of this app", fix=f"declared: {known}")


class _Folded(NamedTuple):
    """A state from the log: the id of the event it ends with, how many were folded, the snapshot it was begun with."""

    cached: Cached
    last: str | None
    events: int
    begun_with: StoredState | None


class Loading:
    """Folds streams, and has a snapshot made where one is due."""

    def __init__(
        self, store: EventStore, codec: Codec, clock: Clock, aggregates: Aggregates, cache: AggregateCache, snapshots: Snapshotter
    ) -> None:
        self.aggregates = aggregates
        self._cache = cache
        self._store = store
        self._codec = codec
        self._clock = clock
        self._snapshots = snapshots

    async def current(self, kind: Deciding, stream: StreamName) -> Cached:
        """From the cache, else from the log. It may be ahead of the log. Of two that load at once, both get the same object."""
        found = self._cache.get(stream)
        if found is None:
            loaded = await self.load(kind, stream)
            found = self._cache.get(stream)
            if found is None:
                self._cache.put(stream, found := loaded)
        return found

    def forget(self, stream: StreamName, cached: Cached) -> None:
        """Has this very state loaded again when it is asked for next."""
        self._cache.drop(stream, cached)

    async def load(self, kind: Deciding, stream: StreamName) -> Cached:
        """The state that the log holds now. Raises Corrupt for events that don't fit."""
        folded = await self._from_log(kind, stream)
        if kind.form is not None and folded.last is not None:
            begun = folded.begun_with
            age = timedelta.max if begun is None else self._clock.now() - from_micros(begun.recorded_at)
            if kind.form.policy.is_due(folded.events, folded.cached.size, age):
                self._snapshots.soon(stream, lambda: self._snapshot(kind, stream, folded))
                folded.cached.saved, folded.cached.size = folded.cached.version, 0
        return folded.cached

    async def as_of(self, kind: Deciding, stream: StreamName, version: Version | None, until: int | None) -> Loaded[Any]:
        """The state after `version` events, or after those recorded up to `until` (microseconds); from the log alone."""
        if version is None and until is None:
            loaded = await self.load(kind, stream)
            return Loaded(stream, loaded.state, loaded.version)
        state, at = kind.initial(), 0
        while page := await self._store.read_stream(stream, at, PAGE):
            for recorded in page:
                if at == version or (until is not None and recorded.recorded_at > until):
                    return Loaded(stream, state, at)
                state = kind.evolve(state, self._codec.decode(recorded))
                at = recorded.version
            await asyncio.sleep(0)
        return Loaded(stream, state, at)

    def appended(self, kind: Deciding, cached: Cached, write: StreamWrite, version: Version) -> None:
        """Notes that events were stored; has a snapshot made of the log when one is due.

        Not of the state that is there: it may be ahead of the log.
        """
        if kind.form is None or not write.events:
            return
        cached.size += sum(len(event.data) for event in write.events)
        if kind.form.policy.is_due(version - cached.saved, cached.size):
            cached.saved, cached.size = version, 0
            self._snapshots.later(write.stream, lambda: self._fold_again(kind, write.stream))

    async def _fold_again(self, kind: Deciding, stream: StreamName) -> StoredState | None:
        return self._snapshot(kind, stream, await self._from_log(kind, stream))

    def _snapshot(self, kind: Deciding, stream: StreamName, folded: _Folded) -> StoredState | None:
        if kind.form is None or folded.last is None:
            return None
        text = kind.form.encode(folded.cached.state)
        at = to_micros(self._clock.now())
        return StoredState(stream, folded.cached.version, folded.last, kind.form.definition, text, at)

    async def _from_log(self, kind: Deciding, stream: StreamName) -> _Folded:
        saved = None if kind.form is None else await self._store.state(stream)
        begun = None if saved is None else _revived(kind, saved)
        if saved is not None and begun is not None:
            page = list(await self._store.read_stream(stream, saved.version - 1, PAGE))
            if page and page[0].id == saved.event_id:
                return await self._fold(kind, begun, page, saved)
            await self._store.drop_states(stream)  # it is of another history, as after a backup was restored
        return await self._fold(kind, Cached(kind.initial(), 0), await self._store.read_stream(stream, 0, PAGE))

    async def _fold(
        self, kind: Deciding, cached: Cached, page: Sequence[RecordedEvent], begun_with: StoredState | None = None
    ) -> _Folded:
        """Folds a page and those that follow. The first event of the page may be the last one of the snapshot."""
        start, state, last = cached.version, cached.state, None
        while page:
            for recorded in page if begun_with is None or page[0].version > start else page[1:]:
                state = kind.evolve(state, self._codec.decode(recorded))
                cached.size += len(recorded.data)
                last = recorded.id
            cached.version = page[-1].version
            if len(page) < PAGE:
                break
            await asyncio.sleep(0)  # a long stream is CPU, and others run beside it
            page = await self._store.read_stream(page[-1].stream, cached.version, PAGE)
        cached.state = state
        return _Folded(cached, last, cached.version - start, begun_with)


def _revived(kind: Deciding, saved: StoredState) -> Cached | None:
    """The state of a snapshot; None where other code has folded it."""
    if kind.form is None or saved.definition != kind.form.definition or saved.version < 1:
        return None
    try:
        return Cached(kind.form.decode(saved.state), saved.version, saved.version)
    except msgspec.DecodeError:
        return None
