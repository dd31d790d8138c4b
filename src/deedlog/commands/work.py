"""A unit of work: what a command handler decides over several aggregates, and over tags, is stored in one append.

What it loaded is asserted to be unchanged when its events are stored; where it is not, the handler runs again, on what is there.
"""

import copy
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar, overload

from deedlog.commands.cache import Cached
from deedlog.commands.loading import Loaded, Loading
from deedlog.domain.deciding import Deciding
from deedlog.errors import Misuse
from deedlog.messages.codec import Codec
from deedlog.messages.envelope import NewEvent
from deedlog.store.port import PAGE, Appended, EventStore, Matching, StreamWrite, Unless
from deedlog.types import Exactly, StreamName

S = TypeVar("S")
Store: TypeAlias = Callable[[Sequence[StreamWrite], Sequence[Unless]], Awaitable[Appended]]


class Writable(Loaded[S], Generic[S]):
    """An aggregate in the hands of a command handler: its state moves with what is decided, and is stored at the end."""

    def __init__(self, kind: Deciding, stream: StreamName, cached: Cached, codec: Codec, metadata: str) -> None:
        super().__init__(stream, copy.deepcopy(cached.state), cached.version)  # others may move the cached one meanwhile
        self.kind = kind
        self.cached = cached
        self.checked = False
        self.open = True
        self.events: list[Any] = []
        self._codec = codec
        self._metadata = metadata
        self._new: list[NewEvent] = []
        self._before = (cached.version, cached.tip)

    def decide(self, command: Any) -> tuple[Any, ...]:
        """The events that the aggregate answers a command with; they are recorded. Raises what deciding raises, so Refused."""
        if type(command) not in self.kind.decides:
            known = ", ".join(cls.__name__ for cls in self.kind.decides)
            raise Misuse(f"{self.kind.name} does not decide {type(command).__name__}", fix=f"it decides {known}")
        self._codec.encode(command)
        if (other := self.kind.stream_of(command)) != self.stream:
            raise Misuse(f"{command!r} is for {other}, not for {self.stream}", fix="load that one")
        events = self.kind.decide(self.state, command)
        self.record(*events)
        return tuple(events)

    def record(self, *events: Any) -> None:
        """Has events stored, and moves the state by them. Raises Misuse for one that the aggregate can't evolve by."""
        if not self.open:
            raise Misuse("the command is done", fix="record before its handler returns")
        for event in events:
            new, stored = self._codec.as_stored(event, self._metadata)
            self.state = self.kind.evolve(self.state, stored)
            self.version += 1
            self._new.append(new)
            self.events.append(event)

    def write(self) -> StreamWrite:
        """What is to be stored, on the condition that nothing has changed since it was loaded."""
        version, tip = self._before
        return StreamWrite(self.stream, tuple(self._new), Exactly(version), tip)

    def publish(self) -> None:
        """Moves the cached state, where nobody did meanwhile: the next command then decides behind this one."""
        if self._new and (self.cached.version, self.cached.tip) == self._before:
            self.cached.state, self.cached.version, self.cached.tip = self.state, self.version, self._new[-1].id

    def settle(self) -> None:
        """After it was stored."""
        if self._new and self.cached.tip == self._new[-1].id:
            self.cached.tip = None


class UnitOfWork:
    """Handed to an async command handler that asks for it. All that is recorded is stored when the handler returns, or nothing.

    When something it loaded or matched has changed by then, the handler runs again with a fresh one, a few times: it must do
    nothing but decide, or what may be done twice. So a rule over several streams ends as Refused or is kept, not as a conflict.
    """

    def __init__(self, store: EventStore, codec: Codec, loading: Loading, metadata: str) -> None:
        self._store = store
        self._codec = codec
        self._loading = loading
        self._metadata = metadata
        self._held: dict[StreamName, Writable[Any]] = {}
        self._conditions: list[Unless] = []

    @overload
    async def load(self, kind: type[S], key: object, *, check: bool = True) -> Writable[S]: ...
    @overload
    async def load(self, kind: str, key: object, *, check: bool = True) -> Writable[Any]: ...
    async def load(self, kind: Any, key: object, *, check: bool = True) -> Writable[Any]:
        """The aggregate of that key; the same object when it is asked for twice. It may have no events: then `exists` is False.

        With `check=False` it may change before the command is stored, unless something is recorded on it. `kind` is the class
        of an aggregate, or of a decider's states, or the decider's name. Raises InvalidMessage for a key that can't be one.
        """
        found = self._loading.aggregates.of(kind)
        stream = found.stream_named(key, found.name)
        held = self._held.get(stream)
        if held is None:
            loaded = await (self._loading.current(found, stream) if check else self._loading.load(found, stream))
            held = self._held.setdefault(stream, Writable(found, stream, loaded, self._codec, self._metadata))
        held.checked = held.checked or check
        return held

    async def matching(self, *matching: Matching) -> list[Any]:
        """The events that match any of these, in position order; on the condition that there are no more when it is stored."""
        for one in matching:
            self._codec.registry.check_events(one.names, one.tags)
        head = await self._store.head()
        events: list[Any] = []
        after = 0
        while page := await self._store.read_matching(matching, after, PAGE):
            events += map(self._codec.decode, page)
            after = page[-1].position
            if len(page) < PAGE:
                break
        self._conditions.append(Unless(matching, max(head, after)))
        return events

    @property
    def events(self) -> tuple[Any, ...]:
        """What was recorded, stream by stream."""
        return tuple(event for held in self._held.values() for event in held.events)

    async def commit(self, more: Sequence[StreamWrite], conditions: Sequence[Unless], store: Store) -> Appended | None:
        """Called when the handler has returned: stores what was recorded, and `more`. None: nothing to store or check."""
        recorded = [held for held in self._held.values() if held.events]
        asserted = [held for held in self._held.values() if held.checked and not held.events]
        writes = (*(held.write() for held in recorded), *more, *(held.write() for held in asserted))
        conditions = (*self._conditions, *conditions)
        for held in self._held.values():
            held.open = False
        if not writes and not conditions:
            return None
        for held in recorded:
            held.publish()
        appended = await self._keep_or_forget(store(writes, conditions))
        for held in recorded:
            held.settle()
            self._loading.appended(held.kind, held.cached, held.write(), held.version)
        return appended

    async def confirm(self, store: Store) -> None:
        """Called when the handler has failed. Raises a Conflict unless all that it saw is still so."""
        checked = [held.write() for held in self._held.values() if held.checked or held.events]
        writes = [StreamWrite(write.stream, (), write.expected, write.tip) for write in checked]
        if writes or self._conditions:
            await self._keep_or_forget(store(writes, tuple(self._conditions)))

    async def _keep_or_forget(self, storing: Awaitable[Appended]) -> Appended:
        """Where nothing new was stored, the states that were moved or believed are not to be used again."""
        appended = None
        try:
            appended = await storing
        finally:
            if appended is None or appended.repeated:
                for held in self._held.values():
                    self._loading.forget(held.stream, held.cached)
        return appended
