"""deedlog: services that keep commands and queries apart."""

from deedlog.app import App
from deedlog.commands.context import Append, CommandContext, Middleware, Proceed, Receipt
from deedlog.commands.handlers import Commands
from deedlog.commands.importing import EventImport, Imported
from deedlog.commands.loading import Loaded
from deedlog.commands.work import UnitOfWork, Writable
from deedlog.consistency.freshness import Answer, Freshness
from deedlog.domain.aggregate import Aggregate, decide, evolve
from deedlog.domain.snapshots import Snapshots
from deedlog.errors import (
    Building,
    ConditionFailed,
    Conflict,
    Corrupt,
    DeadlineExceeded,
    DeedlogError,
    DomainError,
    DuplicateMessage,
    InvalidDeclaration,
    InvalidMessage,
    MissingExtra,
    Misuse,
    NotFound,
    NotSupported,
    Refused,
    Stale,
    StreamClosed,
    Superseded,
    Unavailable,
    UnknownMessage,
    WrongExpectedVersion,
)
from deedlog.messages.base import Command, Event, Query, message
from deedlog.messages.envelope import Metadata, RecordedEvent
from deedlog.module import Module
from deedlog.projections.declare import ends, on, starts
from deedlog.queries.handler import Sql
from deedlog.queries.watch import Answers
from deedlog.reads.model import ReadModel
from deedlog.reads.port import SqlWriter
from deedlog.reads.reader import Page, Reader
from deedlog.store.port import Matching, StreamClosing, Unless
from deedlog.types import Any as AnyVersion
from deedlog.types import Exactly, NoStream, StreamExists

__version__ = "0.1.0"

__all__ = [
    "Aggregate",
    "Answer",
    "Answers",
    "AnyVersion",
    "App",
    "Append",
    "Building",
    "Command",
    "CommandContext",
    "Commands",
    "ConditionFailed",
    "Conflict",
    "Corrupt",
    "DeadlineExceeded",
    "DeedlogError",
    "DomainError",
    "DuplicateMessage",
    "Event",
    "EventImport",
    "Exactly",
    "Freshness",
    "Imported",
    "InvalidDeclaration",
    "InvalidMessage",
    "Loaded",
    "Matching",
    "Metadata",
    "Middleware",
    "MissingExtra",
    "Misuse",
    "Module",
    "NoStream",
    "NotFound",
    "NotSupported",
    "Page",
    "Proceed",
    "Query",
    "ReadModel",
    "Reader",
    "Receipt",
    "RecordedEvent",
    "Refused",
    "Snapshots",
    "Sql",
    "SqlWriter",
    "Stale",
    "StreamClosed",
    "StreamClosing",
    "StreamExists",
    "Superseded",
    "Unavailable",
    "UnitOfWork",
    "UnknownMessage",
    "Unless",
    "Writable",
    "WrongExpectedVersion",
    "decide",
    "ends",
    "evolve",
    "message",
    "on",
    "starts",
]
