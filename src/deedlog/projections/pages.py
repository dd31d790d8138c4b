"""Pages of the log, decoded for one projection; while one is being written, the next is read."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from deedlog.errors import Corrupt
from deedlog.messages.codec import Codec
from deedlog.messages.envelope import RecordedEvent
from deedlog.projections.plan import Folded
from deedlog.projections.projection import Projection
from deedlog.store.port import EventStore
from deedlog.types import Position

SLICE = 250
"""After so many events the loop breathes: decoding and folding are CPU, and commands run beside them."""


class Page(NamedTuple):
    """Events in order; in `batch` those that the projection handles, with their objects or why they can't be decoded."""

    recorded: Sequence[RecordedEvent]
    batch: list[Folded]


class Pages:
    """Reads for one runner, at most one page ahead of what it asks for."""

    def __init__(self, projection: Projection, store: EventStore, codec: Codec) -> None:
        self._projection = projection
        self._store = store
        self._codec = codec
        self._ahead: tuple[Position, int, asyncio.Task[Page]] | None = None

    async def read(self, after: Position, limit: int) -> Page:
        """The page after a position; empty: caught up. Raises Corrupt where the log has a hole."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            if ahead[:2] == (after, limit) and (page := await ahead[2]).recorded:
                return page
            ahead[2].cancel()  # another page is wanted, or this one was empty when it was read
        return await self._read(after, limit)

    def read_ahead(self, after: Position, limit: int) -> None:
        """Starts to read the page that is likely to be wanted next."""
        self.drop()
        self._ahead = (after, limit, asyncio.get_running_loop().create_task(self._read(after, limit)))

    def drop(self) -> None:
        """Forgets what was read ahead."""
        if self._ahead is not None:
            self._ahead[2].cancel()
            self._ahead = None

    async def _read(self, after: Position, limit: int) -> Page:
        recorded = await self._store.read_all(after, limit)
        if recorded and (recorded[0].position, recorded[-1].position) != (after + 1, after + len(recorded)):
            raise Corrupt(
                f"the log has no event {_first_hole(recorded, after)}, but later ones: events are missing",
                fix="restore the database from a backup",
            )
        batch: list[Folded] = []
        for start in range(0, len(recorded), SLICE):
            batch.extend(decoded(self._projection, self._codec, recorded[start : start + SLICE]))
            await asyncio.sleep(0)
        return Page(recorded, batch)


def decoded(projection: Projection, codec: Codec, page: Sequence[RecordedEvent]) -> Iterator[Folded]:
    """The events that the projection handles, or why they can't be read; it never looks into the others."""
    wanted, handlers, decode = projection.names, projection.handlers, codec.decode
    for recorded in page:
        if recorded.name in wanted:
            try:
                event = decode(recorded)
            except Corrupt as error:
                yield recorded, error
                continue
            if type(event) in handlers:
                yield recorded, event


def _first_hole(recorded: Sequence[RecordedEvent], after: Position) -> Position:
    return next((p for p, event in enumerate(recorded, after + 1) if event.position != p), after + 1)
