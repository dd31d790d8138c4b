"""What travels with one command, and what its caller gets back."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from deedlog.commands.deadline import Deadline
from deedlog.messages.envelope import Metadata
from deedlog.store.port import CommandKey, Unless
from deedlog.types import Any as AnyVersion
from deedlog.types import ExpectedVersion, Position, StreamName, Token, Version


class Receipt(msgspec.Struct, frozen=True):
    """What a command has done; the same again when it is sent again with its id.

    `version` is that of the stream afterwards, `position` that of the last event (of the log, where there was none to store).
    """

    command_id: str
    stream: StreamName
    version: Version
    position: Position
    token: Token
    events: tuple[Any, ...]


class CommandContext(msgspec.Struct, frozen=True):
    """A command on its way. `key` is there when the caller gave an id: then it is done once (P4)."""

    command: Any
    id: str
    metadata: Metadata
    key: CommandKey | None = None
    deadline: Deadline | None = None


class Append(msgspec.Struct, frozen=True):
    """What a command handler returns to have events stored; several are stored all or none.

    `unless` is a condition beyond the stream: no event that matches it has been stored behind its position.
    """

    stream: StreamName
    events: Sequence[Any]
    expected: ExpectedVersion = AnyVersion()
    unless: Unless | None = None


Proceed: TypeAlias = Callable[[CommandContext], Awaitable[Receipt]]
Middleware: TypeAlias = Callable[[CommandContext, Proceed], Awaitable[Receipt]]


def chain(middleware: Sequence[Middleware], innermost: Proceed) -> Proceed:
    """One function from all, the first outermost; built once, at start."""
    proceed = innermost
    for layer in reversed(middleware):
        proceed = _wrap(layer, proceed)
    return proceed


def _wrap(layer: Middleware, proceed: Proceed) -> Proceed:
    def run(context: CommandContext) -> Awaitable[Receipt]:
        return layer(context, proceed)

    return run
