"""Who answers which command: aggregates, and handlers for work that no aggregate can do."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from deedlog.commands.context import Append, CommandContext, Middleware, Proceed, Receipt, chain
from deedlog.commands.dispatch import AggregateDispatch, receipt_of
from deedlog.domain.deciding import Deciding
from deedlog.domain.services import resolve
from deedlog.domain.signature import Signature
from deedlog.errors import Misuse, UnknownMessage
from deedlog.messages.codec import Codec
from deedlog.messages.streams import check_stream
from deedlog.store.port import Appended, EventStore, StreamWrite


class Commands:
    """Handed to a command handler that asks for it: sends further commands, caused by the one it handles."""

    def __init__(self, send: Callable[[Any, CommandContext, str | None], Awaitable[Receipt]], cause: CommandContext) -> None:
        self._send = send
        self._cause = cause

    async def execute(self, command: Any, *, id: str | None = None) -> Receipt:
        """The receipt of a further command of the same conversation. Raises what `App.execute` raises."""
        return await self._send(command, self._cause, id)


class CommandHandler:
    """A function that answers one command class. It may be plain or async; a plain one runs on a thread."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.signature = Signature(function)
        self.command: type[Any] = self.signature.first
        self.asynchronous = inspect.iscoroutinefunction(function)
        self.services: dict[str, Any] = {}
        self.per_command: dict[str, type[Any]] = {}

    def bind(self, services: Mapping[Any, Any]) -> None:
        """Finds its services. Raises InvalidDeclaration for one that nobody provides."""
        for name, wanted in list(self.signature.parameters.items())[1:]:
            if wanted in (CommandContext, Commands):
                self.per_command[name] = wanted
            else:
                self.services[name] = resolve(self.signature, name, wanted, services)


class CommandBus:
    """One function from a command to its receipt, with the middleware around."""

    def __init__(
        self,
        store: EventStore,
        codec: Codec,
        dispatch: AggregateDispatch,
        send: Callable[[Any, CommandContext, str | None], Awaitable[Receipt]],
    ) -> None:
        self._store = store
        self._codec = codec
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

    async def _answer(self, context: CommandContext) -> Receipt:
        cls = type(context.command)
        kind = self._aggregates.get(cls)
        if kind is not None:
            return await self._dispatch.dispatch(kind, context)
        handler = self._handlers.get(cls)
        if handler is None:
            known = sorted(c.__name__ for c in (*self._aggregates, *self._handlers))
            raise UnknownMessage("command handler", cls.__name__, known)
        if (receipt := await self._dispatch.repeated(context)) is not None:
            return receipt
        try:
            result = await self._call(handler, context)
        except Exception:
            if (receipt := await self._dispatch.repeated(context)) is not None:  # sent twice at once: its twin was first
                return receipt
            raise
        return await self._store_result(handler, context, result)

    async def _call(self, handler: CommandHandler, context: CommandContext) -> Any:
        extra = dict(handler.services)
        for name, wanted in handler.per_command.items():
            extra[name] = context if wanted is CommandContext else Commands(self._send, context)
        if handler.asynchronous:
            return await handler.function(context.command, **extra)
        return await asyncio.to_thread(handler.function, context.command, **extra)

    async def _store_result(self, handler: CommandHandler, context: CommandContext, result: Any) -> Receipt:
        appends = [result] if isinstance(result, Append) else list(result or ())
        if not all(isinstance(append, Append) for append in appends):
            raise Misuse(f"{handler.signature.name} returned {result!r}", fix="return None, an Append, or a list of them")
        metadata = self._codec.metadata(context.metadata)
        writes = tuple(
            StreamWrite(
                check_stream(append.stream),
                tuple(self._codec.new_event(event, metadata) for event in append.events),
                append.expected,
            )
            for append in appends
        )
        if not writes and context.key is None:
            return receipt_of(self._store, context, Appended("", 0, await self._store.head(), 0), ())
        append = self._store.append(writes, context.key)
        appended = await (append if context.deadline is None else context.deadline.watch(append))
        if appended.repeated and (receipt := await self._dispatch.repeated(context)) is not None:
            return receipt
        return receipt_of(self._store, context, appended, tuple(e for append in appends for e in append.events))
