"""A started app: its stores, buses and projections, wired together. Which adapters those are is for `app` to say."""

import asyncio
import hashlib
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from deedlog.commands.bus import CommandBus
from deedlog.commands.cache import AggregateCache
from deedlog.commands.context import CommandContext, Receipt
from deedlog.commands.deadline import Deadline
from deedlog.commands.dispatch import AggregateDispatch
from deedlog.commands.handlers import MAX_ID
from deedlog.commands.importing import Importing
from deedlog.commands.loading import Aggregates, Loaded, Loading
from deedlog.commands.receipts import ReceiptSweep
from deedlog.commands.snapshots import Snapshotter
from deedlog.definition import Definition
from deedlog.errors import InvalidMessage, NotFound, Unavailable
from deedlog.ids import IdSource
from deedlog.messages.codec import Codec
from deedlog.messages.envelope import Metadata, to_micros
from deedlog.projecting import Projecting
from deedlog.projections.runner import Runner
from deedlog.queries.bus import QueryBus
from deedlog.queries.watch import Watching
from deedlog.reads.port import ReadStore
from deedlog.store.port import CommandKey, EventStore
from deedlog.types import Clock, Position, StreamName


class Running:
    """A started app: stores, buses, runners."""

    def __init__(
        self,
        definition: Definition,
        store: EventStore,
        reads: ReadStore,
        *,
        clock: Clock,
        ids: IdSource,
        keep_receipts: timedelta | None = None,
    ) -> None:
        self.definition = definition
        self._ids = ids
        self.store, self.reads = store, reads
        self.codec = Codec(self.definition.registry, ids)
        self.projections = Projecting(definition, store, reads, self.codec, clock)
        self.stopping = False
        self.loop = asyncio.get_running_loop()
        self.importing = Importing(self.store, self.codec, ids)
        self.receipts = None if keep_receipts is None else ReceiptSweep(self.store, clock, keep_receipts)
        self.snapshots = Snapshotter(self.store)
        aggregates, cache = Aggregates(self.definition.aggregates), AggregateCache()
        self.loading = Loading(self.store, self.codec, clock, aggregates, cache, self.snapshots)
        dispatch = AggregateDispatch(self.store, self.codec, cache, self.loading)
        self.commands = CommandBus(self.store, self.codec, self.loading, dispatch, self._send)
        self.queries = QueryBus(store, reads, self.codec, clock)
        runners, moves = self.projections.runners, self.projections.moves
        self.watching = Watching(self.queries, self.store, self.codec, runners, moves)
        self._tasks: list[asyncio.Task[None]] = []
        self._bind()

    def _bind(self) -> None:
        for aggregate in self.definition.aggregates:
            self.commands.add_aggregate(aggregate)
        for handler in self.definition.command_handlers:
            self.commands.add_handler(handler)
        for query in self.definition.query_handlers:
            self.queries.add(query)
        self.commands.use(self.definition.middlewares)
        for runner in self.projections.runners.values():
            self.queries.listen(runner)
        for projection in self.projections.live:
            self.queries.fold_live(projection)

    @property
    def runners(self) -> dict[str, Runner]:
        """What moves each projection, by its name."""
        return self.projections.runners

    @property
    def projecting(self) -> bool:
        """Whether this process runs the projections."""
        return self.projections.running

    async def start(self, *, projections: bool) -> None:
        await self.store.open()
        try:
            await self.reads.open()
            await self.projections.prepare()
        except BaseException:
            self.projections.cancel()
            await self.reads.close()
            await self.store.close()
            raise
        if self.receipts is not None:
            self._tasks.append(asyncio.create_task(self.receipts.run(), name="deedlog receipts"))
        if projections:
            self.projections.start()

    async def stop(self) -> None:
        self.stopping = True
        ending = self.watching.end()
        for task in self._tasks:
            task.cancel()
        try:  # cancelled on the way, it still lets go of everything
            await asyncio.gather(*self._tasks, *ending, return_exceptions=True)
            await self.projections.stop()
            await self.snapshots.settle()
        finally:
            self.projections.cancel()
            self.snapshots.close()
            try:
                await self.store.close()
            finally:
                await self.reads.close()

    def stream_of(self, kind: type[Any] | str, key: object) -> StreamName:
        """The stream of an aggregate. Raises Misuse for a class that is none, InvalidMessage for a key that can't be one."""
        aggregate = self.loading.aggregates.of(kind)
        return aggregate.stream_named(key, aggregate.name)

    async def load(self, kind: Any, key: object, version: int | None, at: datetime | None) -> Loaded[Any]:
        aggregate, stream = self.loading.aggregates.of(kind), self.stream_of(kind, key)
        if version is not None and (at is not None or version < 1):
            raise InvalidMessage("load", "version", f"{version} with at={at}", fix="a version from 1 on, or a time, or neither")
        if at is not None and at.tzinfo is None:
            raise InvalidMessage("load", "at", f"{at} has no time zone", fix="datetime(…, tzinfo=UTC)")
        loaded = await self.loading.as_of(aggregate, stream, version, None if at is None else to_micros(at))
        if not loaded.exists:
            raise NotFound(aggregate.name, str(key))
        if version is not None and loaded.version < version:
            raise InvalidMessage("load", "version", f"{stream} has {loaded.version} events, not {version}", fix="ask for fewer")
        return loaded

    async def position_of(self, at: Position | datetime) -> Position:
        """A position itself, or that of the last event at a time. Raises InvalidMessage for a time without zone."""
        if not isinstance(at, datetime):
            return at
        if at.tzinfo is None:
            raise InvalidMessage("query", "at", f"{at} has no time zone", fix="datetime(…, tzinfo=UTC)")
        return await self.store.position_at(to_micros(at))

    def key_of(self, id: object, command: Any) -> CommandKey:
        """A command's id with the digest of its name and content. Raises InvalidMessage for an id that can't be one."""
        kind = self.codec.registry.of(type(command))
        if not isinstance(id, str) or not id or len(id) > MAX_ID or not id.isprintable():
            fix = f"1 to {MAX_ID} printable characters"
            raise InvalidMessage(kind.name, "id", f"{str(id)[:40]!r} is no id", fix=fix)
        digest = hashlib.blake2b(kind.name.encode() + b"\0" + self.codec.content_of(command), digest_size=16)
        return CommandKey(id, digest.hexdigest())

    def execute(
        self,
        command: Any,
        id: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
        actor: str | None = None,
        tenant: str | None = None,
        timeout: float | None = None,
    ) -> Awaitable[Receipt]:
        """As `App.execute`, for a command that this app's codec has checked or read."""
        command_id = id if id is not None else self._ids()
        metadata = Metadata(correlation_id or command_id, causation_id or command_id, traceparent, actor, tenant)
        key = self.key_of(id, command) if id is not None else None
        if timeout is None:
            return self.commands.proceed(CommandContext(command, command_id, metadata, key))
        deadline = Deadline()
        context = CommandContext(command, command_id, metadata, key, deadline)
        return deadline.within(timeout, lambda: self.commands.proceed(context))

    async def _send(self, command: Any, cause: CommandContext, id: str | None) -> Receipt:
        """A further command of the same conversation. It shares the deadline of its cause."""
        if self.stopping:
            raise Unavailable("the app is stopping", fix="start it again, and repeat the command")
        self.codec.encode(command)
        key = self.key_of(id, command) if id is not None else None
        metadata = msgspec.structs.replace(cause.metadata, causation_id=cause.id)
        return await self.commands.proceed(CommandContext(command, id or self._ids(), metadata, key, cause.deadline))
