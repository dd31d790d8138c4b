"""Every error as problem details (RFC 9457); the only place that knows which error has which status.

400 not HTTP or JSON as agreed · 404 no such message or row · 409 refused by the state that is there · 413, 415 the body ·
422 a field is wrong · 503 try again · 500 our fault: logged with an id, nothing said outside.
"""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import uuid4

import msgspec
from starlette.exceptions import HTTPException

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

logger = logging.getLogger("deedlog.http")

RETRY_SECONDS = b"1"

STATUS: Mapping[type[BaseException], tuple[int, str]] = {
    Refused: (409, "Refused"),
    InvalidMessage: (422, "Invalid message"),
    UnknownMessage: (404, "Unknown message"),
    DomainError: (409, "Refused"),
    WrongExpectedVersion: (409, "Changed meanwhile"),
    ConditionFailed: (409, "Changed meanwhile"),
    StreamClosed: (409, "Closed"),
    DuplicateMessage: (422, "Id already used"),
    Conflict: (409, "Conflict"),
    NotFound: (404, "Not found"),
    DeadlineExceeded: (503, "Not done in time"),
    Stale: (503, "Not caught up yet"),
    Building: (503, "Being built"),
    Superseded: (503, "Another version has the rows"),
    Unavailable: (503, "Unavailable"),
}
"""What a caller hears of, by the nearest class."""
OURS = (DeedlogError, Misuse, InvalidDeclaration, NotSupported, MissingExtra, Corrupt)
"""What is our own fault, whatever the caller sent: 500, and nothing is said of it outside."""

_encode = msgspec.json.Encoder(enc_hook=str).encode


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with one field: `path` as `lines[0].quantity`, a header's name, or `$` for the whole."""

    path: str
    problem: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Problem details (RFC 9457). `code` is stable, `fix` says what to do next, `data` is what the refusal is about."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    fix: str = ""
    instance: str = ""
    errors: tuple[Fault, ...] = ()
    data: Mapping[str, Any] | None = None


class Rejected(Exception):
    """A request that is refused before it becomes a message: a header, the kind or the length of its body."""

    def __init__(self, status: int, code: str, detail: str, *, path: str = "", fix: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.path = path
        self.fix = fix


class Encoded(NamedTuple):
    """A problem, ready to be sent."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def problem(error: Exception) -> Encoded:
    """The status, the extra headers and the body for any exception; what nobody expected is logged here."""
    if isinstance(error, Rejected):
        return _encoded(_rejected(error))
    if isinstance(error, HTTPException):
        return _encoded(_plain(error), dict(error.headers or {}))
    if isinstance(error, DeedlogError) and (known := _known(error)) is not None:
        return _encoded(_declared(error, *known))
    return _encoded(_unexpected(error))


def _encoded(found: Problem, headers: Mapping[str, str] | None = None) -> Encoded:
    raw = tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items())
    if found.status == 503:
        raw = (*raw, (b"retry-after", RETRY_SECONDS))
    return Encoded(found.status, raw, _encode(found))


def problem_type(code: str) -> str:
    """The problem's type: a name that is stable, not an address to open."""
    return f"urn:deedlog:problem:{quote(code, safe='')}"


def _known(error: DeedlogError) -> tuple[int, str] | None:
    """Status and title, or None for what is our own fault."""
    if isinstance(error, UnknownMessage) and error.kind not in ("command", "query"):
        return None  # a handler sent something that is not declared
    if isinstance(error, InvalidMessage) and _unreadable(error):
        return 400, "Not JSON"
    return next((STATUS.get(cls) for cls in type(error).__mro__ if cls in STATUS or cls in OURS), None)


def _unreadable(error: InvalidMessage) -> bool:
    cause = error.__cause__
    malformed = isinstance(cause, msgspec.DecodeError | UnicodeDecodeError | RecursionError)
    return error.path == "$" and malformed and not isinstance(cause, msgspec.ValidationError)


def _declared(error: DeedlogError, status: int, title: str) -> Problem:
    faults = (Fault(error.path, error.problem),) if isinstance(error, InvalidMessage) else ()
    data = {**_attributes(error), **error.data}
    return Problem(
        problem_type(error.code), title, status, error.message, error.code, fix=error.fix, errors=faults, data=data or None
    )


def _attributes(error: DeedlogError) -> dict[str, Any]:
    match error:
        case WrongExpectedVersion():
            return {"stream": error.stream, "expected": error.expected, "actual": error.actual}
        case NotFound():
            return {"what": error.what, "key": error.key}
        case Stale():
            return {"demanded": error.demanded, "reached": error.reached, "waited": round(error.waited, 3)}
        case Building():
            return {"position": error.position, "until": error.until}
        case _:
            return {}


def _rejected(error: Rejected) -> Problem:
    faults = (Fault(error.path, error.detail),) if error.path else ()
    title = error.code.replace("_", " ").capitalize()
    return Problem(problem_type(error.code), title, error.status, error.detail, error.code, fix=error.fix, errors=faults)


def _plain(error: HTTPException) -> Problem:
    status, allowed = error.status_code, (error.headers or {}).get("Allow")
    fix = f"the methods here: {allowed}" if status == 405 and allowed else "see the paths at /docs" if status == 404 else ""
    return Problem("about:blank", error.detail, status, error.detail, f"http_{status}", fix=fix)


def _unexpected(error: Exception) -> Problem:
    id = str(uuid4())
    logger.error("request failed, %s: %s", id, error, exc_info=error)
    detail = f"the server could not do this; its log has the reason under {id}"
    return Problem(
        problem_type("internal"), "Internal error", 500, detail, "internal", fix="report this id", instance=f"urn:uuid:{id}"
    )
