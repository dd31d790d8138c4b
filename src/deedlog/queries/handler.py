"""The functions that answer queries, and what is handed to them."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin, overload

import msgspec

from deedlog.domain.services import resolve
from deedlog.domain.signature import Signature
from deedlog.errors import InvalidDeclaration, Misuse
from deedlog.projections.projection import Projection, model_of
from deedlog.reads.model import RowType
from deedlog.reads.port import Snapshot
from deedlog.reads.reader import Reader
from deedlog.reads.values import Projected

T = TypeVar("T")


class Sql:
    """Handed to a query handler that asks for it: SELECTs in the store's own dialect, in the query's snapshot.

    Each read model is a view of its snake-case name. Declare what is read with `@app.query(reads=[…])`; without it the
    answer counts as fresh as the slowest read model.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @overload
    async def all(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[dict[str, Any]]: ...
    @overload
    async def all(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = (), *, into: type[T]) -> list[T]: ...
    async def all(
        self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = (), *, into: type[T] | None = None
    ) -> Any:
        """All rows, as dictionaries or as objects of `into`. Raises Misuse with the database's words."""
        rows = await self._snapshot.sql(statement, parameters)
        if into is None:
            return rows
        try:
            return msgspec.convert(rows, list[into], strict=False)  # type: ignore[valid-type]
        except msgspec.ValidationError as error:
            raise Misuse(f"the rows don't fit {into.__name__}: {error}", fix="name the columns like its fields") from error


class QueryHandler:
    """A function that answers one query class."""

    def __init__(self, function: Callable[..., Any], reads: Sequence[Any] = ()) -> None:
        self.function = function
        self.signature = Signature(function)
        self.query: type[Any] = self.signature.first
        self.asynchronous = inspect.iscoroutinefunction(function)
        self.reads = tuple(reads)
        self.services: dict[str, Any] = {}
        self.readers: dict[str, RowType] = {}
        self.sql: list[str] = []
        self.projections: tuple[Projection, ...] = ()
        self.projected: tuple[Projected, ...] = ()

    def bind(self, services: Mapping[Any, Any], projections: Sequence[Projection]) -> None:
        """Finds its readers and services. Raises InvalidDeclaration for what nobody provides."""
        used: dict[str, Projection] = {}
        for name, wanted in list(self.signature.parameters.items())[1:]:
            if get_origin(wanted) is Reader:
                projection, model = self._model(get_args(wanted)[0], projections)
                self.readers[name] = model
                used[projection.name] = projection
            elif wanted is Sql:
                self.sql.append(name)
            else:
                self.services[name] = resolve(self.signature, name, wanted, services)
        for read in self.reads:
            free = next((p for p in projections if getattr(p, "function", None) is read), None)
            projection = free if free is not None else self._model(read, projections)[0]
            used[projection.name] = projection
        if self.sql and not self.reads:
            used = {projection.name: projection for projection in projections}
        self.projections = tuple(used.values())
        self.projected = tuple(projection.projected for projection in self.projections)

    @property
    def reads_only(self) -> bool:
        """Whether its answers come from read models alone: while those stand still, it answers the same."""
        return bool(self.projections) and not self.services

    def _model(self, cls: type[Any], projections: Sequence[Projection]) -> tuple[Projection, RowType]:
        found = model_of(projections, cls)
        if found is None:
            raise InvalidDeclaration(
                self.signature.place,
                f"{cls.__name__} is no read model of this app",
                fix="declare it with @app.read_model",
            )
        return found
