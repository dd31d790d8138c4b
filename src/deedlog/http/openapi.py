"""The OpenAPI 3.1 document of an app: each command and query with its schema, an example, its headers and its errors."""

import inspect
import re
from collections.abc import Iterable
from typing import Any, get_args, get_origin
from urllib.parse import quote

import msgspec

from deedlog.definition import Definition
from deedlog.http.bodies import AnswerBody, FreshnessBody, ReceiptBody
from deedlog.http.endpoints import Service
from deedlog.http.examples import NoExample, example_of
from deedlog.http.fields import fits_query_string, message_fields
from deedlog.http.health import Liveness, Readiness
from deedlog.http.operations import (
    ANSWER_HEADERS,
    COMMAND_PARAMETERS,
    HEADERS,
    KEPT_HEADERS,
    KEPT_PARAMETERS,
    LIVE_PARAMETERS,
    QUERY_PARAMETERS,
    RECEIPT_HEADERS,
    json_content,
    live_responses,
    parameters,
    problems,
    reference,
    responses,
    unchanged,
)
from deedlog.http.problems import Problem
from deedlog.http.wire import Call, Reply
from deedlog.messages.base import Kind, Query
from deedlog.messages.registry import MessageType
from deedlog.queries.handler import QueryHandler

COMMANDS, QUERIES, QUERIES_IN_BODY, LIVE, HEALTH = "Commands", "Queries", "Queries by POST", "Live queries", "Health"
_DECIMAL = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_OURS = (ReceiptBody, FreshnessBody, Problem, Readiness, Liveness)
_ABOUT = """Commands change something and answer with a receipt; queries read.

A receipt's token (`Deedlog-Token`, or the cookie that a browser keeps by itself) sent with a query makes sure that the
answer reflects that write. Every answer says how fresh it is. Errors are problem details (RFC 9457) with a stable `code`.
"""


class Description:
    """Serves the document; made once, at the first request."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._made: dict[str, Any] | None = None

    async def answer(self, call: Call) -> Reply:
        """`GET /openapi.json`, with the prefix under which it was asked for as the server."""
        if self._made is None:
            settings = self._service.settings
            app = self._service.app
            self._made = document(app.build(), settings.title or app.name, settings.version, settings.max_wait)
        server = {"servers": [{"url": call.scope.get("root_path") or "/"}]}
        return Reply(msgspec.json.encode({**self._made, **server}), ((b"cache-control", b"no-cache"),))


def document(definition: Definition, title: str, version: str, max_wait: float) -> dict[str, Any]:
    """The document, without `servers`. Raises nothing for types without a JSON Schema: their schema is then empty."""
    return _Document(definition, max_wait).whole(title, version)


class _Document:
    def __init__(self, definition: Definition, max_wait: float) -> None:
        self._definition = definition
        self._max_wait = max_wait
        self._commands = _newest(definition, "command")
        self._queries = _newest(definition, "query")
        self._handlers = {handler.query: handler for handler in definition.query_handlers}
        self._tags = {command: kind.cls.__name__ for kind in definition.aggregates for command in kind.decides}
        self._docs = _documented(definition)
        self._schemas, self._components = self._all_schemas()

    def whole(self, title: str, version: str) -> dict[str, Any]:
        paths: dict[str, Any] = {}
        for kind in self._commands:
            paths[f"/commands/{quote(kind.name, safe='')}"] = {"post": self._command(kind)}
        for kind in self._queries:
            paths[f"/queries/{quote(kind.name, safe='')}"] = self._query(kind)
            if fits_query_string(kind):
                paths[f"/queries/{quote(kind.name, safe='')}/live"] = {"get": self._live(kind)}
        paths["/health/live"] = {"get": self._health("live", "Is the process alive?", Liveness)}
        paths["/health/ready"] = {"get": self._health("ready", "May traffic be sent here?", Readiness, 503)}
        groups = dict.fromkeys(self._tags.get(kind.cls, COMMANDS) for kind in self._commands)
        tags = [*groups, *((QUERIES, QUERIES_IN_BODY, LIVE) if self._queries else ()), HEALTH]
        return {
            "openapi": "3.1.0",
            "info": {"title": title, "version": version, "description": _ABOUT},
            "paths": paths,
            "tags": [{"name": tag} for tag in tags],
            "components": {
                "schemas": self._components,
                "parameters": parameters(self._max_wait),
                "headers": HEADERS,
                "responses": problems(self._schemas[Problem]),
            },
        }

    def _all_schemas(self) -> tuple[dict[Any, Any], dict[str, Any]]:
        """Schema by type, and the shared ones by name."""
        kinds = [*self._commands, *self._queries]
        answers = [self._answer_type(kind) for kind in self._queries]
        wanted = list(dict.fromkeys([*_OURS, *(kind.cls for kind in kinds), *answers]))
        found, components = msgspec.json.schema_components(wanted, ref_template="#/components/schemas/{name}")
        for schema in (*found, *components.values()):
            _sharpen(schema)
        return dict(zip(wanted, found, strict=True)), components

    def _answer_type(self, kind: MessageType) -> Any:
        answer = _answer_of(kind.cls, self._handlers.get(kind.cls))
        try:
            hash(answer)
            msgspec.json.schema(answer)
        except (TypeError, NameError):
            return Any
        return answer

    def _command(self, kind: MessageType) -> dict[str, Any]:
        return {
            **self._head(kind, f"command.{kind.name}", self._tags.get(kind.cls, COMMANDS)),
            "parameters": reference("parameters", COMMAND_PARAMETERS),
            "requestBody": self._body(kind),
            "responses": responses("Done and durable.", self._schemas[ReceiptBody], RECEIPT_HEADERS, body=True),
        }

    def _query(self, kind: MessageType) -> dict[str, Any]:
        asked = {
            **self._head(kind, f"query.{kind.name}.post", QUERIES_IN_BODY),
            "parameters": reference("parameters", QUERY_PARAMETERS),
            "requestBody": self._body(kind),
            "responses": responses("The answer.", self._answer_schema(kind), ANSWER_HEADERS, body=True),
        }
        if not fits_query_string(kind):
            return {"post": asked}
        got = {
            **self._head(kind, f"query.{kind.name}", QUERIES),
            "parameters": [*self._fields(kind), *reference("parameters", KEPT_PARAMETERS)],
            "responses": responses("The answer.", self._answer_schema(kind), KEPT_HEADERS, body=False) | unchanged(),
        }
        return {"get": got, "post": asked}

    def _live(self, kind: MessageType) -> dict[str, Any]:
        head = self._head(kind, f"query.{kind.name}.live", LIVE)
        return {
            **head,
            "summary": f"{head['summary']}: live",
            "parameters": [*self._fields(kind), *reference("parameters", LIVE_PARAMETERS)],
            "responses": live_responses(),
        }

    def _answer_schema(self, kind: MessageType) -> dict[str, Any]:
        return {
            "title": f"Answer of {kind.name}",
            "description": inspect.getdoc(AnswerBody),
            "type": "object",
            "properties": {"value": self._schemas[self._answer_type(kind)], "freshness": self._schemas[FreshnessBody]},
            "required": ["value", "freshness"],
        }

    def _head(self, kind: MessageType, id: str, tag: str) -> dict[str, Any]:
        first, _, rest = self._docs.get(kind.cls, "").partition("\n\n")
        head = {"operationId": id, "summary": " ".join(first.split()) or _words(kind.name), "tags": [tag]}
        return {**head, "description": rest} if rest else head

    def _body(self, kind: MessageType) -> dict[str, Any]:
        content = json_content(self._schemas[kind.cls])
        example = _example(kind.cls)
        if example is not None:
            content["application/json"]["example"] = example
        return {"required": True, "content": content}

    def _fields(self, kind: MessageType) -> list[dict[str, Any]]:
        """The fields of a query as parameters of its query string, resolved out of the shared schema."""
        own = self._components[self._schemas[kind.cls]["$ref"].rpartition("/")[2]]
        examples = _example(kind.cls) or {}
        return [
            {
                "name": name,
                "in": "query",
                "required": field.required,
                "schema": own["properties"][name],
                **({"example": examples[name]} if name in examples else {}),
            }
            for field in message_fields(kind.cls)
            for name in (field.encode_name,)
        ]

    def _health(self, name: str, summary: str, body: type[Any], *others: int) -> dict[str, Any]:
        content = json_content(self._schemas[body])
        return {
            "operationId": f"health.{name}",
            "summary": summary,
            "tags": [HEALTH],
            "responses": {
                "200": {"description": "Yes.", "content": content},
                **{str(status): {"description": "No; it says why.", "content": content} for status in others},
            },
        }


def _newest(definition: Definition, kind: Kind) -> list[MessageType]:
    found = {known.name: definition.registry.newest(kind, known.name) for known in definition.registry.all(kind)}
    return list(found.values())


def _documented(definition: Definition) -> dict[type[Any], str]:
    """What each message is for, in the words of its class, else of what answers it."""
    answering: Iterable[tuple[type[Any], Any]] = [
        *((command, function) for kind in definition.aggregates for command, function in kind.decides.items()),
        *((handler.command, handler.function) for handler in definition.command_handlers),
        *((handler.query, handler.function) for handler in definition.query_handlers),
    ]
    found = {cls: inspect.cleandoc(vars(cls).get("__doc__") or function.__doc__ or "") for cls, function in answering}
    return {cls: words for cls, words in found.items() if not words.startswith(f"{cls.__name__}(")}  # a dataclass's own


def _answer_of(query: type[Any], handler: QueryHandler | None) -> Any:
    """`T` of `class Q(Query[T])`, else what the handler says that it returns."""
    for base in getattr(query, "__orig_bases__", ()):
        if get_origin(base) is Query and not isinstance(argument := get_args(base)[0], str):
            return argument
    return handler.signature.returns if handler is not None else Any


def _words(name: str) -> str:
    """`CreateProduct` → `Create product`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").capitalize()


def _example(cls: type[Any]) -> Any:
    try:
        return example_of(cls)
    except NoExample:
        return None


def _sharpen(schema: Any) -> None:
    """Says what the codec refuses beyond the type: integers of more than 64 bits, texts that are no decimal number."""
    if isinstance(schema, dict):
        if schema.get("type") == "integer":
            schema.setdefault("format", "int64")
        if schema.get("format") == "decimal":
            schema.setdefault("pattern", _DECIMAL)
        for inner in schema.values():
            _sharpen(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _sharpen(inner)
