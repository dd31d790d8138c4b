"""Dead letters taken up again: their keys are folded anew from the log and written in place of the parked rows.

Folding anew keeps the order, also of what a row looks up in others, however long the key was parked (ADR 0009).
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence

import msgspec

from deedlog.errors import Conflict, Misuse, Unavailable
from deedlog.messages.codec import Codec
from deedlog.messages.envelope import to_micros
from deedlog.projections.aside import Aside, Touched, narrowed
from deedlog.projections.projection import Projection
from deedlog.reads.model import Key
from deedlog.reads.port import ReadStore
from deedlog.reads.values import ALL, STREAM, Changes, Checkpoint, Letter, Place, Skip, Stored
from deedlog.store.port import EventStore
from deedlog.types import Clock, Position

ATTEMPTS = 50


class Letters(ABC):
    """The dead letters of one projection: what is parked, and what may be done about it."""

    def __init__(self, projection: Projection, store: EventStore, reads: ReadStore, codec: Codec, clock: Clock) -> None:
        self.projection = projection
        self._store = store
        self._reads = reads
        self._codec = codec
        self._clock = clock

    async def _current(self) -> Checkpoint:
        found = await self._reads.current(self.projection.projected)
        if found is None:
            raise Misuse(f"projection {self.projection.name} was never prepared", fix="start the app first")
        return found

    async def list(self, place: Place | None = None, *, failed: bool = False, limit: int = 1_000) -> Sequence[Letter]:
        """Letters by position; `failed` leaves out those that only follow a failed one."""
        current = await self._current()
        return await self._reads.letters(self.projection.projected, current, place=place, failed=failed, limit=limit)

    async def skips(self) -> Sequence[Skip]:
        """Who decided that a key does not get an event."""
        return await self._reads.skips(self.projection.projected)

    async def retry(self, places: Collection[Place] | None = None) -> Sequence[Letter]:
        """Folds these keys (or all that are parked) anew; gives the letters of those that fail again."""
        return await self.mend(await self._parked(places))

    async def skip(self, place: Place, position: int, *, by: str, why: str) -> Sequence[Letter]:
        """Decides that a key never gets one event, and folds it anew without. Raises Misuse where there is no such letter."""
        letter = next((one for one in await self.list(place, limit=ALL) if one.position == position), None)
        if letter is None:
            raise Misuse(
                f"no dead letter of {place[0] or 'stream'} {place[1]!r} at {position}", fix="`deedlog dlq list` shows them"
            )
        return await self.mend([place], [self._skip(letter, by, why)])

    async def purge(self, places: Collection[Place] | None = None, *, by: str, why: str) -> int:
        """Decides so for every letter of these keys (or of all); how many letters went."""
        found = await self._parked(places)
        letters = [letter for place in found for letter in await self.list(place, limit=ALL)]
        await self.mend(found, [self._skip(letter, by, why) for letter in letters])
        return len(letters)

    def _skip(self, letter: Letter, by: str, why: str) -> Skip:
        if not by.strip() or not why.strip():
            raise Misuse("a skip is recorded with who decided it, and why", fix="say both")
        return Skip(letter.model, letter.key, letter.position, by, why, to_micros(self._clock.now()))

    async def _parked(self, places: Collection[Place] | None) -> Sequence[Place]:
        parked = (await self._reads.parked(self.projection.projected, await self._current())).places
        for place in places or ():
            if place not in parked:
                raise Misuse(f"{place[0] or 'stream'} {place[1]!r} is not parked", fix="`deedlog dlq list` shows what is")
        return list(places if places is not None else sorted(parked, key=repr))

    @abstractmethod
    async def mend(self, places: Sequence[Place], skips: Sequence[Skip] = ()) -> Sequence[Letter]:
        """Takes up these places again, without what `skips` decides on; gives the letters that this leaves."""


class DeadLetters(Letters):
    """Those of folds: their keys are folded anew from the log."""

    async def mend(self, places: Sequence[Place], skips: Sequence[Skip] = ()) -> Sequence[Letter]:
        """Writes the rows of `places`, parked or not, as the log makes them; gives the letters that this leaves."""
        if not places:
            return []
        before = {(one.place, one.position): one.attempts for one in await self.list(limit=ALL)}
        touched = self._watch(before, places, skips)
        selected = None if touched is not None else narrowed(self.projection, places)
        waiting = {place for place, _ in before} - set(places)
        told = [*await self.skips(), *skips]
        aside = Aside(self.projection, self._store, self._codec, skips=told, selected=selected, watch=touched)
        for _ in range(ATTEMPTS):
            current = await self._current()
            if aside.position > current.position:  # rolled back meanwhile, to a generation that is not so far
                return await self.mend(places, skips)
            await aside.fold(current.position)
            found = await aside.letters()
            wanted = set(places) if touched is None else {*places, *touched.reached(found)}
            if not _streams(places):
                wanted -= waiting
            letters = [
                msgspec.structs.replace(letter, attempts=before.get((letter.place, letter.position), 0) + 1)
                for letter in found
                if letter.place in wanted
            ]
            changes = self._changes(aside, wanted, letters, skips)
            try:
                after = msgspec.structs.replace(current, revision=current.revision + 1)
                await self._reads.write(self.projection.projected, changes, current, after)
            except Conflict:  # the projection moved on meanwhile: fold what is new, and try again
                continue
            return letters
        raise Unavailable(f"{self.projection.name} moves too fast to be mended", fix="pause it, or try again")

    def _watch(self, letters: Iterable[tuple[Place, Position]], places: Sequence[Place], skips: Sequence[Skip]) -> Touched | None:
        """Where other rows than `places` may change: a stream's events concern any, a skip those that look the row up."""
        models = {lookup.model.name for fold in self.projection.folds for one in fold.handlers for lookup in one.lookups}
        looked_up = [(skip.model, skip.key) for skip in skips if skip.model in models]
        if not looked_up and not _streams(places):
            return None
        return Touched([position for place, position in letters if place in places and place[0] == STREAM], looked_up)

    def _changes(self, aside: Aside, wanted: Iterable[Place], letters: Sequence[Letter], skips: Sequence[Skip]) -> Changes:
        upserts: dict[str, list[Stored]] = {}
        deletes: dict[str, list[Key]] = {}
        for model, key in wanted:
            if model == STREAM:
                continue
            row = aside.row((model, key))
            if row is not None:
                upserts.setdefault(model, []).append(row)
            else:
                deletes.setdefault(model, []).append(key)
        return Changes(upserts, deletes, letters, list(wanted), skips)


def _streams(places: Iterable[Place]) -> bool:
    return any(model == STREAM for model, _ in places)
