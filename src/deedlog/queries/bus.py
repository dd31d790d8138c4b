"""Answering queries: wait until the read models are as fresh as demanded, open one snapshot, call the handler.

The demand is checked in the very snapshot that the handler reads, so an answer is never older than it says (P7).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeAlias, TypeVar

import msgspec

from deedlog.consistency.freshness import Answer, Freshness
from deedlog.consistency.token import is_of_a_write, position_in
from deedlog.errors import Building, InvalidMessage, Stale, Superseded, UnknownMessage
from deedlog.messages.codec import Codec
from deedlog.messages.envelope import to_micros
from deedlog.projections.aside import Aside
from deedlog.projections.projection import Projection
from deedlog.projections.runner import Failure, Runner
from deedlog.queries.demand import NOTHING_DEMANDED, Demand
from deedlog.queries.handler import QueryHandler, Sql
from deedlog.queries.live import LiveFold, Together
from deedlog.queries.written import streams_written
from deedlog.reads.memory import MemoryReadStore
from deedlog.reads.port import ReadStore, Snapshot
from deedlog.reads.reader import Reader
from deedlog.reads.values import Checkpoint
from deedlog.store.port import EventStore
from deedlog.store.signal import wait_for_any
from deedlog.types import Clock, Position, Token

T = TypeVar("T")
DEFAULT_TIMEOUT = 5.0
POLL_SECONDS = 0.02


Stamp: TypeAlias = tuple[tuple[str, int, Position, int], ...]
"""Where the read models of an answer stood: each projection's name, generation, position and revision."""

UNMOVED: Any = msgspec.UNSET
"""In place of a value: nothing has moved, so the handler was not called."""


class Looked(msgspec.Struct, frozen=True):
    """An answer and the stamp of what it was read from; or `UNMOVED` with how fresh the answer is by now."""

    value: Any
    freshness: Freshness
    checkpoints: Mapping[str, Checkpoint]

    @property
    def stamp(self) -> Stamp:
        return _stamp_of(self.checkpoints, self.freshness)


class QueryBus:
    """One function from a query to its answer."""

    def __init__(self, store: EventStore, reads: ReadStore, codec: Codec, clock: Clock) -> None:
        self._store = store
        self._reads = reads
        self._codec = codec
        self._clock = clock
        self._handlers: dict[type[Any], QueryHandler] = {}
        self._runners: dict[str, Runner] = {}
        self._live: dict[str, LiveFold] = {}

    def add(self, handler: QueryHandler) -> None:
        self._handlers[handler.query] = handler

    def listen(self, runner: Runner) -> None:
        """A runner of this process says when it has moved, or why it can't; what others move is polled."""
        self._runners[runner.projection.name] = runner

    def fold_live(self, projection: Projection) -> None:
        """A projection that is folded when it is read."""
        self._live[projection.name] = LiveFold(projection, self._store, self._codec)

    def _failure(self, handler: QueryHandler) -> Failure | None:
        """Why a projection of this handler stands still, when waiting will not help."""
        for projection in handler.projections:
            runner = self._runners.get(projection.name)
            if runner is not None and runner.failure is not None and runner.failure.lasting:
                return runner.failure
        return None

    async def ask(
        self,
        query: Any,
        *,
        after: Token | None,
        max_staleness: float | None,
        timeout: float,
        strong: bool = False,
        at: Position | None = None,
    ) -> Answer[Any]:
        """The answer of one query. Raises Stale (or Building) when the demand is not met within `timeout` seconds."""
        if at is not None:
            return await self._ask_past(self.handler_of(query), query, at)
        looked = await self.look(query, after=after, max_staleness=max_staleness, timeout=timeout, strong=strong)
        return Answer(looked.value, looked.freshness)

    def handler_of(self, query: Any) -> QueryHandler:
        """What answers a query. Raises UnknownMessage."""
        handler = self._handlers.get(type(query))
        if handler is None:
            known = sorted(cls.__name__ for cls in self._handlers)
            raise UnknownMessage("query handler", type(query).__name__, known)
        return handler

    async def look(
        self,
        query: Any,
        *,
        after: Token | None = None,
        max_staleness: float | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        strong: bool = False,
        unless: Stamp | None = None,
    ) -> Looked:
        """As `ask`, and says where its read models stood; where they still stand at `unless` the handler is not called."""
        handler = self.handler_of(query)
        demand = NOTHING_DEMANDED
        if after is not None or max_staleness is not None or strong:
            seen = position_in(after, self._store.id) if after is not None else 0
            wrote = seen if after is not None and is_of_a_write(after) else 0
            demand = Demand(max(seen, await self._store.head()) if strong else seen, max_staleness, wrote)
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:
            building: Building | Superseded | None = None
            position = 0
            try:
                async with self._snapshot(handler) as snapshot:
                    freshness = await self._freshness(snapshot, demand)
                    if demand is NOTHING_DEMANDED or demand.is_met(freshness):
                        if freshness.parked and demand.seen:
                            await self._refuse_parked(snapshot, handler, demand.seen)
                        if unless is not None and unless == _stamp_of(snapshot.checkpoints, freshness):
                            return Looked(UNMOVED, freshness, snapshot.checkpoints)
                        return Looked(await self._call(handler, query, snapshot), freshness, snapshot.checkpoints)
                    position = freshness.position
            except (Building, Superseded) as error:
                building = error
            waited = loop.time() - started
            failure = self._failure(handler)
            if waited >= timeout or failure is not None:
                if building is not None and failure is None:
                    raise building
                raise self._stale(handler, str(demand), position, waited, failure)
            if strong:
                await self._fold_now(handler, demand.position, timeout - waited)
            await self._moved(handler, min(timeout - waited, POLL_SECONDS))

    def _stale(self, handler: QueryHandler, demand: str, position: Position, waited: float, failure: Failure | None) -> Stale:
        """With the reason, as far as this process knows it."""
        if failure is not None:
            return Stale(demand, position, waited, failure.error)
        for projection in handler.projections:
            runner = self._runners.get(projection.name)
            if runner is not None and (words := runner.checkpoint.paused):
                fix = f"`deedlog projections resume {projection.name}`"
                return Stale(demand, position, waited, f"paused by {words}", fix=fix)
        return Stale(demand, position, waited)

    def _snapshot(self, handler: QueryHandler) -> AbstractAsyncContextManager[Snapshot]:
        live = [self._live[p.name] for p in handler.projections if p.name in self._live] if self._live else None
        if live:
            return self._with_live(handler, live)
        return self._reads.snapshot(handler.projected, by_name=bool(handler.sql))

    @asynccontextmanager
    async def _with_live(self, handler: QueryHandler, live: Sequence[LiveFold]) -> AsyncIterator[Snapshot]:
        head = await self._store.head()
        stored = [p.projected for p in handler.projections if p.name not in self._live]
        async with AsyncExitStack() as stack:
            parts = [await stack.enter_async_context(fold.snapshot(await fold.at(head))) for fold in live]
            if stored:
                parts.insert(0, await stack.enter_async_context(self._reads.snapshot(stored, by_name=bool(handler.sql))))
            yield Together(parts)

    async def _ask_past(self, handler: QueryHandler, query: Any, at: Position) -> Answer[Any]:
        """The answer as it was at a position: the read models are folded up to there, in memory, for this query alone."""
        head = await self._store.head()
        if not 0 <= at <= head:
            raise InvalidMessage("query", "at", f"position {at}, the log ends at {head}", fix=f"0 to {head}")
        reads = MemoryReadStore()
        for projection in handler.projections:
            skips = await self._reads.skips(projection.projected)
            await Aside(projection, self._store, self._codec, reads=reads, skips=skips).fold(at)
        async with reads.snapshot(handler.projected) as snapshot:
            freshness = await self._freshness(snapshot, NOTHING_DEMANDED)
            return Answer(await self._call(handler, query, snapshot), freshness)

    async def _refuse_parked(self, snapshot: Snapshot, handler: QueryHandler, seen: Position) -> None:
        """Raises Stale where what was written to the token's streams waits in the dead letters (P7)."""
        for stream in await streams_written(self._store, seen):
            for projected in handler.projected:
                if await snapshot.is_parked(projected, stream, seen):
                    cause = f"events of {stream} are in its dead letters: see `deedlog dlq list`"
                    reached = snapshot.checkpoints[projected.name].position
                    raise Stale(f"position {seen}", reached, 0.0, cause, fix="mend what failed, then `deedlog dlq retry`")

    async def _fold_now(self, handler: QueryHandler, until: Position, seconds: float) -> None:
        """Folds what is missing up to a position here and now, unless another process has leased it: then that one does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for projection in handler.projections:
                    runner = self._runners.get(projection.name)
                    if runner is not None and not runner.has_effects:
                        await self._fold_one(runner, until)

    @staticmethod
    async def _fold_one(runner: Runner, until: Position) -> None:
        try:
            await runner.catch_up(until)
        except Exception as error:
            cause = f"{runner.projection.name}: {type(error).__name__}: {error}"
            raise Stale(f"position {until}", runner.checkpoint.position, 0.0, cause) from error

    async def _moved(self, handler: QueryHandler, seconds: float) -> None:
        """Until one of the handler's projections moves, at most `seconds`."""
        runners = [runner for p in handler.projections if (runner := self._runners.get(p.name)) is not None]
        for runner in runners:
            runner.hurry()
        await wait_for_any([runner.moved for runner in runners], seconds)

    async def _freshness(self, snapshot: Snapshot, demand: Demand) -> Freshness:
        head = snapshot.head
        if head is None or demand.max_staleness is not None:  # an age is measured against the log as it is now
            head = await self._store.head()
        if not snapshot.checkpoints:
            return Freshness(head, head)
        checkpoints = list(snapshot.checkpoints.values())
        slowest = checkpoints[0] if len(checkpoints) == 1 else min(checkpoints, key=_position_of)
        behind = 0.0
        if slowest.position < head:
            behind = await self._age_after(slowest.position)
        parked = sum(checkpoint.parked for checkpoint in checkpoints)
        return Freshness(slowest.position, head, behind, slowest.updated_at, parked)

    async def _age_after(self, position: Position) -> float:
        """Seconds since the first event after `position` was recorded."""
        pending = await self._store.read_all(position, 1)
        if not pending:
            return 0.0
        return max(0.0, (to_micros(self._clock.now()) - pending[0].recorded_at) / 1e6)

    async def _call(self, handler: QueryHandler, query: Any, snapshot: Snapshot) -> Any:
        extra: dict[str, Any] = {name: Reader(snapshot, model) for name, model in handler.readers.items()}
        if handler.services:
            extra.update(handler.services)
        for name in handler.sql:
            extra[name] = Sql(snapshot)
        if handler.asynchronous:
            return await handler.function(query, **extra)
        return await asyncio.to_thread(handler.function, query, **extra)


def _stamp_of(checkpoints: Mapping[str, Checkpoint], freshness: Freshness) -> Stamp:
    found = tuple((name, at.generation, at.position, at.revision) for name, at in checkpoints.items())
    return found or (("", 0, freshness.head, 0),)  # no read models: only the log can have moved


def _position_of(checkpoint: Checkpoint) -> Position:
    return checkpoint.position
