"""Who answers which command: aggregates, and handlers for work that no aggregate can do."""

from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from deedlog.commands.context import Append, CommandContext, Middleware, Proceed, Receipt, chain
from deedlog.commands.dispatch import ATTEMPTS, AggregateDispatch, receipt_of
from deedlog.commands.handlers import CommandHandler, Send
from deedlog.commands.loading import Loading
from deedlog.commands.work import UnitOfWork
from deedlog.domain.deciding import Deciding
from deedlog.errors import ConditionFailed, Misuse, UnknownMessage, WrongExpectedVersion
from deedlog.messages.codec import Codec
from deedlog.messages.streams import check_stream
from deedlog.store.port import Appended, EventStore, StreamWrite, Unless

_has_turn: ContextVar[bool] = ContextVar("deedlog_has_turn", default=False)


class CommandBus:
    """One function from a command to its receipt, with the middleware around."""

    def __init__(self, store: EventStore, codec: Codec, loading: Loading, dispatch: AggregateDispatch, send: Send) -> None:
        self._store = store
        self._codec = codec
        self._loading = loading
        self._dispatch = dispatch
        self._send = send
        self._aggregates: dict[type[Any], Deciding] = {}
        self._handlers: dict[type[Any], CommandHandler] = {}
        self.proceed: Proceed = self._answer

    def add_aggregate(self, kind: Deciding) -> None:
        self._aggregates.update(dict.fromkeys(kind.decides, kind))

    def add_handler(self, handler: CommandHandler) -> None:
        self._handlers[handler.command] = handler

    def use(self, middleware: Sequence[Middleware]) -> None:
        self.proceed = chain(middleware, self._answer)

    def _answer(self, context: CommandContext) -> Awaitable[Receipt]:
        """Not a coroutine of its own: on the way of every command each costs as much as a dozen calls."""
        kind = self._aggregates.get(type(context.command))
        return self._dispatch.dispatch(kind, context) if kind is not None else self._by_handler(context)

    async def _by_handler(self, context: CommandContext) -> Receipt:
        cls = type(context.command)
        handler = self._handlers.get(cls)
        if handler is None:
            known = sorted(c.__name__ for c in (*self._aggregates, *self._handlers))
            raise UnknownMessage("command handler", cls.__name__, known)
        if context.key is not None and (receipt := await self._dispatch.repeated(context)) is not None:
            return receipt
        return await (self._work(handler, context) if handler.works else self._handle(handler, context, None))

    async def _work(self, handler: CommandHandler, context: CommandContext) -> Receipt:
        """Runs the handler until what it saw is still so when it is stored; from the second time on, one after the other."""
        metadata = self._codec.metadata(context.metadata)
        attempts = ATTEMPTS
        if not handler.turn.locked():
            attempts -= 1
            try:
                return await self._handle(handler, context, UnitOfWork(self._store, self._codec, self._loading, metadata))
            except (WrongExpectedVersion, ConditionFailed):
                pass
        async with _turn(handler):
            for left in reversed(range(attempts)):
                try:
                    return await self._handle(handler, context, UnitOfWork(self._store, self._codec, self._loading, metadata))
                except (WrongExpectedVersion, ConditionFailed):
                    if not left:
                        raise
        raise AssertionError("unreachable")

    async def _handle(self, handler: CommandHandler, context: CommandContext, work: UnitOfWork | None) -> Receipt:
        try:
            result = await handler.call(context, self._send, work)
        except Exception:
            if work is not None:
                await work.confirm(lambda writes, conditions: self._store.append(writes, None, conditions))
            if (receipt := await self._dispatch.repeated(context)) is not None:  # sent twice at once: its twin was first
                return receipt
            raise
        return await self._store_result(handler, context, result, work)

    async def _store_result(
        self, handler: CommandHandler, context: CommandContext, result: Any, work: UnitOfWork | None
    ) -> Receipt:
        metadata = self._codec.metadata(context.metadata)
        if result is None and work is None and context.key is None:
            return receipt_of(self._store, context, Appended("", 0, await self._store.head(), 0), ())
        appends = [] if result is None else list(result) if isinstance(result, list | tuple | Iterator) else [result]
        if not all(isinstance(append, Append) for append in appends):
            raise Misuse(f"{handler.signature.name} returned {result!r}", fix="return None, an Append, or a list of them")
        writes = tuple(
            StreamWrite(
                check_stream(append.stream),
                tuple(self._codec.new_event(event, metadata) for event in append.events),
                append.expected,
            )
            for append in appends
        )
        conditions = tuple(append.unless for append in appends if append.unless is not None)
        for one in (one for condition in conditions for one in condition.matching):
            self._codec.registry.check_events(one.names, one.tags)
        appended = await self._stored(context, writes, conditions, work)
        if appended is None:
            return receipt_of(self._store, context, Appended("", 0, await self._store.head(), 0), ())
        if appended.repeated and (receipt := await self._dispatch.repeated(context)) is not None:
            return receipt
        events = (*(work.events if work is not None else ()), *(event for append in appends for event in append.events))
        return receipt_of(self._store, context, appended, events)

    async def _stored(
        self, context: CommandContext, writes: Sequence[StreamWrite], conditions: Sequence[Unless], work: UnitOfWork | None
    ) -> Appended | None:
        """None where there was nothing to store, to check, or to remember."""

        def store(writes: Sequence[StreamWrite], conditions: Sequence[Unless]) -> Awaitable[Appended]:
            append = self._store.append(writes, context.key, conditions)
            return append if context.deadline is None else context.deadline.watch(append)

        if work is not None and (appended := await work.commit(writes, conditions, store)) is not None:
            return appended
        return await store(writes, conditions) if writes or conditions or context.key is not None else None


@asynccontextmanager
async def _turn(handler: CommandHandler) -> AsyncIterator[None]:
    """One at a time for a handler. A command that is sent from inside a turn waits for none: two could wait for each other."""
    if _has_turn.get():
        yield
        return
    async with handler.turn:
        token = _has_turn.set(True)
        try:
            yield
        finally:
            _has_turn.reset(token)
