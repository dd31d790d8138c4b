"""The composition root: declarations and configuration become a running service. Only here are adapters chosen."""

import asyncio
import os
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar, overload
from urllib.parse import unquote, urlsplit

from deedlog import faults
from deedlog.commands.context import Receipt
from deedlog.commands.importing import Importable, Imported
from deedlog.commands.loading import Loaded
from deedlog.consistency.freshness import Answer
from deedlog.definition import Definition
from deedlog.errors import Misuse, NotSupported, Unavailable
from deedlog.ids import IdSource, new_id
from deedlog.messages.base import Query
from deedlog.module import Module
from deedlog.projections.aside import Change
from deedlog.queries.bus import DEFAULT_TIMEOUT
from deedlog.queries.watch import Answers, Watching
from deedlog.reads.memory import MemoryReadStore
from deedlog.reads.port import ReadStore
from deedlog.reads.sqlite import SqliteReadStore
from deedlog.reads.values import Checkpoint
from deedlog.running import Running
from deedlog.sqlite.database import Database
from deedlog.store.memory import MemoryEventStore
from deedlog.store.port import EventStore, StreamClosing
from deedlog.store.sqlite import SqliteEventStore
from deedlog.sync import Sync
from deedlog.types import Clock, Position, SystemClock, Token

T = TypeVar("T")
LONGEST = timedelta(days=36_500)
S = TypeVar("S")


class App(Module):
    """A service: declare with `@app.…`, then `execute` commands and `ask` queries.

    `store` is `memory://` or `sqlite:///path`; by default the environment's `DEEDLOG_STORE`, else `./<name>.db`. Starts at the
    first use; `async with app:` starts and stops it. Belongs to one event loop at a time. `app.sync` is the same for callers
    that block. `keep_receipts` says how long a command sent again with its id is known; None: for ever.
    """

    def __init__(
        self,
        name: str,
        *,
        store: str | None = None,
        clock: Clock | None = None,
        ids: IdSource = new_id,
        keep_receipts: timedelta | None = None,
    ) -> None:
        super().__init__()
        if not name.replace("-", "").replace("_", "").isalnum():
            raise Misuse(f"'{name}' can't name an app", fix="letters, digits, - and _; it names the database file")
        self.name = name
        self.url = store or os.environ.get("DEEDLOG_STORE") or f"sqlite:///{name}.db"
        self.clock = clock or SystemClock()
        if keep_receipts is not None and not timedelta() < keep_receipts <= LONGEST:
            raise Misuse(f"keep_receipts={keep_receipts}", fix=f"more than nothing, at most {LONGEST.days} days; None keeps all")
        self.keep_receipts = keep_receipts
        self._ids = ids
        self._services: dict[Any, Any] = {}
        self._running: Running | None = None
        self._lock: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self.sync = Sync(self)

    def provide(self, service: Any, *, as_type: Any = None) -> None:
        """Hands `service` to handlers that ask for its class (or for `as_type`). Raises Misuse once the app runs."""
        if self._running is not None:
            raise Misuse("the app runs already", fix="provide services before it starts")
        self._services[as_type or type(service)] = service

    def build(self) -> Definition:
        """Reads and checks all declarations. Raises InvalidDeclaration with file and line."""
        return Definition(self, self._services)

    async def start(self, *, projections: bool = True) -> Running:
        """Opens the stores and starts the projections (unless another process runs them). Twice is once."""
        async with self._one_at_a_time():
            self._forget_a_closed_loop()
            if self._running is None:
                if spec := os.environ.get("DEEDLOG_FAULT"):
                    faults.arm(spec)
                stores = open_stores(self.url, self.clock)
                running = Running(self.build(), *stores, clock=self.clock, ids=self._ids, keep_receipts=self.keep_receipts)
                await running.start(projections=projections)
                self._running = running
            return self._running

    async def stop(self) -> None:
        """Stores what was accepted, stops the projections, closes the stores. What is just starting is stopped too.

        Cancelled, it closes them at once: who still waits for a receipt then gets Unavailable.
        """
        async with self._one_at_a_time():
            self._forget_a_closed_loop()
            running, self._running = self._running, None
            if running is not None:
                await running.stop()

    def _forget_a_closed_loop(self) -> None:
        """After an `asyncio.run` that ended without `stop`: nobody can stop what ran there; what it answered is on disk."""
        if self._running is not None and self._running.loop.is_closed():
            self._running.projections.worker.end()
            self._running = None

    def _one_at_a_time(self) -> asyncio.Lock:
        """The lock of this event loop around starting and stopping."""
        loop = asyncio.get_running_loop()
        if self._lock is None or self._lock[0] is not loop:
            self._lock = (loop, asyncio.Lock())
        return self._lock[1]

    async def __aenter__(self) -> "App":
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def _started(self) -> Running:
        running = await self.start()
        if running.loop is not asyncio.get_running_loop():
            raise Misuse(f"app {self.name} was started on another event loop", fix="stop it there first: `async with app:`")
        return running

    @property
    def running(self) -> Running:
        """The started app's parts. Raises Unavailable before it is started."""
        if self._running is None:
            raise Unavailable(f"app {self.name} is not started", fix="use `async with app:` or `await app.start()`")
        return self._running

    async def execute(
        self,
        command: Any,
        *,
        id: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
        actor: str | None = None,
        tenant: str | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Does what the command asks, durably, and says what that was.

        With an `id` it is done once: sent again, the same receipt comes back (P4). Raises Refused, InvalidMessage,
        WrongExpectedVersion, DuplicateMessage, Unavailable; DeadlineExceeded after `timeout` seconds, which says whether it
        may have been stored.
        """
        running = self._running
        if running is None or running.loop is not asyncio.get_running_loop():
            running = await self._started()
        running.codec.encode(command)  # refuses what could not be stored
        return await running.execute(command, id, correlation_id, causation_id, traceparent, actor, tenant, timeout)

    @overload
    async def ask(
        self,
        query: Query[T],
        *,
        after: Token | None = None,
        max_staleness: float | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        strong: bool = False,
        at: Position | datetime | None = None,
    ) -> Answer[T]: ...
    @overload
    async def ask(
        self,
        query: object,
        *,
        after: Token | None = None,
        max_staleness: float | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        strong: bool = False,
        at: Position | datetime | None = None,
    ) -> Answer[Any]: ...
    async def ask(
        self,
        query: object,
        *,
        after: Token | None = None,
        max_staleness: float | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        strong: bool = False,
        at: Position | datetime | None = None,
    ) -> Answer[Any]:
        """The answer, with its freshness.

        `after`: the answer reflects the write of this token. `max_staleness`: no event older than this many seconds is missing.
        `strong`: it reflects all that is in the log now; what is missing is folded for it. Waits for that, at most `timeout`
        seconds, then raises Stale (P7), or Building where a read model is not yet complete. `at`: the answer as it was at a
        position or a time, folded for this query alone. Raises what the handler raises, so NotFound.
        """
        running = self._running
        if running is None or running.loop is not asyncio.get_running_loop():
            running = await self._started()
        running.codec.encode(query)  # refuses values of a wrong type
        position = await running.position_of(at) if at is not None else None
        return await running.queries.ask(
            query, after=after, max_staleness=max_staleness, timeout=timeout, strong=strong, at=position
        )

    @overload
    def watch(self, query: Query[T], *, after: Token | None = None, max_staleness: float | None = None) -> Answers[T]: ...
    @overload
    def watch(self, query: object, *, after: Token | None = None, max_staleness: float | None = None) -> Answers[Any]: ...
    def watch(self, query: object, *, after: Token | None = None, max_staleness: float | None = None) -> Answers[Any]:
        """A live query: iterate over it for the answer now, and a new one each time its value changes.

        `after`, `max_staleness`: as for `ask`; Stale is raised from the iteration, as is what the handler raises, and does not
        end it. Many who watch the same share one evaluation. See `Answers` for slow listeners, and for how it ends.
        """

        async def watching() -> Watching:
            running = await self._started()
            running.codec.encode(query)  # refuses values of a wrong type
            return running.watching

        return Answers(watching, query, after, max_staleness)

    @overload
    async def load(self, kind: type[S], key: object, *, version: int | None = None, at: datetime | None = None) -> Loaded[S]: ...
    @overload
    async def load(self, kind: str, key: object, *, version: int | None = None, at: datetime | None = None) -> Loaded[Any]: ...
    async def load(self, kind: Any, key: object, *, version: int | None = None, at: datetime | None = None) -> Loaded[Any]:
        """An aggregate's state, for looking at it: now, after `version` events, or at a time. To decide, send a command.

        `kind` is the class of an aggregate, or of a decider's states, or the decider's name. Raises NotFound when there was no
        event, InvalidMessage for a key, version or time that can't be, Misuse for a class that is no aggregate.
        """
        return await (await self._started()).load(kind, key, version, at)

    async def close_stream(self, kind: type[Any] | str, key: object, *, by: str, why: str) -> StreamClosing:
        """Lets no more events into the stream of one aggregate, for good: its commands then raise StreamClosed.

        `kind` as for `load`. Its events stay, and can be read. Closing it again gives the first closing.
        """
        running = await self._started()
        return await running.store.close_stream(running.stream_of(kind, key), by=by, why=why)

    async def import_events(self, events: Iterable[Importable]) -> Imported:
        """Stores events from elsewhere, as `(stream, event)` or `EventImport`, behind what is there, in their order.

        Each chunk of 5,000 is stored whole or not at all. Raises InvalidMessage with the index and field of the first bad one;
        its `data["stored"]` says how many were stored before its chunk. StreamClosed, too. Nobody is asked for a version.
        """
        return await (await self._started()).importing.run(events)

    async def catch_up(self) -> None:
        """Returns when every projection has folded all that is in the log now, here or in another process.

        An event that can't be folded is in the dead letters then. Raises Unavailable where a projection is paused.
        """
        await (await self._started()).projections.catch_up()

    async def rebuild(self, read_model: str, report: Callable[[int, int], None] | None = None) -> Checkpoint:
        """Builds a projection anew beside the live one and switches. `read_model` is the name of the class.

        `report(position, head)` is called after each page. Raises Misuse for an unknown name.
        """
        return await (await self._started()).projections.rebuild(read_model, report)

    async def explain(self, read_model: str, key: object, *, at: Position | datetime | None = None) -> list[Change]:
        """Every event that changed one row of a read model, in order, with the row before and after it.

        `read_model` is the name of the class. `at`: up to a position or a time.
        """
        running = await self._started()
        until = await running.position_of(at) if at is not None else None
        return await running.projections.explain(read_model, key, until)


def open_stores(url: str, clock: Clock, *, read_only: bool = False) -> tuple[EventStore, ReadStore]:
    """The adapters for a URL; `read_only` ones make nothing that is not there.

    Raises NotSupported for a scheme that this version has no store for.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Misuse(f"'{url}' is no address of a store: {error}", fix="sqlite:///path, or memory://") from error
    if parts.scheme == "memory":
        return MemoryEventStore(clock), MemoryReadStore()
    if parts.scheme == "sqlite":
        path = unquote(parts.path[1:]) if parts.path.startswith("/") else ""
        if not path or parts.netloc:
            raise Misuse(f"'{url}' names no file", fix="sqlite:///relative.db, or sqlite:////absolute/path.db")
        database = Database(path, read_only=read_only)
        return SqliteEventStore(database, clock), SqliteReadStore(database)
    if not parts.scheme:
        raise Misuse(f"'{url}' is no address of a store", fix="sqlite:///path, or memory://")
    raise NotSupported(f"no store for '{parts.scheme}://'", fix="use sqlite:///path or memory://")
