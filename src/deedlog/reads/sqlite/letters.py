"""Dead letters and skips as rows. A key is kept as JSON, so that one table serves keys of every type."""

import sqlite3
from collections.abc import Callable

import msgspec

from deedlog.reads.model import Key
from deedlog.reads.sqlite import statements as sql
from deedlog.reads.values import STREAM, Changes, Letter, Parked, Place, Projected, Skip
from deedlog.sqlite.bulk import insert_many
from deedlog.types import Position


def park(connection: sqlite3.Connection, projected: Projected, generation: int, changes: Changes) -> None:
    """What a write does to the letters: some go, some come; then the parked keys are counted."""
    for model, key in changes.released:
        connection.execute(sql.RELEASE_LETTERS, (generation, model, _text(key)))
    if changes.letters:
        rows = [
            (generation, one.model, _text(one.key), one.position, one.stream, one.event, one.parked_at, one.error, one.attempts)
            for one in sorted(changes.letters, key=lambda one: one.error is None)  # of two on one event the one that says why
        ]
        insert_many(connection, sql.ADD_LETTERS, rows)
    if changes.skips:
        taken = [(projected.name, s.model, _text(s.key), s.position, s.by, s.why, s.at) for s in changes.skips]
        insert_many(connection, sql.ADD_SKIPS, taken)
        connection.execute(sql.SKIPS_CHANGED, (projected.name, generation))
    connection.execute(sql.COUNT_PARKED, (projected.name, generation))


def parked(connection: sqlite3.Connection, projected: Projected, generation: int) -> Parked:
    load = _loader(projected)
    places = frozenset((model, load(model, key)) for model, key in connection.execute(sql.PARKED, (generation,)))
    held: dict[Place, set[Position]] = {}
    for skip in skips(connection, projected):
        held.setdefault((skip.model, skip.key), set()).add(skip.position)
    return Parked(places, held)


def letters(
    connection: sqlite3.Connection, projected: Projected, generation: int, place: Place | None, *, failed: bool, limit: int
) -> list[Letter]:
    load = _loader(projected)
    model, key = (None, None) if place is None else (place[0], _text(place[1]))
    rows = connection.execute(sql.LETTERS, (generation, model, key, int(failed), limit))
    return [Letter(model, load(model, key), *rest) for model, key, *rest in rows]


def skips(connection: sqlite3.Connection, projected: Projected) -> list[Skip]:
    load = _loader(projected)
    rows = connection.execute(sql.SKIPS, (projected.name,))
    return [Skip(model, load(model, key), *rest) for model, key, *rest in rows]


def _text(key: Key) -> str:
    return msgspec.json.encode(key).decode()


def _loader(projected: Projected) -> Callable[[str, str], Key]:
    """Text → key, by the name of its read model; a key of one that is gone, or of another type by now, as plain JSON."""
    kinds = {model.name: model.columns[model.key].type for model in projected.models}

    def load(model: str, text: str) -> Key:
        plain = msgspec.json.decode(text)
        if model == STREAM or model not in kinds:
            return plain
        try:
            return msgspec.convert(plain, kinds[model], strict=False)
        except msgspec.ValidationError:
            return plain

    return load
