"""Command handlers: functions for what no aggregate can decide alone, with what they ask for."""

import asyncio
import hashlib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any, TypeAlias

from deedlog.commands.context import CommandContext, Receipt
from deedlog.commands.work import UnitOfWork
from deedlog.domain.services import resolve
from deedlog.domain.signature import Signature
from deedlog.errors import InvalidDeclaration

MAX_ID = 200
Send: TypeAlias = Callable[[Any, CommandContext, str | None], Awaitable[Receipt]]


class Commands:
    """Handed to a command handler that asks for it: sends further commands, caused by the one it handles.

    Where that one has an id, each further one has an id made from it and its number, so that a handler that is run again does
    none of them twice.
    """

    def __init__(self, send: Send, cause: CommandContext, *, numbered: bool) -> None:
        self._send = send
        self._cause = cause
        self._numbers = count(1) if numbered else None

    async def execute(self, command: Any, *, id: str | None = None) -> Receipt:
        """The receipt of a further command of the same conversation. Raises what `App.execute` raises."""
        if self._numbers is not None:
            number = next(self._numbers)
            id = id if id is not None else _derived(self._cause.id, number)
        return await self._send(command, self._cause, id)


def _derived(id: str, number: int) -> str:
    derived = f"{id}/{number}"
    return derived if len(derived) <= MAX_ID else hashlib.blake2b(derived.encode(), digest_size=16).hexdigest()


class CommandHandler:
    """A function that answers one command class. It may be plain or async; a plain one runs on a thread."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.signature = Signature(function)
        self.command: type[Any] = self.signature.first
        self.asynchronous = inspect.iscoroutinefunction(function)
        self.services: dict[str, Any] = {}
        self.per_command: dict[str, type[Any]] = {}
        self.works = UnitOfWork in self.signature.parameters.values()
        self.turn = asyncio.Lock()
        if self.works and not self.asynchronous:
            problem = f"{self.signature.name} asks for a UnitOfWork but is not async"
            raise InvalidDeclaration(self.signature.place, problem, fix="make it `async def`")

    def bind(self, services: Mapping[Any, Any]) -> None:
        """Finds its services. Raises InvalidDeclaration for one that nobody provides."""
        for name, wanted in list(self.signature.parameters.items())[1:]:
            if wanted in (CommandContext, Commands, UnitOfWork):
                self.per_command[name] = wanted
            else:
                self.services[name] = resolve(self.signature, name, wanted, services)

    async def call(self, context: CommandContext, send: Send, work: UnitOfWork | None) -> Any:
        """What the function returns for a command."""
        extra = dict(self.services)
        for name, wanted in self.per_command.items():
            if wanted is Commands:
                extra[name] = Commands(send, context, numbered=self.works or context.key is not None)
            else:
                extra[name] = context if wanted is CommandContext else work
        if self.asynchronous:
            return await self.function(context.command, **extra)
        return await asyncio.to_thread(self.function, context.command, **extra)
