"""The reference read store: dictionaries. What the other adapters must equal; also for tests."""

import copy
from collections.abc import Collection, Sequence
from itertools import count
from typing import Any

from deedlog.errors import Conflict, Misuse, NotSupported
from deedlog.reads.memory_snapshot import Generation, MemorySnapshot, Table
from deedlog.reads.model import Key
from deedlog.reads.port import ReadStore, Within, Work, earlier_than_live, first_of, is_free, later_than_live
from deedlog.reads.values import (
    MOVED,
    Changes,
    Checkpoint,
    Comparison,
    Difference,
    Letter,
    Parked,
    Place,
    Projected,
    Skip,
    Stored,
    Wanted,
)
from deedlog.types import Position


class MemoryReadStore(ReadStore):
    """Everything in this process; gone with it. Rows are copied in and out, so that nobody holds a live one."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[Generation]] = {}
        self._skips: dict[str, list[Skip]] = {}
        self._numbers = count(1)

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    def _new(self, projected: Projected, **values: Any) -> Generation:
        revision = 1 if self._skips.get(projected.name) else 0  # then there is something to read
        fixed: dict[str, Any] = {"generation": next(self._numbers), "definition": projected.definition, "shape": projected.shape}
        generation = Generation(projected, Checkpoint(**fixed, revision=revision, **values))
        self._by_name.setdefault(projected.name, []).append(generation)
        return generation

    def _own(self, projected: Projected) -> Generation | None:
        own = [g for g in self._all(projected.name) if g.checkpoint.definition == projected.definition]
        moving = [g for g in own if g.checkpoint.state == "current"]
        return next(iter((*moving[-1:], *(g for g in own[::-1] if g.checkpoint.state == "retired"))), None)

    def _all(self, name: str) -> list[Generation]:
        return self._by_name.get(name, [])

    def _live(self, name: str) -> Generation | None:
        return next((g for g in self._all(name) if g.checkpoint.live), None)

    async def prepare(self, projected: Projected, head: Position) -> Checkpoint:
        own, live = self._own(projected), self._live(projected.name)
        if own is None:
            own = self._new(projected, live=False, building_to=head)
            if not head or (live is None and not self._holding(projected)):
                self._show(own)
        elif not own.checkpoint.live and own.checkpoint.state == "current" and not own.checkpoint.building_to:
            self._show(own)
        return own.checkpoint

    def _show(self, shown: Generation) -> Checkpoint:
        """Makes it the live one of its name, and of every other projection that holds one of its tables."""
        for other in self._holding(shown.projected):
            done = other.checkpoint.position >= other.checkpoint.building_to
            other.change(live=False, building_to=0 if done else other.checkpoint.building_to)
        return shown.change(live=True)

    def _holding(self, projected: Projected) -> list[Generation]:
        """The live generations, of this projection or of others, that hold one of its tables."""
        tables = {model.table for model in projected.models}
        every = [g for generations in self._by_name.values() for g in generations if g.checkpoint.live]
        return [g for g in every if tables & {model.table for model in g.projected.models}]

    async def current(self, projected: Projected) -> Checkpoint | None:
        own = self._own(projected)
        return own.checkpoint if own else None

    async def generations(self, name: str) -> list[Checkpoint]:
        return [g.checkpoint for g in self._all(name)]

    def _generation(self, name: str, number: int) -> Generation:
        for found in self._all(name):
            if found.checkpoint.generation == number:
                return found
        raise Conflict(f"generation {number} of {name} is gone", fix="read its checkpoint again")

    async def load(self, projected: Projected, checkpoint: Checkpoint, wanted: Wanted) -> dict[str, list[Stored]]:
        return self.load_now(projected, checkpoint, wanted)

    async def write(self, projected: Projected, changes: Changes, before: Checkpoint, after: Checkpoint) -> None:
        self.write_now(projected, changes, before, after)

    async def transact(self, projected: Projected, before: Checkpoint, work: Work) -> Checkpoint:
        raise NotSupported("the memory read store has no SQL", fix="use a SQLite store")

    async def restart(self, projected: Projected, head: Position, statements: Sequence[str]) -> Checkpoint:
        raise NotSupported("the memory read store has no SQL", fix="use a SQLite store")

    def within(self, transaction: object) -> Within:
        return _MemoryWithin(self)

    def load_now(self, projected: Projected, checkpoint: Checkpoint, wanted: Wanted) -> dict[str, list[Stored]]:
        tables = self._generation(projected.name, checkpoint.generation).tables
        found: dict[str, dict[Key, Stored]] = {model.name: {} for model in projected.models}
        for name, keys in wanted.keys.items():
            found[name].update({key: tables[name][key] for key in keys if key in tables[name]})
        for (name, column), values in wanted.where.items():
            found[name].update(_with(tables[name], column, set(values) - {None}))
        return {name: [copy.deepcopy(stored) for stored in rows.values()] for name, rows in found.items()}

    def write_now(self, projected: Projected, changes: Changes, before: Checkpoint, after: Checkpoint) -> None:
        generation = self._generation(projected.name, before.generation)
        at = generation.checkpoint
        stopped = at.paused and at.state != "aside" and at.position != after.position
        fence = (before.position, before.epoch, before.revision)
        if (at.position, at.epoch, at.revision) != fence or at.state == "retired" or stopped:
            raise Conflict(f"{projected.name} was moved by another worker", fix="read its checkpoint again")
        for model in projected.models:
            for stored in changes.upserts.get(model.name, ()):
                model.check(stored.row)
        for model in projected.models:
            table = dict(generation.tables[model.name])  # open snapshots keep the old one
            for stored in changes.upserts.get(model.name, ()):
                table[model.key_of(stored.row)] = copy.deepcopy(stored)
            for key in changes.deletes.get(model.name, ()):
                table.pop(key, None)
            generation.tables[model.name] = table
        self._park(generation, changes)
        moving = {name: getattr(after, name) for name in MOVED}
        generation.change(**moving, parked=len({place for place, _ in generation.letters}))

    def _park(self, generation: Generation, changes: Changes) -> None:
        released = set(changes.released)
        generation.letters = {at: letter for at, letter in generation.letters.items() if at[0] not in released}
        for letter in changes.letters:
            generation.letters.setdefault((letter.place, letter.position), letter)
        if changes.skips:
            self._skips.setdefault(generation.projected.name, []).extend(changes.skips)
            for other in self._all(generation.projected.name):
                if other is not generation:
                    other.change(revision=other.checkpoint.revision + 1)

    async def begin_rebuild(self, projected: Projected) -> Checkpoint:
        kept = [g for g in self._all(projected.name) if g.checkpoint.state != "aside"]
        self._by_name[projected.name] = kept
        return self._new(projected, live=False, state="aside").checkpoint

    async def switch(self, projected: Projected, built: Checkpoint) -> Checkpoint:
        live = self._own(projected)
        if live is None:
            raise Misuse(f"projection {projected.name} was never prepared", fix="start the app first")
        if live.checkpoint.position > built.position:
            raise Conflict(f"{projected.name}: the live build is ahead of the new one", fix="fold the rest, then switch")
        building = next((g for g in self._all(projected.name) if g.checkpoint.generation == built.generation), None)
        if building is None or building.checkpoint.position != built.position or building.checkpoint.state != "aside":
            raise Conflict(f"{projected.name}: another rebuild replaced this one", fix="start it again")
        live.change(state="retired", owner="", leased_until=0)
        building.change(state="current", paused=live.checkpoint.paused)
        self._show(building)
        others = [g for g in self._all(projected.name) if g.checkpoint.definition != projected.definition]
        self._drop_older(projected.name, keep=(building, live, *(g for g in others if g.checkpoint.state == "current")))
        return building.checkpoint

    def _drop_older(self, name: str, keep: Collection[Generation]) -> None:
        self._by_name[name] = [g for g in self._all(name) if g in keep or g.checkpoint.state == "aside"]

    async def go_live(self, projected: Projected, checkpoint: Checkpoint) -> Checkpoint:
        generation = self._generation(projected.name, checkpoint.generation)
        before = self._live(projected.name)
        generation.change(building_to=0)
        found = [g.checkpoint for g in self._all(projected.name)]
        if before is not None and first_of(before.checkpoint.definition, found) > checkpoint.generation:
            return generation.checkpoint
        self._show(generation)
        self._drop_older(projected.name, keep=[g for g in (generation, before) if g is not None])
        return generation.checkpoint

    async def rollback(self, name: str) -> Checkpoint:
        return self._exchange(name, *earlier_than_live(name, await self.generations(name)))

    async def reinstate(self, name: str) -> Checkpoint:
        return self._exchange(name, *later_than_live(name, await self.generations(name)))

    def _exchange(self, name: str, live: Checkpoint, other: Checkpoint) -> Checkpoint:
        self._generation(name, live.generation).change(state="retired", owner="", leased_until=0)
        shown = self._generation(name, other.generation)
        shown.change(state="current")
        return self._show(shown)

    async def discard(self, projected: Projected, built: Checkpoint) -> None:
        gone = [g for g in self._all(projected.name) if g.checkpoint.generation == built.generation]
        self._by_name[projected.name] = [g for g in self._all(projected.name) if g not in gone]

    async def compare(self, projected: Projected, mine: Checkpoint, other: Checkpoint, limit: int = 100) -> Comparison:
        one, two = (self._generation(projected.name, c.generation) for c in (mine, other))
        if (one.checkpoint.position, two.checkpoint.position) != (mine.position, other.position):
            raise Conflict(f"{projected.name} has moved", fix="compare again")
        same, different = 0, 0
        examples: list[Difference] = []
        for model in projected.models:
            left, right = one.tables[model.name], two.tables[model.name]
            for key in sorted({*left, *right}, key=lambda key: getattr(key, "value", key)):
                a, b = (table[key].row if key in table else None for table in (left, right))
                if a == b:
                    same += 1
                    continue
                different += 1
                if len(examples) < limit:
                    examples.append(Difference(model.name, key, copy.deepcopy(a), copy.deepcopy(b)))
        return Comparison(same, different, examples)

    async def parked(self, projected: Projected, checkpoint: Checkpoint) -> Parked:
        return self.parked_now(projected, checkpoint)

    def parked_now(self, projected: Projected, checkpoint: Checkpoint) -> Parked:
        letters = self._generation(projected.name, checkpoint.generation).letters
        skips: dict[Place, set[Position]] = {}
        for skip in self._skips.get(projected.name, ()):
            skips.setdefault((skip.model, skip.key), set()).add(skip.position)
        return Parked(frozenset(place for place, _ in letters), skips)

    async def letters(
        self,
        projected: Projected,
        at: Checkpoint,
        *,
        place: Place | None = None,
        failed: bool = False,
        limit: int = 1_000,
    ) -> list[Letter]:
        letters = self._generation(projected.name, at.generation).letters.values()
        wanted = [one for one in letters if (place is None or one.place == place) and (not failed or one.error is not None)]
        return sorted(wanted, key=lambda letter: letter.position)[:limit]

    async def skips(self, projected: Projected) -> list[Skip]:
        return list(self._skips.get(projected.name, ()))

    async def pause(self, name: str, words: str) -> None:
        if not self._all(name):
            raise Misuse(f"there is no projection '{name}' in this store", fix="`deedlog projections list` names them")
        for generation in self._all(name):
            generation.change(paused=words)

    async def lease(self, projected: Projected, checkpoint: Checkpoint, owner: str, now: int, until: int) -> Checkpoint | None:
        generation = self._generation(projected.name, checkpoint.generation)
        at = generation.checkpoint
        if not is_free(at, owner, now, until):
            return None
        return generation.change(owner=owner, leased_until=until, epoch=at.epoch + (at.owner != owner))

    async def renew(self, owner: str, until: int) -> None:
        for generation in self._owned(owner):
            generation.change(leased_until=until)

    async def release(self, owner: str) -> None:
        for generation in self._owned(owner):
            generation.change(owner="", leased_until=0)

    def table(self, name: str, model: str) -> Table:
        """The stored rows of one model of a projection, in its newest generation."""
        return self._all(name)[-1].tables[model]

    def _owned(self, owner: str) -> list[Generation]:
        return [g for generations in self._by_name.values() for g in generations if g.checkpoint.owner == owner]

    async def audited(self, projected: Projected, checkpoint: Checkpoint, position: Position, digest: int) -> None:
        self._generation(projected.name, checkpoint.generation).change(audited=position, audited_digest=digest)

    def snapshot(self, projections: Collection[Projected], *, by_name: bool = False) -> MemorySnapshot:
        return MemorySnapshot(self._all, projections, by_name=by_name)


class _MemoryWithin(Within):
    """Memory has no transactions: what is written is there at once, and the store's own append follows without an await."""

    def __init__(self, store: MemoryReadStore) -> None:
        self._store = store

    def current(self, projected: Projected) -> Checkpoint | None:
        own = self._store._own(projected)
        return own.checkpoint if own else None

    def load(self, projected: Projected, checkpoint: Checkpoint, wanted: Wanted) -> dict[str, list[Stored]]:
        return self._store.load_now(projected, checkpoint, wanted)

    def parked(self, projected: Projected, checkpoint: Checkpoint) -> Parked:
        return self._store.parked_now(projected, checkpoint)

    def write(self, projected: Projected, changes: Changes, before: Checkpoint, after: Checkpoint) -> None:
        self._store.write_now(projected, changes, before, after)


def _with(table: Table, column: str, values: Collection[Any]) -> Table:
    return {key: stored for key, stored in table.items() if getattr(stored.row, column) in values}
