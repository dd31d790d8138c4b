"""What a query handler reads with: typed, paged, inside one snapshot."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Generic, TypeVar, get_args, overload

import msgspec

from deedlog.errors import InvalidMessage, Misuse, NotFound
from deedlog.messages.limits import INT_MAX, INT_MIN
from deedlog.reads.model import Column, Key, RowType
from deedlog.reads.port import Snapshot
from deedlog.reads.values import Condition, Find, Operator, Order

T = TypeVar("T")
D = TypeVar("D")

MAX_PAGE = 1_000
_OPERATORS = frozenset(get_args(Operator))
_NONE: Any = object()
_COMPARABLE = ("lt", "lte", "gt", "gte")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Rows in order. `next` is what to pass as `page` for those that follow, None at the end."""

    rows: list[T]
    next: str | None


class Reader(Generic[T]):
    """Reads the rows of one read model. All readers of a query see the same commit."""

    def __init__(self, snapshot: Snapshot, model: RowType) -> None:
        self._snapshot = snapshot
        self._model = model

    @overload
    async def get(self, key: Key) -> T: ...
    @overload
    async def get(self, key: Key, default: D) -> T | D: ...
    async def get(self, key: Key, default: Any = _NONE) -> Any:
        """The row of that key, else `default`. Without a default: raises NotFound."""
        found = await self._snapshot.get(self._model, key)
        if found is not None:
            return found
        if default is not _NONE:
            return default
        raise NotFound(self._model.name, str(key))

    async def get_many(self, keys: Collection[Key]) -> dict[Key, T]:
        """The rows of those keys that exist, in the order asked for."""
        found = await self._snapshot.get_many(self._model, tuple(keys))
        return {key: found[key] for key in keys if key in found}

    async def find(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        order: str | Sequence[str] = (),
        limit: int = 100,
        page: str | None = None,
    ) -> Page[T]:
        """Rows that meet all of `where`, at most `limit` (1 to 1,000) of them.

        `where`: field → value, or `field__op` with ne, lt, lte, gt, gte, in, prefix, contains, null. `order`: fields, `-field`
        for descending; the key decides between equals. `page`: the `next` of the page before, asked for with the same order.
        Raises Misuse for a field that is not there, InvalidMessage for a `limit` outside or a `page` of another order.
        """
        _check_limit(limit)
        orders = self._orders((order,) if isinstance(order, str) else order)
        after = self._after(page, orders) if page is not None else None
        rows = await self._snapshot.find(self._model, Find(self._conditions(where), orders, limit + 1, after))
        more = len(rows) > limit
        rows = rows[:limit]
        return Page(rows, self._cursor(rows[-1], orders) if more else None)

    async def count(self, where: Mapping[str, Any] | None = None) -> int:
        """How many rows meet all of `where`."""
        return await self._snapshot.count(self._model, self._conditions(where))

    async def search(self, text: str, *, limit: int = 20) -> list[T]:
        """Rows that have, for each word of `text`, a word that starts with it; best first; none for an empty text.

        Raises Misuse where the read model declares no `search` fields, InvalidMessage for a `limit` outside 1 to 1,000.
        """
        _check_limit(limit)
        if not self._model.search:
            raise Misuse(f"{self._model.name} has no search", fix="declare search=(…fields…) at its read_model")
        words = _split(text)
        return await self._snapshot.search(self._model, words, limit) if words else []

    def _conditions(self, where: Mapping[str, Any] | None) -> tuple[Condition, ...]:
        return tuple(self._condition(name, value) for name, value in (where or {}).items())

    def _condition(self, name: str, value: Any) -> Condition:
        field, _, operator = name.partition("__")
        operator = operator or "eq"
        column = self._model.column(field)
        if operator not in _OPERATORS:
            raise Misuse(f"'{name}': there is no operator '{operator}'", fix=f"one of {', '.join(sorted(_OPERATORS))}")
        if column.kind == "json" and operator != "null":
            raise Misuse(f"'{name}': {field} is stored as JSON and can't be compared", fix="compare in Python, or use SQL")
        if operator in ("prefix", "contains") and column.kind != "text":
            raise Misuse(f"'{name}': {field} is not text")
        if operator == "null":
            return Condition(field, "null", bool(value))
        if operator == "in":
            return Condition(field, "in", tuple(_typed(column, item) for item in value))
        if value is None:
            if operator in _COMPARABLE:
                raise Misuse(f"'{name}': None is neither less nor more", fix=f"use '{field}__null': True")
            return Condition(field, "null", operator == "eq")
        return Condition(field, operator, _typed(column, value))  # type: ignore[arg-type]  # checked above

    def _orders(self, names: Sequence[str]) -> tuple[Order, ...]:
        orders = [Order(name.lstrip("-"), name.startswith("-")) for name in names if name]
        for order in orders:
            if self._model.column(order.column).kind == "json":
                raise Misuse(f"{order.column} is stored as JSON and can't be sorted by")
        if self._model.key not in (order.column for order in orders):
            orders.append(Order(self._model.key))
        return tuple(orders)

    def _cursor(self, row: T, orders: tuple[Order, ...]) -> str:
        body = [_signature(orders), [getattr(row, order.column) for order in orders]]
        return urlsafe_b64encode(msgspec.json.encode(body)).decode().rstrip("=")

    def _after(self, page: str, orders: tuple[Order, ...]) -> tuple[Any, ...]:
        try:
            signature, values = msgspec.json.decode(urlsafe_b64decode(page + "=" * (-len(page) % 4)))
            if signature != _signature(orders) or len(values) != len(orders):
                raise ValueError("made with another order")
            pairs = [(self._model.column(order.column), value) for order, value in zip(orders, values, strict=True)]
            return tuple(None if value is None else _typed(column, value) for column, value in pairs)
        except (ValueError, TypeError, binascii.Error, msgspec.MsgspecError, Misuse) as error:
            raise InvalidMessage("page", "page", f"not a page of this list: {error}", fix="send `next` as it was") from error


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidMessage("query", "limit", f"{limit} rows", fix=f"1 to {MAX_PAGE}; then ask for the next page")


def _signature(orders: tuple[Order, ...]) -> str:
    return ",".join(f"-{order.column}" if order.descending else order.column for order in orders)


def _typed(column: Column, value: Any) -> Any:
    try:
        typed = msgspec.convert(value, column.type)
    except msgspec.ValidationError as error:
        raise Misuse(f"{column.name}: {error}", fix=f"compare with a {column.kind}") from error
    if column.kind == "int" and not INT_MIN <= typed <= INT_MAX:
        raise Misuse(f"{column.name}: {value} does not fit into 64 bits")
    return typed


def _split(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text).split()
