"""Free-form projections: any SQL in the commit of the checkpoint, or any side effect, under the same rules as folds.

A plain function writes SQL: each event once (P5). An async one does what it likes: at least once, in order, and its events'
ids tell a repetition. A bad event parks its key, which is its stream unless `key` says otherwise (P8; ADR 0009).
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec

from deedlog.domain.services import resolve
from deedlog.domain.signature import Signature, classes_in
from deedlog.errors import Conflict, Corrupt, InvalidDeclaration, NotSupported, Unavailable
from deedlog.messages.base import is_message_class
from deedlog.messages.envelope import RecordedEvent
from deedlog.projections.auditor import moved
from deedlog.projections.declare import KeySpec
from deedlog.projections.letters import ATTEMPTS, Letters
from deedlog.projections.pages import Page
from deedlog.projections.plan import Folded, letter_of
from deedlog.projections.projection import Projection
from deedlog.projections.runner import Runner
from deedlog.reads.model import NAME
from deedlog.reads.port import SqlWriter
from deedlog.reads.values import ALL, STREAM, Changes, Checkpoint, Letter, Parked, Place, Projected, Skip
from deedlog.types import Position


class FreeProjection(Projection):
    """A function that is called for each of its events, with its services."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        key: KeySpec | None = None,
        setup: Sequence[str] = (),
        reset: Sequence[str] = (),
    ) -> None:
        self.function = function
        self.signature = Signature(function)
        self.place = self.signature.place
        self.name = name or function.__name__
        self.setup = tuple(setup)
        self.reset = tuple(reset)
        self.asynchronous = inspect.iscoroutinefunction(function)
        self.mode = "async"
        self.folds = ()
        self.where_columns = {}
        self.names = frozenset()
        self.projected = Projected(self.name, (), f"function {self.name}", f"function {self.name}")
        if not NAME.fullmatch(self.name):
            raise InvalidDeclaration(
                self.place, f"'{self.name}' can't name a projection", fix="small letters, digits, underscores"
            )
        events = [cls for cls in classes_in(self.signature.first) if is_message_class(cls)]
        if not events:
            raise InvalidDeclaration(self.place, f"{self.name} is annotated with no event class", fix="event: Placed | Paid")
        self.handlers = {event: [] for event in events}
        self._key = attrgetter(key) if isinstance(key, str) else key
        self._arguments: dict[str, Any] = {}
        self._given: dict[str, type[Any]] = {}
        for event in events if isinstance(key, str) else ():
            fields = getattr(event, "__struct_fields__", None) or getattr(event, "__annotations__", {})
            if key not in fields:
                raise InvalidDeclaration(self.place, f"{event.__name__} has no field '{key}', the key of {self.name}")

    def provide(self, services: Mapping[Any, Any]) -> None:
        """Finds its services. Raises InvalidDeclaration for one that nobody provides."""
        for name, wanted in list(self.signature.parameters.items())[1:]:
            if wanted in (SqlWriter, RecordedEvent):
                self._given[name] = wanted
            else:
                self._arguments[name] = resolve(self.signature, name, wanted, services)
        if self.asynchronous and SqlWriter in self._given.values():
            raise InvalidDeclaration(
                self.place,
                f"{self.name} is async and asks for SqlWriter",
                fix="make it plain: its SQL is the checkpoint's commit",
            )

    def place_of(self, recorded: RecordedEvent, event: Any) -> Place:
        """What the event parks when it fails."""
        if self._key is None or isinstance(event, Exception):
            return (STREAM, recorded.stream)
        return (self.name, str(self._key(event)))

    def call(self, recorded: RecordedEvent, event: Any, sql: SqlWriter | None) -> Any:
        """What the function returns. Raises what it raises, and for an event that can't be read why not."""
        if isinstance(event, Exception):
            raise event
        given = {name: sql if wanted is SqlWriter else recorded for name, wanted in self._given.items()}
        return self.function(event, **self._arguments, **given)


class _Turn:
    """One pass over some events: who is parked so far, and what the dead letters get."""

    def __init__(self, projection: FreeProjection, parked: Parked) -> None:
        self._projection = projection
        self._places = set(parked.places)
        self._skips = parked.skips
        self.letters: list[Letter] = []

    def wanted(self, batch: Sequence[Folded]) -> Iterator[Folded]:
        """The events to call the function with, in order; the others are parked, or were skipped by somebody."""
        for recorded, event in batch:
            stream = (STREAM, recorded.stream)
            if self._skips_it(stream, recorded):
                continue
            try:
                place = self._projection.place_of(recorded, event)
            except Exception as error:
                self._park(recorded, stream, error)
                continue
            if self._skips_it(place, recorded):  # before anything else: a letter of it would be taken up again
                continue
            held = next((one for one in (place, stream) if one in self._places), None)
            if held is not None:
                self.letters.append(letter_of(recorded, *held))
            else:
                yield recorded, event

    def _skips_it(self, place: Place, recorded: RecordedEvent) -> bool:
        return recorded.position in self._skips.get(place, ())

    def failed(self, recorded: RecordedEvent, event: Any, error: Exception) -> None:
        self._park(recorded, self._projection.place_of(recorded, event), error)

    def _park(self, recorded: RecordedEvent, place: Place, error: Exception) -> None:
        self._places.add(place)
        self.letters.append(letter_of(recorded, *place, error))


class FreeRunner(Runner):
    """Moves a free-form projection; pages, leases, pauses and retries are those of every runner."""

    projection: FreeProjection

    @property
    def has_effects(self) -> bool:  # type: ignore[override]
        return self.projection.asynchronous

    async def _take(self, page: Page, before: Checkpoint, parked: Parked, ahead: int) -> None:
        if self.projection.asynchronous:
            await self._call_each(page, before, parked)
        else:
            await self._write_sql(page, before, parked)
        self.moved.wake()

    async def _write_sql(self, page: Page, before: Checkpoint, parked: Parked) -> None:
        def work(sql: SqlWriter) -> tuple[Checkpoint, Changes]:
            turn = _Turn(self.projection, parked)
            for recorded, event in turn.wanted(page.batch):
                _attempt(self.projection, turn, recorded, event, sql)
            changes = Changes(letters=turn.letters)
            self._refuse_too_many(turn.letters, before)
            self._say(turn.letters)
            return moved(before, page.recorded, changes), changes

        self.checkpoint = await self._reads.transact(self.projection.projected, before, work)

    async def _call_each(self, page: Page, before: Checkpoint, parked: Parked) -> None:
        """One event at a time, its checkpoint behind it: after a crash at most the last one is repeated."""
        turn = _Turn(self.projection, parked)
        done = written = 0
        for recorded, event in turn.wanted(page.batch):
            try:
                await self.projection.call(recorded, event, None)
            except Unavailable:
                raise  # not the event's fault: tried again from here
            except Exception as error:
                turn.failed(recorded, event, error)
            done = recorded.position - page.recorded[0].position + 1
            before = await self._checkpoint(page, written, done, turn, before)
            written = done
        if written < len(page.recorded):
            await self._checkpoint(page, written, len(page.recorded), turn, before)

    async def _checkpoint(self, page: Page, written: int, done: int, turn: _Turn, before: Checkpoint) -> Checkpoint:
        letters, turn.letters = turn.letters, []
        self._refuse_too_many(letters, before)
        self._say(letters)
        changes = Changes(letters=letters)
        after = moved(before, page.recorded[written:done], changes)
        await self._reads.write(self.projection.projected, changes, before, after)
        self.checkpoint = after
        return after

    async def restart(self, head: int) -> Checkpoint:
        """Empties what the projection wrote, by its `reset`, and starts it from the first event."""
        if self.projection.asynchronous or not self.projection.reset:
            problem = f"{self.projection.name} can't be rebuilt: nobody knows how to undo it"
            raise NotSupported(problem, fix="say reset=[…statements that empty its tables…]")
        return await self._reads.restart(self.projection.projected, head, self.projection.reset)

    async def set_up(self) -> None:
        """Makes the tables of its own, by its `setup`: statements that do nothing the second time."""
        if not self.projection.setup:
            return

        def work(sql: SqlWriter) -> tuple[Checkpoint, Changes]:
            for statement in self.projection.setup:
                sql.execute(statement)
            return self.checkpoint, Changes()

        for _ in range(ATTEMPTS):
            try:
                await self._reads.transact(self.projection.projected, self.checkpoint, work)
                return
            except Conflict:  # another process moves it at this moment
                self.checkpoint = await self._reads.current(self.projection.projected) or self.checkpoint
        raise Unavailable(f"{self.projection.name} moves too fast to be set up", fix="start again")


def _attempt(projection: FreeProjection, turn: _Turn, recorded: RecordedEvent, event: Any, sql: SqlWriter) -> None:
    try:
        sql.attempt(partial(projection.call, recorded, event, sql))
    except Exception as error:
        if getattr(error, "sqlite_errorname", None) is not None:
            raise  # the database has no time or no room: the whole page is tried again
        turn.failed(recorded, event, error)


class FreeLetters(Letters):
    """Its dead letters: taken up again one after the other, in order, since there is no row to fold anew."""

    projection: FreeProjection

    async def mend(self, places: Sequence[Place], skips: Sequence[Skip] = ()) -> Sequence[Letter]:
        left: list[Letter] = []
        for place in places:
            left += await self._mend_one(place, [skip for skip in skips if (skip.model, skip.key) == place])
        return left

    async def _mend_one(self, place: Place, skips: Sequence[Skip]) -> list[Letter]:
        skipped = {skip.position for skip in skips}
        called: set[Position] = set()
        for _ in range(ATTEMPTS):
            before = await self._current()
            letters = [one for one in await self.list(place, limit=ALL) if one.position not in skipped | called]
            batch = [await self._event_of(letter) for letter in letters]
            try:
                if self.projection.asynchronous:
                    done, error = await self._call(batch)
                    called |= {letter.position for letter in letters[:done]}  # their effects can't be taken back
                    left = _left(letters[done:], error)
                    await self._reads.write(self.projection.projected, _changes(place, left, skips), before, _touched(before))
                    return left
                return await self._mend_sql(place, letters, batch, before, skips)
            except Conflict:  # the projection moved on meanwhile: more may be parked behind these
                continue
        raise Unavailable(f"{self.projection.name} moves too fast to be mended", fix="pause it, or try again")

    async def _mend_sql(
        self, place: Place, letters: Sequence[Letter], batch: Sequence[Folded], before: Checkpoint, skips: Sequence[Skip]
    ) -> list[Letter]:
        left: list[Letter] = []

        def work(sql: SqlWriter) -> tuple[Checkpoint, Changes]:
            done, error = self._write(batch, sql)
            left.extend(_left(letters[done:], error))
            return _touched(before), _changes(place, left, skips)

        await self._reads.transact(self.projection.projected, before, work)
        return left

    async def _event_of(self, letter: Letter) -> Folded:
        (recorded,) = await self._store.read_all(letter.position - 1, 1)
        try:
            return recorded, self._codec.decode(recorded)
        except Corrupt as error:
            return recorded, error

    async def _call(self, batch: Sequence[Folded]) -> tuple[int, Exception | None]:
        for count, (recorded, event) in enumerate(batch):
            try:
                await self.projection.call(recorded, event, None)
            except Exception as error:
                return count, error
        return len(batch), None

    def _write(self, batch: Sequence[Folded], sql: SqlWriter) -> tuple[int, Exception | None]:
        for count, (recorded, event) in enumerate(batch):
            try:
                sql.attempt(partial(self.projection.call, recorded, event, sql))
            except Exception as error:
                if getattr(error, "sqlite_errorname", None) is not None:
                    raise  # no time or no room: nothing of this attempt may stay
                return count, error
        return len(batch), None


def _left(letters: Sequence[Letter], error: Exception | None) -> list[Letter]:
    """What stays parked: the first with its new error, the others behind it."""
    if not letters or error is None:
        return []
    words = f"{type(error).__name__}: {error}"
    first = msgspec.structs.replace(letters[0], error=words, attempts=letters[0].attempts + 1)
    return [first, *(msgspec.structs.replace(letter, error=None) for letter in letters[1:])]


def _changes(place: Place, left: Sequence[Letter], skips: Sequence[Skip]) -> Changes:
    return Changes(letters=left, released=[place], skips=skips)


def _touched(before: Checkpoint) -> Checkpoint:
    return msgspec.structs.replace(before, revision=before.revision + 1)
