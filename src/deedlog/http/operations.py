"""What all operations of the OpenAPI document share: headers in, headers out, problems."""

from collections.abc import Iterable
from typing import Any

from deedlog.commands.handlers import MAX_ID
from deedlog.http.problems import problem_type
from deedlog.queries.bus import DEFAULT_TIMEOUT

_TOKEN_TEXT = {"type": "string", "minLength": 1}  # opaque: no pattern, or somebody would read it
_ID = {"type": "string", "minLength": 1, "maxLength": MAX_ID, "pattern": "^[!-~]+$"}
_SECONDS = {"type": "number", "minimum": 0}
_COUNT = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_MOMENT = {"oneOf": [_COUNT, {"type": "string", "format": "date-time"}], "examples": [42, "2026-01-31T09:30:00Z"]}

COMMAND_PARAMETERS = ("IdempotencyKey", "CorrelationId", "Traceparent", "Token", "CommandTimeout")
QUERY_PARAMETERS = ("Token", "MaxStaleness", "Strong", "At", "Timeout")
KEPT_PARAMETERS = (*QUERY_PARAMETERS, "IfNoneMatch")
LIVE_PARAMETERS = ("LastEventId", "Token", "MaxStaleness")

HEADERS: dict[str, Any] = {
    "Token": {"description": "Send it back, and the next answer reflects at least this.", "schema": _TOKEN_TEXT},
    "Position": {"description": "The answer reflects every event up to this one.", "schema": _COUNT},
    "Head": {"description": "The newest event there was.", "schema": _COUNT},
    "BehindEvents": {"description": "Events that the answer does not reflect yet.", "schema": _COUNT},
    "BehindSeconds": {"description": "Age of the oldest of them, 0 without any.", "schema": _SECONDS},
    "Parked": {"description": "Keys of its read models that wait in the dead letters.", "schema": _COUNT},
    "Tag": {"description": "Stands for the value; send it as If-None-Match.", "schema": {"type": "string"}},
    "RetryAfter": {"description": "Seconds after which to try again.", "schema": _COUNT},
}
RECEIPT_HEADERS = {"Deedlog-Token": "Token", "Deedlog-Position": "Position"}
ANSWER_HEADERS = {
    **RECEIPT_HEADERS,
    "Deedlog-Head": "Head",
    "Deedlog-Behind-Events": "BehindEvents",
    "Deedlog-Behind-Seconds": "BehindSeconds",
    "Deedlog-Parked": "Parked",
}
KEPT_HEADERS = {**ANSWER_HEADERS, "ETag": "Tag"}

_PROBLEMS: dict[int, str] = {
    400: "Not HTTP or JSON as agreed: a header, the query string, or JSON that can't be read.",
    404: "There is nothing of that key.",
    409: "Refused by the state that is there; `code` and `data` say why.",
    413: "The body is too long.",
    415: "The body is not said to be JSON.",
    422: "A field is wrong (`errors` names it), or the Idempotency-Key was used for something else.",
    500: "The server's fault; `instance` is the id in its log.",
    503: "Not now, or not fresh enough in time. Safe to send again.",
}
_BODY_ONLY = (413, 415)
_EXAMPLES: dict[int, tuple[str, str, dict[str, Any]]] = {
    400: (
        "bad_token",
        "not a token: 'x'",
        {"fix": "send what a receipt gave you", "errors": [{"path": "Deedlog-Token", "problem": "not a token: 'x'"}]},
    ),
    404: ("not_found", "no row with key '7'", {"data": {"what": "row", "key": "7"}}),
    409: ("refused", "only 3 left", {"data": {"available": 3}}),
    413: ("too_large", "the body is longer than 1048576 bytes", {"fix": "send less, or send an address of it"}),
    415: ("unsupported_media_type", "'text/plain' is not JSON", {"fix": "send application/json"}),
    422: (
        "invalid_message",
        "lines[0].quantity: Expected int, got str",
        {
            "fix": "send a value of that type",
            "errors": [{"path": "lines[0].quantity", "problem": "Expected int, got str"}],
        },
    ),
    500: ("internal", "the server could not do this", {"instance": "urn:uuid:0198c2a4-5f6e-7a10-8b3c-2d4e6f708192"}),
    503: ("stale", "the read model is at position 41, demanded was 42", {"data": {"reached": 41}}),
}


def parameters(max_wait: float) -> dict[str, Any]:
    """The headers that a request may have."""
    return {
        "IdempotencyKey": _header("Idempotency-Key", "Sent twice, done once, and the same receipt twice.", _ID),
        "CorrelationId": _header("Deedlog-Correlation-Id", "Names the conversation that this belongs to.", _ID),
        "Traceparent": _header("traceparent", "W3C trace context; kept with the events.", {"type": "string"}),
        "Token": _header("Deedlog-Token", "From a receipt or an answer: what was seen there is seen here.", _TOKEN_TEXT),
        "MaxStaleness": _header("Deedlog-Max-Staleness", "No event older than these seconds may be missing.", _SECONDS),
        "Timeout": _header(
            "Deedlog-Timeout",
            "Seconds to wait for such an answer.",
            {**_SECONDS, "maximum": max_wait, "default": min(DEFAULT_TIMEOUT, max_wait)},
        ),
        "CommandTimeout": _header(
            "Deedlog-Timeout",
            "Seconds after which the caller wants to hear that it was not done; `stored` in the problem says what is known.",
            {**_SECONDS, "maximum": max_wait},
        ),
        "Strong": _header(
            "Deedlog-Strong", "Reflects all that is in the log now: what is missing is folded.", {"type": "boolean"}
        ),
        "At": _header("Deedlog-At", "The answer as it was: a position, or a time with its zone.", _MOMENT),
        "IfNoneMatch": _header("If-None-Match", "ETags of answers that the caller has.", {"type": "string"}),
        "LastEventId": _header("Last-Event-ID", "The `id` of the last event that was got; one of no use is ignored.", _TEXT),
    }


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def reference(kind: str, names: Iterable[str]) -> list[dict[str, str]]:
    """References to shared parts of the document."""
    return [{"$ref": f"#/components/{kind}/{name}"} for name in names]


def json_content(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON body of that schema."""
    return {"application/json": {"schema": schema}}


def problems(schema: dict[str, Any]) -> dict[str, Any]:
    """The shared error responses."""
    return {f"Problem{status}": _problem(status, words, schema) for status, words in _PROBLEMS.items()}


def _problem(status: int, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    code, detail, more = _EXAMPLES[status]
    title = code.replace("_", " ").capitalize()
    example = {"type": problem_type(code), "title": title, "status": status, "detail": detail, "code": code, **more}
    content = {"application/problem+json": {"schema": schema, "example": example}}
    found: dict[str, Any] = {"description": description, "content": content}
    if status == 503:
        found["headers"] = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
    return found


def responses(description: str, schema: dict[str, Any], headers: dict[str, str], *, body: bool) -> dict[str, Any]:
    """The answer and every error of a command or query; `body` says that the request has one."""
    return {"200": {"description": description, "headers": _named(headers), "content": json_content(schema)}} | _errors(body)


def unchanged() -> dict[str, Any]:
    """304: the caller has it already."""
    return {"304": {"description": "The value is that of a tag in If-None-Match.", "headers": _named(KEPT_HEADERS)}}


def live_responses() -> dict[str, Any]:
    """A stream of answers, and what may be refused before it begins."""
    words = (
        "A stream that does not end. Each event `answer` has the answer as `data` and its token as `id`; an event `problem` has "
        "a problem, when there is no answer. Lines that begin with a colon are comments."
    )
    return {"200": {"description": words, "content": {"text/event-stream": {"schema": {"type": "string"}}}}} | _errors(False)


def _named(headers: dict[str, str]) -> dict[str, Any]:
    return {shown: {"$ref": f"#/components/headers/{name}"} for shown, name in headers.items()}


def _errors(body: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status in _PROBLEMS:
        if body or status not in _BODY_ONLY:
            found[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    return found
