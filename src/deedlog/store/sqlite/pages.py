"""Reads of many rows on SQLite: pages of the log, streams by name, the log at a time. On the reading thread."""

import heapq
import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from operator import attrgetter
from typing import Any

from deedlog.messages.envelope import RecordedEvent
from deedlog.store.port import Matching, StreamSummary
from deedlog.store.sqlite import statements as sql
from deedlog.types import Position, StreamName, Version

LAST_CHARACTER = "\U0010ffff"
_position = attrgetter("position")


class Pages:
    """Over one connection, by one thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._read = connection.execute

    @contextmanager
    def _one_view(self) -> Iterator[None]:
        """Several statements see one commit: else an event between two of them would be stepped over (P2)."""
        self._read("begin")
        try:
            yield
        finally:
            self._read("rollback")

    def log(self, after: Position, limit: int, categories: Collection[str], names: Collection[str]) -> Sequence[RecordedEvent]:
        if not categories and not names:
            return events(self._read(sql.READ_ALL, (after, limit)))
        with self._one_view():
            return _merged(self._filtered(after, limit, categories, names), limit)

    def _filtered(
        self, after: Position, limit: int, categories: Collection[str], names: Collection[str]
    ) -> list[list[RecordedEvent]]:
        read = self._read
        if categories and names:
            wanted = json.dumps(list(names))
            return [events(read(sql.READ_CATEGORY_NAMES, (c, after, wanted, limit))) for c in set(categories)]
        if categories:
            return [events(read(sql.READ_CATEGORY, (c, after, limit))) for c in set(categories)]
        return [events(read(sql.READ_NAME, (name, after, limit))) for name in set(names)]

    def matching(self, matching: Sequence[Matching], after: Position, limit: int) -> Sequence[RecordedEvent]:
        with self._one_view():
            pages = [page for one in matching for page in self._matching(one, after, limit)]
        return _merged(pages, limit)

    def _matching(self, one: Matching, after: Position, limit: int) -> Iterator[list[RecordedEvent]]:
        if one.tags:
            first, *more = one.tags
            yield events(self._read(sql.READ_TAGS, (first, after, json.dumps(more), json.dumps(one.names), limit)))
        else:
            for name in one.names:
                yield events(self._read(sql.READ_NAME, (name, after, limit)))

    def streams(self, prefix: str, after: str, limit: int) -> Sequence[StreamSummary]:
        rows = self._read(sql.STREAMS, (after, prefix, prefix + LAST_CHARACTER, limit))
        return [StreamSummary(*row) for row in rows]

    def position_at(self, time_micros: int) -> Position:
        (position,) = self._read(sql.POSITION_AT, (time_micros,)).fetchone()
        return int(position)

    def version_at(self, stream: StreamName, position: Position) -> Version:
        (version,) = self._read(sql.VERSION_AT, (stream, position)).fetchone()
        return int(version)


def events(rows: Iterable[Any]) -> list[RecordedEvent]:
    """Rows of all event columns as events."""
    return [RecordedEvent(*row) for row in rows]


def _merged(pages: list[list[RecordedEvent]], limit: int) -> list[RecordedEvent]:
    """The first `limit` of all, in position order, each once."""
    in_order = heapq.merge(*pages, key=_position)
    return list(islice((next(same) for _, same in groupby(in_order, key=_position)), limit))
