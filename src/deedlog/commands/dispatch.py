"""THE loop: load, decide, append, retry.

Commands on one aggregate are pipelined: a second decides on the state that the first will leave, both go into one batch.
When the first is not stored, the version check rejects the second too, and it decides again; where a stranger's event took
the version, the check of that event's id does (ADR 0002).
"""

from typing import Any

from deedlog.commands.cache import AggregateCache, Cached
from deedlog.commands.context import CommandContext, Receipt
from deedlog.commands.loading import Loading
from deedlog.consistency.token import token_of
from deedlog.domain.deciding import Deciding
from deedlog.errors import DeedlogError, WrongExpectedVersion
from deedlog.messages.codec import Codec
from deedlog.messages.envelope import NewEvent
from deedlog.store.batch import repeat
from deedlog.store.port import Appended, EventStore, StreamWrite
from deedlog.types import Exactly, StreamName

ATTEMPTS = 16
SURELY_NEW = 8


class AggregateDispatch:
    """Answers the commands that aggregates decide."""

    def __init__(self, store: EventStore, codec: Codec, cache: AggregateCache, loading: Loading) -> None:
        self._store = store
        self._codec = codec
        self._loading = loading
        self._cache = cache
        self._new_in_a_row: dict[type[Any], int] = {}

    async def dispatch(self, kind: Deciding, context: CommandContext) -> Receipt:
        """The receipt of one command.

        Raises Refused, and what else the decide method raises, only on a state that is stored, and only for a command that was
        not done before; WrongExpectedVersion after `ATTEMPTS` conflicts in a row.
        """
        stream = kind.stream_of(context.command)
        for attempt in range(1, ATTEMPTS + 1):
            loaded = self._cache.get(stream)
            if loaded is None:
                loaded = await self._load(kind, stream, type(context.command))
            try:
                try:  # from here to the append nothing is awaited: no other command comes between
                    events, write = self._decide(kind, loaded, stream, context)
                except Exception:
                    await self._confirm(stream, loaded)
                    if (receipt := await self.repeated(context)) is not None:
                        return receipt
                    raise
                return await self._append(kind, loaded, write, context, events)
            except WrongExpectedVersion:
                self._cache.drop(stream, loaded)
                self._new_in_a_row[type(context.command)] = 0
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    async def _load(self, kind: Deciding, stream: StreamName, command: type[Any]) -> Cached:
        """From the log.

        Where the last streams of this command class were all new, this one is taken to be new without a look: the check of
        the version corrects a wrong guess.
        """
        if self._new_in_a_row.get(command, 0) >= SURELY_NEW:
            loaded = Cached(kind.initial(), 0)
            self._cache.put(stream, loaded)
            return loaded
        loaded = await self._loading.current(kind, stream)
        self._new_in_a_row[command] = 0 if loaded.version else self._new_in_a_row.get(command, 0) + 1
        return loaded

    def _decide(
        self, kind: Deciding, loaded: Cached, stream: StreamName, context: CommandContext
    ) -> tuple[list[Any], StreamWrite]:
        """The events and how to store them; moves the state by them."""
        events = kind.decide(loaded.state, context.command)
        metadata = self._codec.metadata(context.metadata)
        new: list[NewEvent] = []
        stored: list[Any] = []
        for event in events:
            encoded, as_stored = self._codec.as_stored(event, metadata)
            new.append(encoded)
            stored.append(as_stored)
        write = StreamWrite(stream, tuple(new), Exactly(loaded.version), loaded.tip)
        try:
            for event in stored:  # as the log will give it: whoever holds the command or its receipt can't change the state
                loaded.state = kind.evolve(loaded.state, event)
        except BaseException:
            self._cache.drop(stream, loaded)
            raise
        if stored:
            loaded.version += len(stored)
            loaded.tip = new[-1].id
        return events, write

    async def _append(
        self, kind: Deciding, loaded: Cached, write: StreamWrite, context: CommandContext, events: list[Any]
    ) -> Receipt:
        try:
            append = self._store.append((write,), context.key)
            appended = await (append if context.deadline is None else context.deadline.watch(append))
        except BaseException:  # also cancelled: the state may be ahead of the log
            self._cache.drop(write.stream, loaded)
            raise
        if appended.repeated:
            self._cache.drop(write.stream, loaded)
            return await self._receipt_again(context, appended)
        if write.events and loaded.tip == write.events[-1].id:
            loaded.tip = None  # all of the state is in the log
        if kind.form is not None:
            self._loading.appended(kind, loaded, write, appended.version)
        return receipt_of(self._store, context, appended, tuple(events))

    async def _confirm(self, stream: StreamName, loaded: Cached) -> None:
        """Raises WrongExpectedVersion unless the log holds this state: asked in the writer's queue, behind what is on its way."""
        await self._store.append((StreamWrite(stream, (), Exactly(loaded.version), loaded.tip),))

    async def repeated(self, context: CommandContext) -> Receipt | None:
        """The receipt of a command that was done before under this id, or None. Raises DuplicateMessage."""
        if context.key is None or (stored := await self._store.command(context.key.id)) is None:
            return None
        again = repeat(stored, context.key.digest)
        if isinstance(again, DeedlogError):
            raise again
        return await self._receipt_again(context, again)

    async def _receipt_again(self, context: CommandContext, appended: Appended) -> Receipt:
        events: list[Any] = []
        if appended.count:
            page = await self._store.read_all(appended.position - appended.count, appended.count)
            events = [self._codec.decode(recorded) for recorded in page]
        return receipt_of(self._store, context, appended, tuple(events))


def receipt_of(store: EventStore, context: CommandContext, appended: Appended, events: tuple[Any, ...]) -> Receipt:
    """The receipt for what an append has done."""
    token = token_of(store.id, appended.position, wrote=True)
    return Receipt(context.id, appended.stream, appended.version, appended.position, token, events)
