"""The events that made a row, each with what it changed: for `deedlog explain`, and for rows that differ."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from deedlog.ops.check import near
from deedlog.projections.aside import Change
from deedlog.projections.projection import Projection

TITLES = ("position", "time", "event", "stream", "handler", "place", "field", "before", "after")


class FieldChange(msgspec.Struct, frozen=True):
    """A field's value before and after an event."""

    before: Any
    after: Any


class ChangeOut(msgspec.Struct, frozen=True):
    """One event's part in a row as --json shows it. `effect`: starts, changes, ends, or nothing. `place` is file:line."""

    position: int
    recorded_at: datetime
    stream: str
    version: int
    name: str
    handler: str
    place: str
    effect: str
    fields: dict[str, FieldChange]


def changes_out(projection: Projection, changes: Iterable[Change]) -> list[ChangeOut]:
    """For --json."""
    places = {h.signature.name: near(h.signature.place) for fold in projection.folds for h in fold.handlers}
    return [_out(change, places.get(change.handler, "")) for change in changes]


def _out(change: Change, place: str) -> ChangeOut:
    event = change.recorded
    fields = {n: FieldChange(before, after) for n, before, after in differing(plain(change.before), plain(change.after))}
    return ChangeOut(
        event.position, event.time, event.stream, event.version, event.name, change.handler, place, _effect(change), fields
    )


def _effect(change: Change) -> str:
    if change.before is None:
        return "nothing" if change.after is None else "starts"
    if change.after is None:
        return "ends"
    return "nothing" if plain(change.before) == plain(change.after) else "changes"


def plain(row: Any | None) -> dict[str, Any]:
    """A row's fields as values that JSON has; nothing for no row."""
    if row is None:
        return {}
    found: dict[str, Any] = msgspec.to_builtins(row)
    return found


def differing(left: dict[str, Any], right: dict[str, Any]) -> Iterable[tuple[str, Any, Any]]:
    """Fields with other values on the left than on the right; all of them where one side has no row."""
    for name in left or right:
        if left.get(name) != right.get(name) or not (left and right):
            yield name, left.get(name), right.get(name)


def shown(row_exists: bool, value: Any) -> str:
    """A value as JSON, so that null, "-" and 1 are told apart from no row, which is `-`."""
    return msgspec.json.encode(value).decode() if row_exists else "-"


def change_rows(changes: Sequence[ChangeOut]) -> list[Sequence[Any]]:
    """For a table or a pipe: a line per field that changed; one with `-` for an event that changed none."""
    return [row for change in changes for row in _rows(change)]


def _rows(change: ChangeOut) -> Iterable[Sequence[Any]]:
    head = (change.position, change.recorded_at, change.name, change.stream, change.handler, change.place)
    if not change.fields:
        yield (*head, None, None, None)
    for name, values in change.fields.items():
        yield (*head, name, shown(change.effect != "starts", values.before), shown(change.effect != "ends", values.after))
