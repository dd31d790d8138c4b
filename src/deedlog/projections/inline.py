"""Inline projections: folded in the commit of each append, so that no answer is ever behind (on the thread that writes).

Where one is behind (it is new, paused, or an import went past it) the append leaves it alone, and its runner brings it to the
head; from then on it is inline again. A bad event parks its key here too: no command fails for a fold's sake.
"""

import logging
from collections.abc import Sequence

from deedlog.errors import DeedlogError
from deedlog.messages.codec import Codec
from deedlog.messages.envelope import RecordedEvent
from deedlog.projections.auditor import moved
from deedlog.projections.fold import BatchFold, Spoilt
from deedlog.projections.pages import decoded
from deedlog.projections.plan import NOTHING, Folded, plan
from deedlog.projections.projection import Projection
from deedlog.projections.runner import MAX_PARKED, say_parked
from deedlog.reads.port import ReadStore, Within
from deedlog.reads.values import Changes, Checkpoint

logger = logging.getLogger("deedlog.projections")


class InlineFolds:
    """Called by the event store inside each append's transaction."""

    def __init__(self, projections: Sequence[Projection], reads: ReadStore, codec: Codec) -> None:
        self._projections = projections
        self._reads = reads
        self._codec = codec

    def __call__(self, transaction: object, recorded: Sequence[RecordedEvent]) -> None:
        within = self._reads.within(transaction)
        for projection in self._projections:
            before = within.current(projection.projected)
            if before is not None and _is_at(before, recorded[0].position - 1):
                try:
                    self._fold(within, projection, before, recorded)
                except DeedlogError as error:
                    logger.error("inline %s stands at %d, its runner takes over: %s", projection.name, before.position, error)

    def _fold(self, within: Within, projection: Projection, before: Checkpoint, recorded: Sequence[RecordedEvent]) -> None:
        batch = list(decoded(projection, self._codec, recorded))
        try:
            self._fold_and_write(within, projection, before, recorded, batch, careful=False)
        except (Spoilt, DeedlogError):
            self._fold_and_write(within, projection, before, recorded, batch, careful=True)

    def _fold_and_write(
        self,
        within: Within,
        projection: Projection,
        before: Checkpoint,
        recorded: Sequence[RecordedEvent],
        batch: Sequence[Folded],
        *,
        careful: bool,
    ) -> None:
        changes = self._changes(within, projection, before, batch, careful=careful)
        within.write(projection.projected, changes, before, moved(before, recorded, changes))
        say_parked(projection.name, changes.letters)

    def _changes(
        self, within: Within, projection: Projection, before: Checkpoint, batch: Sequence[Folded], *, careful: bool
    ) -> Changes:
        if not batch:
            return Changes()
        projected = projection.projected
        parked = within.parked(projected, before) if before.parked or before.revision else NOTHING
        planned = plan(projection, batch, parked)
        fold = BatchFold(projection, within.load(projected, before, planned.wanted), parked, careful=careful)
        fold.apply(planned.steps)
        return fold.changes(planned.letters)


def _is_at(checkpoint: Checkpoint, position: int) -> bool:
    """Whether an append may move it: it is there, nobody stopped it, and not too much of it is parked."""
    moving = not checkpoint.paused and checkpoint.state == "current" and checkpoint.parked <= MAX_PARKED
    return checkpoint.position == position and moving
