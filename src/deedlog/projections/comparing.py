"""A new generation beside the one that it is to follow, row by row: what a changed or a rebuilt fold makes different."""

import logging

from deedlog.errors import Conflict
from deedlog.reads.port import ReadStore
from deedlog.reads.values import Checkpoint, Comparison, Projected

logger = logging.getLogger("deedlog.projections")
SHOWN = 5


async def compare_with_live(reads: ReadStore, projected: Projected, built: Checkpoint) -> Comparison | None:
    """The live rows and the new ones at one position, also said in the log.

    None where they can't be compared: none is live, the rows have another shape, or one has moved on.
    """
    live = await reads.checkpoint(projected.name)
    if live is None or live.generation == built.generation or live.shape != built.shape or live.position != built.position:
        return None
    try:
        found = await reads.compare(projected, live, built, SHOWN)
    except Conflict:
        return None
    if found.different == 0:
        logger.info("%s: generation %d has the %d rows of %d", projected.name, built.generation, found.same, live.generation)
        return found
    keys = ", ".join(f"{one.model} {one.key!r}" for one in found.examples)
    logger.log(
        logging.WARNING if live.definition == built.definition else logging.INFO,  # one fold, two results: something was wrong
        "%s: generation %d at %d differs from %d in %d rows, %d are the same; first %s",
        projected.name,
        built.generation,
        built.position,
        live.generation,
        found.different,
        found.same,
        keys,
    )
    return found
