"""`app.sync`: the app's surface for callers that block. One event loop on a thread of its own, for however many threads.

Where the app runs on somebody's event loop already, the calls go there, and no loop is started. Source: ADR 0003.
"""

import asyncio
import atexit
import concurrent.futures
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

from deedlog.commands.context import Receipt
from deedlog.commands.importing import Importable, Imported
from deedlog.commands.loading import Loaded
from deedlog.consistency.freshness import Answer
from deedlog.errors import Misuse, Unavailable
from deedlog.messages.base import Query
from deedlog.projections.aside import Change
from deedlog.queries.bus import DEFAULT_TIMEOUT
from deedlog.queries.watch import Answers
from deedlog.reads.values import Checkpoint
from deedlog.store.port import StreamClosing
from deedlog.types import Position, Token

T = TypeVar("T")
S = TypeVar("S")
GRACE_SECONDS = 1.0
LOOK_SECONDS = 0.5


class Sync:
    """Each method does what the app's method of that name does, and returns when it is done.

    Any number of threads may share it; their commands share commits. Starts the app at the first use; `with app.sync:` starts
    and stops it, and it stops when the program ends. Raises Misuse where an event loop runs in the calling thread, and in a
    process that was forked while the app ran.

    A method added to App is added here: its signature, and `return self._run(self._app.method(…))`.
    """

    def __init__(self, app: Any) -> None:
        self._app = app  # an App; its class is above this room, so the signatures are compared by tests/unit/test_sync.py
        self._portal: _Portal | None = None
        self._lock = threading.Lock()
        self._started_before_fork = False
        _all.add(self)

    def start(self, *, projections: bool = True) -> None:
        """As `await app.start()`."""
        self._run(self._app.start(projections=projections))

    def stop(self) -> None:
        """As `await app.stop()`: what was accepted is stored. Then ends the event loop that was started for these calls.

        Returns when command and query handlers that run on threads have returned. The app may be started again.
        """
        self._refuse_what_would_hang("stop")
        with self._lock:
            portal, self._portal = self._portal, None
            if portal is not None:
                portal.end()
        if portal is not None:
            atexit.unregister(self._at_exit)
            portal.join()
        elif self._loop_of_app() is not None:
            self._run(self._app.stop())

    def __enter__(self) -> "Sync":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def execute(
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
        """As `await app.execute(…)`. Interrupted, it may have been done all the same: repeat it with its `id`."""
        receipt: Receipt = self._run(
            self._app.execute(
                command,
                id=id,
                correlation_id=correlation_id,
                causation_id=causation_id,
                traceparent=traceparent,
                actor=actor,
                tenant=tenant,
                timeout=timeout,
            )
        )
        return receipt

    @overload
    def ask(
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
    def ask(
        self,
        query: object,
        *,
        after: Token | None = None,
        max_staleness: float | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        strong: bool = False,
        at: Position | datetime | None = None,
    ) -> Answer[Any]: ...
    def ask(
        self,
        query: object,
        *,
        after: Token | None = None,
        max_staleness: float | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        strong: bool = False,
        at: Position | datetime | None = None,
    ) -> Answer[Any]:
        """As `await app.ask(…)`."""
        answer: Answer[Any] = self._run(
            self._app.ask(query, after=after, max_staleness=max_staleness, timeout=timeout, strong=strong, at=at)
        )
        return answer

    @overload
    def watch(
        self, query: Query[T], *, after: Token | None = None, max_staleness: float | None = None
    ) -> "BlockingAnswers[T]": ...
    @overload
    def watch(
        self, query: object, *, after: Token | None = None, max_staleness: float | None = None
    ) -> "BlockingAnswers[Any]": ...
    def watch(self, query: object, *, after: Token | None = None, max_staleness: float | None = None) -> "BlockingAnswers[Any]":
        """As `app.watch(…)`: each `next` returns when there is another answer."""
        return BlockingAnswers(self._app.watch(query, after=after, max_staleness=max_staleness), self._run)

    @overload
    def load(self, kind: type[S], key: object, *, version: int | None = None, at: datetime | None = None) -> Loaded[S]: ...
    @overload
    def load(self, kind: str, key: object, *, version: int | None = None, at: datetime | None = None) -> Loaded[Any]: ...
    def load(self, kind: Any, key: object, *, version: int | None = None, at: datetime | None = None) -> Loaded[Any]:
        """As `await app.load(…)`."""
        loaded: Loaded[Any] = self._run(self._app.load(kind, key, version=version, at=at))
        return loaded

    def close_stream(self, kind: type[Any] | str, key: object, *, by: str, why: str) -> StreamClosing:
        """As `await app.close_stream(…)`."""
        closing: StreamClosing = self._run(self._app.close_stream(kind, key, by=by, why=why))
        return closing

    def import_events(self, events: Iterable[Importable]) -> Imported:
        """As `await app.import_events(…)`. `events` is iterated on the event loop's thread: it must not wait."""
        imported: Imported = self._run(self._app.import_events(events))
        return imported

    def catch_up(self) -> None:
        """As `await app.catch_up()`."""
        self._run(self._app.catch_up())

    def rebuild(self, read_model: str, report: Callable[[int, int], None] | None = None) -> Checkpoint:
        """As `await app.rebuild(…)`. `report` is called on the event loop's thread: it must not wait."""
        built: Checkpoint = self._run(self._app.rebuild(read_model, report))
        return built

    def explain(self, read_model: str, key: object, *, at: Position | datetime | None = None) -> list[Change]:
        """As `await app.explain(…)`."""
        found: list[Change] = self._run(self._app.explain(read_model, key, at=at))
        return found

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a coroutine of the app returns or raises, run on the app's loop."""
        try:
            loop = self._loop(getattr(coroutine, "__name__", "…"))
            future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        except BaseException as error:
            coroutine.close()
            if isinstance(error, RuntimeError):  # the loop was closed just now
                raise self._stopped() from error
            raise
        while not self._is_done(future):
            if loop.is_closed():
                coroutine.close()
                raise self._stopped()
        if future.cancelled():
            raise self._stopped()
        raised = future.exception()
        if raised is not None:
            raise raised  # not future.result(): its frames would stand between the caller's and the handler's
        return future.result()

    @staticmethod
    def _is_done(future: "concurrent.futures.Future[Any]") -> bool:
        """Waits a while. Interrupted, the call is cancelled."""
        try:
            return bool(concurrent.futures.wait([future], LOOK_SECONDS).done)
        except BaseException:
            future.cancel()
            raise

    def _stopped(self) -> Unavailable:
        fix = "it may have been done: repeat a command with its id"
        return Unavailable(f"app {self._app.name} was stopped during the call", fix=fix)

    def _loop(self, method: str) -> asyncio.AbstractEventLoop:
        """The loop that the app runs on, else that of the portal, which is made at the first call."""
        self._refuse_what_would_hang(method)
        loop = self._loop_of_app()
        if loop is not None:
            return loop
        with self._lock:  # while it is being stopped, nobody starts it
            loop = self._loop_of_app()
            if loop is not None:
                return loop
            if self._portal is None:
                self._portal = _Portal(self._app)
                atexit.register(self._at_exit)
            return self._portal.loop

    def _loop_of_app(self) -> asyncio.AbstractEventLoop | None:
        """The loop that the app runs on, if it runs. Raises Misuse for one that stands still: nobody would answer."""
        running = self._app._running
        if running is None or running.loop.is_closed():
            return None
        loop: asyncio.AbstractEventLoop = running.loop
        if not loop.is_running():
            raise Misuse(
                f"app {self._app.name} was started on an event loop that does not run now",
                fix="keep that loop running, or stop the app there and leave it to `app.sync`",
            )
        return loop

    def _refuse_what_would_hang(self, method: str) -> None:
        if self._started_before_fork:
            raise Misuse(
                f"app {self._app.name} ran when this process was forked: an open store can't be taken along",
                fix="stop it before the fork (`with app.sync:`), start it only in the children, or start them with spawn",
            )
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        raise Misuse(
            f"app.sync.{method} would block the event loop that runs in this thread", fix=f"`await app.{method}(…)` here"
        )

    def _at_exit(self) -> None:
        if not self._started_before_fork:
            self.stop()

    def _in_the_child(self) -> None:
        """After a fork: the loop and its threads are not here, and what is open is the parent's: it is left as it is.

        SQLite forbids even to close it here. Source: "How to corrupt an SQLite database file", section 2.6.
        """
        self._lock = threading.Lock()
        self._started_before_fork = self._app._running is not None
        self._portal = None


class BlockingAnswers(Generic[T], Iterator[Answer[T]]):
    """`Answers` for a caller that blocks: a plain iterator, which ends at `close()`, at the end of `with`, or with the app."""

    def __init__(self, answers: Answers[T], run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._answers = answers
        self._run = run

    @property
    def lost(self) -> int:
        """How many answers made room for newer ones."""
        return self._answers.lost

    def __iter__(self) -> "BlockingAnswers[T]":
        return self

    def __next__(self) -> Answer[T]:
        if self._answers.over:
            raise StopIteration
        try:
            answer: Answer[T] = self._run(self._answers.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None
        return answer

    def close(self) -> None:
        """Ends the iteration, also for a thread that waits in it."""
        if not self._answers.over:
            self._run(self._answers.aclose())

    def __enter__(self) -> "BlockingAnswers[T]":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Portal:
    """A thread with an event loop. The app that was started on it is stopped when it ends."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._ready = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"deedlog {app.name}", daemon=True)
        self._thread.start()
        self._ready.wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._over.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        self._ready.set()
        await self._ending.wait()
        try:
            await self._app.stop()
            if calls := asyncio.all_tasks() - {asyncio.current_task()}:  # who was answered just now still hears of it
                await asyncio.wait(calls, timeout=GRACE_SECONDS)
            await self._app.stop()  # one of them may have started it again
        finally:
            self._over.set()

    def end(self) -> None:
        """Returns when the app is stopped. Calls that are still waiting for something else are cancelled."""
        self.loop.call_soon_threadsafe(self._ending.set)
        self._over.wait()

    def join(self) -> None:
        """Returns when its thread has ended."""
        self._thread.join()


_all: "weakref.WeakSet[Sync]" = weakref.WeakSet()


def _after_fork() -> None:
    for sync in list(_all):
        sync._in_the_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
