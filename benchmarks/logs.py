"""Long logs for the benchmarks that need one, made by `import_events`: parcels that are registered and moved once."""

import random
from collections.abc import Iterator
from pathlib import Path

from benchmarks.parcels import AT, NOTE, PRICE, Moved, Registered, key_of, service
from deedlog import App

OWN = 1 << 40
"""Numbers of these parcels start here, so that `fresh_key` meets none of them."""
CHUNK = 20_000


def old_key(number: int) -> str:
    """The key of a parcel of the log, from 0 to half of its events."""
    return key_of(OWN + number)


async def long_log(path: Path, events: int) -> App:
    """An app with so many events in its log, started without projections."""
    app = service(path)
    await app.start(projections=False)
    for first in range(0, events, CHUNK):
        await app.import_events(_chunk(first // 2, min(CHUNK, events - first) // 2))
    return app


def _chunk(first: int, parcels: int) -> Iterator[tuple[str, Registered | Moved]]:
    """Each is registered, and then each is moved, in another order."""
    numbers = list(range(first, first + parcels))
    for kind in (Registered, Moved):
        for key in map(old_key, numbers):
            yield f"parcel-{key}", kind(key, "north", 1200, PRICE, AT, NOTE)
        random.Random(first).shuffle(numbers)
