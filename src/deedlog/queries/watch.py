"""Live queries: the answer, and a new one each time it changes. What many listen to is evaluated once for all of them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar
from weakref import WeakSet

import msgspec

from deedlog.consistency.freshness import Answer
from deedlog.consistency.token import position_in
from deedlog.errors import Misuse, Unavailable
from deedlog.messages.codec import Codec
from deedlog.projections.runner import Runner
from deedlog.queries.bus import DEFAULT_TIMEOUT, UNMOVED, QueryBus, Stamp
from deedlog.store.port import EventStore
from deedlog.store.signal import Signal, wait_for_any
from deedlog.types import Position, Token

T = TypeVar("T")

KEPT = 16
"""Answers that wait for a listener; of more, the oldest go."""
FIRST_SECONDS = DEFAULT_TIMEOUT
"""Waits so long for an answer that is fresh enough, then Stale is raised."""
FLOOR_SECONDS = 0.05
"""At least so long between two evaluations of one query."""
POLL_SECONDS = 0.25
"""Looks for movement where another process moves a read model."""
IDLE_SECONDS = 1.0
"""Looks where this process moves them all and says so: for what a rebuild or a repair elsewhere changes."""

_Key: TypeAlias = tuple[type[Any], bytes, float | None]


class Answers(Generic[T], AsyncIterator[Answer[T]]):
    """What `app.watch` gives, for one `async for` at a time: the answer now, and a new one each time its value changes.

    At most 16 answers wait for a slow listener; `lost` counts the older ones that made room. What the handler raises (so
    NotFound) is raised from the iteration, once until it changes, and does not end it: iterate on to get what comes next. Ends
    with `aclose()`, also by `async with`, and when the app stops. One that is dropped is forgotten within a second.
    """

    def __init__(
        self, watching: Callable[[], Awaitable["Watching"]], query: Any, after: Token | None, max_staleness: float | None
    ) -> None:
        self.lost = 0
        self._watching = watching
        self._query = query
        self._after = after
        self._max_staleness = max_staleness
        self._source: _Source | None = None
        self._told = b""
        self._demanded: Position = 0
        self._waiting: deque[_News] = deque()
        self._woken = asyncio.Event()
        self.over = False

    def __aiter__(self) -> "Answers[T]":
        return self

    async def __anext__(self) -> Answer[T]:
        if self._source is None and not self.over:
            await self._begin()
        while not self._waiting:
            if self.over:
                raise StopAsyncIteration
            self._woken.clear()
            await self._woken.wait()
        return self._waiting.popleft().told()

    async def _begin(self) -> None:
        """Joins those who listen to the same. Raises Stale where `after` can't be met: the next iteration tries again."""
        watching = await self._watching()
        if self._after is not None:
            first = await watching.first(self._query, self._after, self._max_staleness)
            self._demanded = position_in(self._after, watching.store.id)
            self._offer(first)
        if not self.over:
            self._source = watching.join(self, self._query, self._max_staleness)

    def _offer(self, news: "_News") -> None:
        if news.digest == self._told or news.position < self._demanded:
            return
        self._told = news.digest
        if len(self._waiting) == KEPT:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(news)
        self._woken.set()

    def _end(self) -> None:
        self.over = True
        self._waiting.clear()
        self._woken.set()

    async def aclose(self) -> None:
        """Ends the iteration. Whoever waits for the next answer gets no more."""
        self._end()
        if self._source is not None:
            await self._source.leave(self)

    async def __aenter__(self) -> "Answers[T]":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()


class Watching:
    """All live queries of a started app. `moves` says whether this process moves a projection now."""

    def __init__(
        self, bus: QueryBus, store: EventStore, codec: Codec, runners: Mapping[str, Runner], moves: Callable[[str], bool]
    ) -> None:
        self.bus = bus
        self.store = store
        self.runners = runners
        self.moves = moves
        self._codec = codec
        self._sources: dict[_Key, _Source] = {}
        self._following: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def queries(self) -> int:
        """How many different queries are being listened to."""
        return len(self._sources)

    async def first(self, query: Any, after: Token, max_staleness: float | None) -> "_News":
        """The first answer of one listener, as `ask` gives it. Raises Stale and other Unavailable."""
        try:
            looked = await self.bus.look(query, after=after, max_staleness=max_staleness, timeout=FIRST_SECONDS)
            return self.news(Answer(looked.value, looked.freshness))
        except Unavailable:
            raise
        except Exception as error:
            return _News.of_error(error)

    def join(self, listener: Answers[Any], query: Any, max_staleness: float | None) -> "_Source":
        """Adds a listener to what is evaluated already, or begins to evaluate it."""
        key = (type(query), self._codec.content_of(query), max_staleness)
        source = self._sources.get(key)
        if source is None:
            source = _Source(self, query, max_staleness, key)
            if not self._stopped:
                self._sources[key] = source
                source.start()
                self._follow()
        if self._stopped:
            listener._end()
        else:
            source.add(listener)
        return source

    def forget(self, source: "_Source") -> None:
        """Evaluates it no more; who asks the same from now on begins anew."""
        if self._sources.get(source.key) is source:
            del self._sources[source.key]
        if self._following is not None and not any(other.by_head for other in self._sources.values()):
            self._following.cancel()
            self._following = None

    def news(self, answer: Answer[Any]) -> "_News":
        """An answer with what it is compared by. Raises Misuse for a value that is no JSON."""
        try:
            return _News(self._codec.content_of(answer.value), answer.freshness.position, answer)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            words = f"an answer that is no JSON can't be compared with the one before: {error}"
            raise Misuse(words, fix="answer with plain data") from error

    def end(self) -> list[asyncio.Task[None]]:
        """Ends every iteration; gives what is still ending."""
        self._stopped = True
        following = [] if self._following is None else [self._following]
        return [*following, *(task for source in list(self._sources.values()) for task in source.end())]

    def _follow(self) -> None:
        if self._following is None and any(source.by_head for source in self._sources.values()):
            self._following = asyncio.create_task(self._follow_head(), name="deedlog watch head")

    async def _follow_head(self) -> None:
        """Knocks when the log has grown: a live model, or an inline one, says nothing itself."""
        head = 0
        while True:
            try:
                await self.store.wait(head, IDLE_SECONDS)
                now = await self.store.head()
            except Unavailable:
                await asyncio.sleep(POLL_SECONDS)
                continue
            if now > head:
                head = now
                for source in self._sources.values():
                    if source.by_head:
                        source.knock()


class _News(msgspec.Struct, frozen=True):
    """An answer, or what was raised instead of one; two of one digest say the same."""

    digest: bytes
    position: Position
    answer: Answer[Any] | None
    error: Exception | None = None
    trace: TracebackType | None = None

    @classmethod
    def of_error(cls, error: Exception) -> "_News":
        words = "" if isinstance(error, Unavailable) else f": {error}"  # those say how long somebody waited
        return cls(f"\0{type(error).__qualname__}{words}".encode(), 2**63, None, error, error.__traceback__)

    def told(self) -> Answer[Any]:
        if self.error is not None:
            raise self.error.with_traceback(self.trace)  # told to many: each begins with the handler's own frames
        assert self.answer is not None
        return self.answer


class _Source:
    """One query, evaluated for all who listen to it, as long as there are any."""

    def __init__(self, watching: Watching, query: Any, max_staleness: float | None, key: _Key) -> None:
        self.key = key
        self._watching = watching
        self._query = query
        self._max_staleness = max_staleness
        self._listeners: WeakSet[Answers[Any]] = WeakSet()
        self._last: Answer[Any] | None = None
        self._stamp: Stamp | None = None
        self._knocked = 0
        self._knock = Signal()
        projections = watching.bus.handler_of(query).projections
        stored = [projection.name for projection in projections if projection.mode != "live"]
        self._runners = {name: watching.runners[name] for name in stored}
        self.by_head = not projections or any(projection.mode != "async" for projection in projections)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"deedlog watch {type(self._query).__name__}")

    def add(self, listener: Answers[Any]) -> None:
        self._listeners.add(listener)
        self.knock()

    async def leave(self, listener: Answers[Any]) -> None:
        self._listeners.discard(listener)
        if not self._listeners:
            await asyncio.gather(*self.end(), return_exceptions=True)

    def end(self) -> list[asyncio.Task[None]]:
        """Ends the evaluation, and the iteration of all who still listen; gives what is still ending."""
        self._close()
        if self._task is None:
            return []
        self._task.cancel()
        return [self._task]

    def _close(self) -> None:
        self._watching.forget(self)
        for listener in list(self._listeners):
            listener._end()

    def knock(self) -> None:
        """There is something new: a listener, or an event."""
        self._knocked += 1
        self._knock.wake()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._listeners:
                started, before = loop.time(), self._marks()
                await self._look()
                await asyncio.sleep(max(0.0, started + FLOOR_SECONDS - loop.time()))
                if before == self._marks():  # nothing was missed while nobody waited
                    await self._moved()
        finally:
            self._close()

    def _marks(self) -> tuple[Any, ...]:
        """What is different when something has moved here."""
        found = ((runner.checkpoint, runner.failure is None) for runner in self._runners.values())
        return (self._knocked, *((at.generation, at.position, at.revision, well) for at, well in found))

    async def _moved(self) -> None:
        here = all(self._watching.moves(name) for name in self._runners)
        signals = [self._knock, *(runner.moved for runner in self._runners.values())]
        await wait_for_any(signals, IDLE_SECONDS if here else POLL_SECONDS)

    async def _look(self) -> None:
        """Evaluates, unless nothing has moved; tells all who listened before and have not heard it."""
        bus = self._watching.bus
        listening = list(self._listeners)  # who joins meanwhile may have seen more than is read here
        try:
            staleness = self._max_staleness
            looked = await bus.look(self._query, max_staleness=staleness, timeout=FIRST_SECONDS, unless=self._stamp)
            value = looked.value if looked.value is not UNMOVED or self._last is None else self._last.value
            self._last, self._stamp = Answer(value, looked.freshness), looked.stamp
            news = self._watching.news(self._last)
        except Exception as error:
            self._last = self._stamp = None
            news = _News.of_error(error)
        for listener in listening:
            listener._offer(news)
