"""A projection folded in memory beside its tables: as it was at a position, of some keys or of all, and what changed what.

It is the runner on another read store, so it folds as the live one does, skips included (P6).
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from deedlog.messages.codec import Codec
from deedlog.messages.envelope import RecordedEvent
from deedlog.projections.fold import Watch
from deedlog.projections.plan import Selected, Step
from deedlog.projections.projection import Projection
from deedlog.projections.runner import Runner
from deedlog.reads.memory import MemoryReadStore
from deedlog.reads.model import Key
from deedlog.reads.values import ALL, STREAM, Changes, Letter, Place, Skip, Stored
from deedlog.store.port import EventStore
from deedlog.types import Position


class Change(msgspec.Struct, frozen=True):
    """One event's part in a row: by which handler, and the row before and after it (None: there was none)."""

    recorded: RecordedEvent
    handler: str
    before: Any | None
    after: Any | None


class Aside:
    """A projection in memory, from the start of the log to wherever `fold` takes it."""

    def __init__(
        self,
        projection: Projection,
        store: EventStore,
        codec: Codec,
        *,
        reads: MemoryReadStore | None = None,
        skips: Sequence[Skip] = (),
        selected: Selected | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.projection = projection
        self.reads = reads or MemoryReadStore()
        self._skips = skips
        self._runner = Runner(projection, store, self.reads, codec, selected=selected, watch=watch, quiet=True)
        self._started = False

    async def fold(self, until: Position) -> None:
        """Moves it up to a position, or to the end of the log."""
        projected = self.projection.projected
        at = await self.reads.prepare(projected, 0)
        if not self._started and self._skips:
            told = msgspec.structs.replace(at, revision=at.revision + 1)
            await self.reads.write(projected, Changes(skips=self._skips), at, told)
        self._started = True
        while at.position < until:
            at = await self.reads.prepare(projected, 0)
            if not await self._runner.advance(at, until):
                return
            at = self._runner.checkpoint

    @property
    def position(self) -> Position:
        """How far it is."""
        return self._runner.checkpoint.position

    async def letters(self) -> list[Letter]:
        """What it could not fold."""
        at = await self.reads.prepare(self.projection.projected, 0)
        return await self.reads.letters(self.projection.projected, at, limit=ALL)

    def row(self, place: Place) -> Stored | None:
        """A row with its position, as it is here."""
        return self.reads.table(self.projection.name, place[0]).get(place[1])


def narrowed(projection: Projection, places: Iterable[Place]) -> dict[str, Collection[Key]]:
    """What has to be folded for some rows: of their models these keys, of models that they look up all, of others nothing."""
    wanted: dict[str, set[Key]] = {}
    for model, key in places:
        wanted.setdefault(model, set()).add(key)
    whole: set[str] = set()
    reached = set(wanted)
    for fold in reversed(projection.folds):  # those that are looked up stand first
        if fold.model.name in reached:
            found = {lookup.model.name for handler in fold.handlers for lookup in handler.lookups}
            reached |= found
            whole |= found
    return {name: wanted.get(name, set()) for name in (f.model.name for f in projection.folds) if name not in whole}


async def explain(
    projection: Projection, store: EventStore, codec: Codec, place: Place, until: Position, skips: Sequence[Skip] = ()
) -> list[Change]:
    """Every event that changed one row up to a position, in order, with the row before and after."""
    found: list[Change] = []

    def note(step: Step, key: Key, before: Any, after: Any) -> None:
        if (step.handler.model.name, key) == place:
            found.append(Change(step.recorded, step.handler.signature.name, before, after))

    selected = narrowed(projection, [place])
    await Aside(projection, store, codec, skips=skips, selected=selected, watch=note).fold(until)
    return found


class Touched:
    """Watches a fold for every row that these events touched, and for those that look such a row, or one of `places`, up.

    `reached` are those, and with them the rows that would have been touched, had nothing failed.
    """

    def __init__(self, positions: Collection[Position], places: Iterable[Place] = ()) -> None:
        self.places: set[Place] = set(places)
        self._positions = positions

    def __call__(self, step: Step, key: Key, before: Any, after: Any) -> None:
        looked_up = ((lookup.model.name, getattr(step.event, lookup.model.key)) for lookup in step.handler.lookups)
        if step.recorded.position in self._positions or any(place in self.places for place in looked_up):
            self.places.add((step.handler.model.name, key))

    def reached(self, letters: Iterable[Letter]) -> set[Place]:
        failed = {letter.place for letter in letters if letter.error is not None and letter.model != STREAM}
        return self.places | failed
