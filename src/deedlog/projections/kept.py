"""Rows that a runner has just written, kept for its next pages: those need not be loaded again.

They hold only as long as nobody else wrote: `take` gives nothing unless the checkpoint is the one that `keep` was told.
"""

from collections.abc import Mapping, Sequence

from deedlog.reads.model import Key
from deedlog.reads.port import Changes, Checkpoint, Projected, Stored, Wanted

MAX_ROWS = 30_000
"""Of each read model, the most recently changed."""

Fence = tuple[int, int, int, int]
Rows = dict[str, dict[Key, Stored]]


def fence_of(checkpoint: Checkpoint) -> Fence:
    """What another writer would have changed."""
    return (checkpoint.position, checkpoint.epoch, checkpoint.revision, checkpoint.generation)


class KeptRows:
    """The rows of one runner. Whoever takes them has them alone: a fold changes rows in place, and may spoil them."""

    def __init__(self, projected: Projected) -> None:
        self._models = projected.models
        self._rows: Rows = {}
        self._fence: Fence | None = None

    def take(self, checkpoint: Checkpoint) -> Rows:
        """The rows as they are at a checkpoint, and gone from here until `keep` brings them back."""
        rows, fence = self._rows, self._fence
        self._rows, self._fence = {}, None
        return rows if fence == fence_of(checkpoint) else {}

    def keep(self, taken: Rows, changes: Changes, after: Checkpoint) -> None:
        """What was taken, with what was written since."""
        for model in self._models:
            rows = taken.setdefault(model.name, {})
            for stored in changes.upserts.get(model.name, ()):
                key = model.key_of(stored.row)
                rows.pop(key, None)  # to the end: the oldest go first
                rows[key] = stored
            for key in changes.deletes.get(model.name, ()):
                rows.pop(key, None)
            for key in list(rows)[: max(0, len(rows) - MAX_ROWS)]:
                del rows[key]
        self._rows, self._fence = taken, fence_of(after)


def missing(wanted: Wanted, kept: Rows) -> Wanted:
    """What still has to be loaded."""
    if not kept:
        return wanted
    keys = {name: [key for key in keys if key not in kept.get(name, {})] for name, keys in wanted.keys.items()}
    return Wanted(keys, wanted.where)


def together(wanted: Wanted, kept: Rows, loaded: Mapping[str, Sequence[Stored]]) -> Mapping[str, Sequence[Stored]]:
    """The kept rows that are wanted, and those that were loaded; of a row in both the loaded one is last, and counts."""
    if not kept:
        return loaded
    found: dict[str, Sequence[Stored]] = {}
    for name, rows in loaded.items():
        mine = kept.get(name, {})
        found[name] = [*(mine[key] for key in wanted.keys.get(name, ()) if key in mine), *rows]
    return found
