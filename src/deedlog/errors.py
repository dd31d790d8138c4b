"""Every error that deedlog raises, by what the caller does about it.

    DeedlogError
    ├── DomainError            refused: change what you ask for
    │   ├── Refused            a business rule said no
    │   └── InvalidMessage     the message has the wrong shape; names the field
    │       └── UnknownMessage no such command, event or query
    ├── Conflict               somebody else was first
    │   ├── WrongExpectedVersion
    │   ├── ConditionFailed    an event that must not be there is
    │   ├── StreamClosed       the stream takes no more events
    │   └── DuplicateMessage   this id was used for something else
    ├── NotFound               no such row
    ├── Unavailable            safe to try again
    │   ├── DeadlineExceeded   the command's own time was over
    │   ├── Stale              the read model has not caught up in time
    │   ├── Building           the read model is new and not yet complete
    │   └── Superseded         another version of the app has the read model's tables
    ├── Misuse                 the program or its configuration is wrong
    │   ├── InvalidDeclaration names file and line
    │   ├── NotSupported
    │   └── MissingExtra
    └── Corrupt                stop: what is stored is not what was written

Each carries data first (`code`, attributes, `data`) and words second. Message text is for people only.
"""

from datetime import datetime
from typing import Any, ClassVar


class DeedlogError(Exception):
    """The root. `code` is stable, `data` says it in values, `fix` says what to do next."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, fix: str = "", **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.data = data

    def __str__(self) -> str:
        return f"{self.message} ({self.fix})" if self.fix else self.message


class DomainError(DeedlogError):
    """The request can't be granted as it is; sending it again changes nothing."""

    code = "domain_error"


class Refused(DomainError):
    """A business rule said no. Keywords become `data` and reach the caller, also over HTTP.

    `raise Refused("only 3 left", available=3)`; `code=` names the rule for callers that branch on it.
    """

    code = "refused"

    def __init__(self, message: str, *, code: str = "refused", **data: Any) -> None:
        super().__init__(message, **data)
        self.code = code  # type: ignore[misc]  # a class constant elsewhere, the rule's name here


class InvalidMessage(DomainError):
    """A message has the wrong shape. `path` is the field (`lines[0].quantity`; `$` is the whole message)."""

    code = "invalid_message"

    def __init__(self, message_name: str, path: str, problem: str, *, fix: str = "") -> None:
        at = "" if path == "$" else f"{path}: "
        super().__init__(f"{message_name}: {at}{problem}", fix=fix)
        self.message_name = message_name
        self.path = path
        self.problem = problem


class UnknownMessage(InvalidMessage):
    """Nothing of that name is declared; `known` lists what is."""

    code = "unknown_message"

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        listed = ", ".join(known[:20]) or "nothing"
        super().__init__(name, "$", f"there is no {kind} of this name", fix=f"declared: {listed}")
        self.kind = kind
        self.known = known


class Conflict(DeedlogError):
    """Somebody else was first."""

    code = "conflict"


class WrongExpectedVersion(Conflict):
    """The stream is not at the version that the append expected; nothing was stored."""

    code = "wrong_expected_version"

    def __init__(self, stream: str, expected: str, actual: int) -> None:
        super().__init__(
            f"stream '{stream}' is at version {actual}, expected {expected}",
            fix="read the stream again and decide anew",
        )
        self.stream = stream
        self.expected = expected
        self.actual = actual


class ConditionFailed(Conflict):
    """An event at `position`, behind `after`, matches what must not be there; nothing was stored."""

    code = "condition_failed"

    def __init__(self, matching: str, after: int, position: int) -> None:
        super().__init__(
            f"event {position} matches '{matching}', and none after {after} may",
            fix="read the matching events again and decide anew",
            matching=matching,
            after=after,
            position=position,
        )
        self.matching = matching
        self.after = after
        self.position = position


class StreamClosed(Conflict):
    """The stream was closed, at the time `at`: it takes no more events. Nothing was stored."""

    code = "stream_closed"

    def __init__(self, stream: str, by: str, why: str, at: datetime) -> None:
        super().__init__(
            f"stream '{stream}' was closed by {by} at {at.isoformat()}: {why}",
            fix="start another stream",
            stream=stream,
            by=by,
            why=why,
            at=at.isoformat(),
        )
        self.stream = stream
        self.by = by
        self.why = why
        self.at = at


class DuplicateMessage(Conflict):
    """This id was already used for a different message; nothing was stored."""

    code = "duplicate_message"

    def __init__(self, message_id: str) -> None:
        super().__init__(
            f"command id '{message_id}' was already used for another command", fix="give each command an id of its own"
        )
        self.message_id = message_id


class NotFound(DeedlogError):
    """There is no row of this key (now, and as fresh as the answer says)."""

    code = "not_found"

    def __init__(self, what: str, key: str) -> None:
        super().__init__(f"no {what} with key '{key}'")
        self.what = what
        self.key = key


class Unavailable(DeedlogError):
    """Not now: overloaded, locked, no space, closing. Safe to try again with the same command id."""

    code = "unavailable"


class DeadlineExceeded(Unavailable):
    """The command was not done within the `timeout` that its caller gave, in seconds.

    `stored` is False when nothing was; None when it may have been: repeat the command with its id to learn what it did.
    """

    code = "deadline_exceeded"

    def __init__(self, timeout: float, waited: float, *, stored: bool | None) -> None:
        known = "nothing was stored" if stored is False else "it may have been stored"
        super().__init__(
            f"the command was not done within {timeout:g} s; {known}",
            fix="send it again, or allow more time" if stored is False else "repeat it with the same id",
            stored=stored,
            waited=waited,
        )
        self.timeout = timeout
        self.waited = waited
        self.stored = stored


class Stale(Unavailable):
    """The read model did not reach what was demanded within the timeout; nothing older was returned.

    `cause` says why it stands still, when it does and that is known here; then nobody waits for the timeout.
    """

    code = "stale"

    def __init__(self, demanded: str, reached: int, waited: float, cause: str = "", fix: str = "") -> None:
        stands = f"; it stands still: {cause}" if cause else ""
        super().__init__(
            f"the read model is at position {reached}, demanded was {demanded}; waited {waited:.3f} s{stands}",
            fix=fix or ("mend its fold and restart" if cause else "ask again, or allow a longer timeout"),
        )
        self.cause = cause
        self.demanded = demanded
        self.reached = reached
        self.waited = waited


class Building(Unavailable):
    """The read model is new, or its declaration has changed: it answers when it has come to `until`."""

    code = "building"

    def __init__(self, projection: str, position: int, until: int) -> None:
        super().__init__(
            f"{projection} is being built: event {position} of {until}", fix="ask again, or look at `deedlog projections status`"
        )
        self.projection = projection
        self.position = position
        self.until = until


class Superseded(Unavailable):
    """Another version of the app has the tables of this read model: its rows are shown, or this version's were rolled back."""

    code = "superseded"

    def __init__(self, projection: str, problem: str, *, fix: str) -> None:
        super().__init__(f"{projection}: {problem}", fix=fix)
        self.projection = projection


class Misuse(DeedlogError):
    """The program or its configuration is wrong; trying again does not help."""

    code = "misuse"


class InvalidDeclaration(Misuse):
    """A declaration can't work. `place` is `file:line`."""

    code = "invalid_declaration"

    def __init__(self, place: str, problem: str, *, fix: str = "") -> None:
        super().__init__(f"{place}: {problem}", fix=fix)
        self.place = place
        self.problem = problem


class NotSupported(Misuse):
    """This adapter can't do that; the message names one that can."""

    code = "not_supported"


class MissingExtra(Misuse):
    """An optional part is not installed."""

    code = "missing_extra"

    def __init__(self, extra: str) -> None:
        super().__init__(f"this needs the extra '{extra}'", fix=f"pip install 'deedlog[{extra}]'")
        self.extra = extra


class Corrupt(DeedlogError):
    """What is stored is not what was written. Stop, keep the files, and look."""

    code = "corrupt"
