"""The read store's port: rows by key, written with their checkpoint, read in one consistent snapshot."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

from deedlog.errors import Building, Misuse, Superseded
from deedlog.reads.model import Key, RowType
from deedlog.reads.values import (
    Changes,
    Checkpoint,
    Comparison,
    Condition,
    Find,
    Letter,
    Parked,
    Place,
    Projected,
    Skip,
    Stored,
    Wanted,
)
from deedlog.types import Position, StreamName


class Snapshot(ABC):
    """One consistent view: all reads see the same commit, and `checkpoints` are its checkpoints, by projection name.

    `head` is the log's head in the same commit, None where the log is kept elsewhere.
    """

    checkpoints: Mapping[str, Checkpoint]
    head: Position | None = None

    @abstractmethod
    def has(self, model: RowType) -> bool:
        """Whether this model can be read here."""

    @abstractmethod
    async def is_parked(self, projected: Projected, stream: StreamName, until: Position) -> bool:
        """Whether an event of that stream up to that position is in the projection's dead letters."""

    @abstractmethod
    async def get(self, model: RowType, key: Key) -> Any | None:
        """The row of that key, or None."""

    @abstractmethod
    async def get_many(self, model: RowType, keys: Collection[Key]) -> dict[Key, Any]:
        """The rows of those keys that exist."""

    @abstractmethod
    async def find(self, model: RowType, find: Find) -> list[Any]:
        """Rows in order. Raises Misuse for a comparison or order that the column can't have."""

    @abstractmethod
    async def count(self, model: RowType, where: tuple[Condition, ...]) -> int:
        """How many rows meet all conditions."""

    @abstractmethod
    async def search(self, model: RowType, words: Sequence[str], limit: int) -> list[Any]:
        """Rows whose searched fields have a word that starts with each of `words`, best first. Never raises for odd text."""

    @abstractmethod
    async def sql(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[dict[str, Any]]:
        """Rows of a SELECT in the store's own dialect. Raises NotSupported on a store without SQL."""


class SqlWriter(ABC):
    """Handed to a free-form projection: statements in the store's own dialect, in the commit of its checkpoint."""

    @abstractmethod
    def execute(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> int:
        """Runs one statement; how many rows it changed, -1 where there is no such number.

        Raises Misuse with the database's words.
        """

    @abstractmethod
    def all(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[dict[str, Any]]:
        """All rows of a SELECT, what was written before included."""

    @abstractmethod
    def attempt(self, work: Callable[[], None]) -> None:
        """Runs `work`; what it wrote is undone when it raises."""


Work: TypeAlias = Callable[[SqlWriter], tuple[Checkpoint, Changes]]
"""Writes what it likes, and says where the projection is then and what it parked."""


class Within(ABC):
    """The rows of a read store inside a transaction of the event store, which commits them with the events. On its thread."""

    @abstractmethod
    def current(self, projected: Projected) -> Checkpoint | None:
        """As `ReadStore.current`."""

    @abstractmethod
    def load(self, projected: Projected, checkpoint: Checkpoint, wanted: Wanted) -> dict[str, list[Stored]]:
        """As `ReadStore.load`."""

    @abstractmethod
    def parked(self, projected: Projected, checkpoint: Checkpoint) -> Parked:
        """As `ReadStore.parked`."""

    @abstractmethod
    def write(self, projected: Projected, changes: Changes, before: Checkpoint, after: Checkpoint) -> None:
        """As `ReadStore.write`; where it raises, nothing of it is left in the transaction."""


class ReadStore(ABC):
    """Tables of read models. A batch's rows and its checkpoint are one commit (P5)."""

    @abstractmethod
    async def open(self) -> None:
        """Makes what the store needs for itself."""

    @abstractmethod
    async def close(self) -> None:
        """Lets go of everything."""

    @abstractmethod
    async def prepare(self, projected: Projected, head: Position) -> Checkpoint:
        """The generation that a process with this definition moves; made, empty, where there is none.

        The first of a name is live at once, and queries are refused until it has come to `head`. One beside a live one of
        another definition becomes live by `go_live`. One that is not live although it is complete, because another
        definition was started meanwhile, becomes live again here: the newest start decides.
        """

    @abstractmethod
    async def current(self, projected: Projected) -> Checkpoint | None:
        """The newest generation of this definition that no rebuild is making; None where it was never prepared."""

    @abstractmethod
    async def generations(self, name: str) -> list[Checkpoint]:
        """All of a projection's, oldest first."""

    async def checkpoint(self, name: str) -> Checkpoint | None:
        """The live one of a projection, or None where there is none."""
        return next((found for found in await self.generations(name) if found.live), None)

    @abstractmethod
    async def load(self, projected: Projected, checkpoint: Checkpoint, wanted: Wanted) -> dict[str, list[Stored]]:
        """The wanted rows that exist, by model name, each once."""

    @abstractmethod
    async def write(self, projected: Projected, changes: Changes, before: Checkpoint, after: Checkpoint) -> None:
        """Changes rows, letters and checkpoint in one commit.

        Raises Conflict when the position, the epoch or the revision are no longer those of `before`, when it was retired, and
        when it was paused and would move. Raises Misuse for a row that can't be stored. Parked keys are counted anew.
        """

    @abstractmethod
    async def transact(self, projected: Projected, before: Checkpoint, work: Work) -> Checkpoint:
        """Runs `work` in one commit with the checkpoint that it gives; not on the event loop. Raises what `write` raises.

        Raises NotSupported on a store without SQL.
        """

    @abstractmethod
    async def restart(self, projected: Projected, head: Position, statements: Sequence[str]) -> Checkpoint:
        """Runs `statements` (they empty the projection's own tables) and starts a new generation, in one commit.

        Queries are refused until it has come to `head`. Raises NotSupported on a store without SQL.
        """

    @abstractmethod
    def within(self, transaction: object) -> Within:
        """These rows in an event store's transaction. Raises NotSupported where the two are kept in different places."""

    @abstractmethod
    async def begin_rebuild(self, projected: Projected) -> Checkpoint:
        """Empty tables of a new generation, aside; what an earlier rebuild left behind goes away."""

    @abstractmethod
    async def switch(self, projected: Projected, built: Checkpoint) -> Checkpoint:
        """Makes `built`, made aside, the live and current generation, in one step. The one before is kept, retired.

        Raises Conflict when it was outrun, or replaced by another rebuild.
        """

    @abstractmethod
    async def go_live(self, projected: Projected, checkpoint: Checkpoint) -> Checkpoint:
        """Makes a complete current generation live. The one that was live stays as it is; older ones are dropped."""

    @abstractmethod
    async def rollback(self, name: str) -> Checkpoint:
        """Makes the newest generation before the live one live again, and retires that. Raises Misuse when none is kept."""

    @abstractmethod
    async def reinstate(self, name: str) -> Checkpoint:
        """Takes a rollback back: the newest retired generation behind the live one is live again, and that is retired.

        Raises Misuse when none was rolled back.
        """

    @abstractmethod
    async def discard(self, projected: Projected, built: Checkpoint) -> None:
        """Drops a generation that was made aside."""

    @abstractmethod
    async def compare(self, projected: Projected, mine: Checkpoint, other: Checkpoint, limit: int = 100) -> Comparison:
        """The rows of two generations, read in one snapshot; at most `limit` examples, by model and key.

        Raises Conflict when one is no longer at its checkpoint's position.
        """

    @abstractmethod
    async def parked(self, projected: Projected, checkpoint: Checkpoint) -> Parked:
        """What a fold of this generation must leave alone."""

    @abstractmethod
    async def letters(
        self,
        projected: Projected,
        at: Checkpoint,
        *,
        place: Place | None = None,
        failed: bool = False,
        limit: int = 1_000,
    ) -> list[Letter]:
        """Dead letters by position, of one place or of all; `failed` leaves out those that only follow."""

    @abstractmethod
    async def skips(self, projected: Projected) -> list[Skip]:
        """Who decided that a key does not get an event, oldest first."""

    @abstractmethod
    async def pause(self, name: str, words: str) -> None:
        """Stops (who and why) or, with "", resumes what moves a projection. Raises Misuse for an unknown name."""

    @abstractmethod
    async def lease(self, projected: Projected, checkpoint: Checkpoint, owner: str, now: int, until: int) -> Checkpoint | None:
        """Leases a generation to `owner` from `now` until `until` (microseconds); None while somebody else has it.

        A lease is over at its time, and when it ends later than any lease from now could: then a clock was set back.
        """

    @abstractmethod
    async def renew(self, owner: str, until: int) -> None:
        """Prolongs all that `owner` still has."""

    @abstractmethod
    async def release(self, owner: str) -> None:
        """Ends all leases of `owner`."""

    @abstractmethod
    async def audited(self, projected: Projected, checkpoint: Checkpoint, position: Position, digest: int) -> None:
        """Keeps how far the auditor agrees with a generation."""

    @abstractmethod
    def snapshot(self, projections: Collection[Projected], *, by_name: bool = False) -> AbstractAsyncContextManager[Snapshot]:
        """A consistent view for one query. Raises Building where a projection is not yet complete.

        `by_name`: tables are read by their plain names, so that only the live generation will do.
        """


def readable(projected: Projected, candidates: Sequence[Checkpoint], *, by_name: bool) -> Checkpoint:
    """The generation that a process reads: its own definition's, else the live one where rows have the same shape.

    Raises Building while there is none, Superseded while another version has it, Misuse when it was never prepared.
    """
    if not candidates:
        raise Misuse(f"projection {projected.name} was never prepared", fix="start the app, or run `deedlog db init`")
    own = [c for c in candidates if c.definition == projected.definition and c.state == "current"]
    live = [c for c in candidates if c.live and c.shape == projected.shape]
    for checkpoint in (*([] if by_name else own[-1:]), *live):
        if checkpoint.complete:
            return checkpoint
    if own and own[-1].complete and not own[-1].building_to:
        problem = "the tables' plain names show another version's rows, of another shape"
        raise Superseded(projected.name, problem, fix="stop the other version: then this one's are shown again")
    if not own and any(c.definition == projected.definition and c.state == "retired" for c in candidates):
        problem = "it was rolled back to another version's rows"
        raise Superseded(projected.name, problem, fix="start that version, or `deedlog projections switch`")
    waiting = next(iter((*own[-1:], *live)), Checkpoint())
    raise Building(projected.name, waiting.position, waiting.building_to)


def earlier_than_live(name: str, found: Sequence[Checkpoint]) -> tuple[Checkpoint, Checkpoint]:
    """The live generation and the one that a rollback takes. Raises Misuse when none is kept."""
    live = next((one for one in found if one.live), None)
    kept = [one for one in found if live is not None and one.generation < live.generation and one.complete]
    if live is None or not kept:
        raise Misuse(f"no earlier generation of {name} is kept", fix="rebuild it, or deploy the version that you want")
    return live, kept[-1]


def later_than_live(name: str, found: Sequence[Checkpoint]) -> tuple[Checkpoint, Checkpoint]:
    """The live generation and the one that taking a rollback back takes. Raises Misuse when none was rolled back."""
    live = next((one for one in found if one.live), None)
    later = [one for one in found if live is not None and one.generation > live.generation and one.state == "retired"]
    if live is None or not later:
        raise Misuse(f"no generation of {name} was rolled back", fix="`deedlog projections rebuild` makes a new one")
    return live, later[-1]


def first_of(definition: str, found: Sequence[Checkpoint]) -> int:
    """The oldest generation of a definition: a rebuild makes no version of an app newer than another."""
    return min(checkpoint.generation for checkpoint in found if checkpoint.definition == definition)


def is_free(checkpoint: Checkpoint, owner: str, now: int, until: int) -> bool:
    """Whether `owner` may lease a generation: see `ReadStore.lease`."""
    return not checkpoint.owner or checkpoint.owner == owner or not now < checkpoint.leased_until <= until
