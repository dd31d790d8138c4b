"""Generations of a projection's tables: made, shown by the tables' plain names, kept for a rollback, dropped.

All of it runs inside a write transaction that its caller has opened.
"""

import json
import sqlite3
from collections.abc import Iterable

from deedlog.errors import Conflict, Misuse
from deedlog.reads.port import earlier_than_live, first_of, later_than_live
from deedlog.reads.sqlite import statements as sql
from deedlog.reads.values import Checkpoint, Projected
from deedlog.types import Position

WIDTH = len(Checkpoint.__struct_fields__)


def checkpoint_of(row: tuple[object, ...]) -> Checkpoint:
    """A row of `statements.FIELDS`, and what may follow it."""
    values = list(row[:WIDTH])
    values[LIVE] = bool(values[LIVE])
    return Checkpoint(*values)  # type: ignore[arg-type]


LIVE = Checkpoint.__struct_fields__.index("live")


def generations(connection: sqlite3.Connection, name: str) -> list[Checkpoint]:
    """All of a projection's, oldest first."""
    return [checkpoint_of(row) for row in connection.execute(sql.GENERATIONS, (name,))]


def own(found: list[Checkpoint], definition: str) -> Checkpoint | None:
    """Of all generations the one that a process with this definition moves."""
    for state in ("current", "retired"):
        for checkpoint in reversed(found):
            if checkpoint.definition == definition and checkpoint.state == state:
                return checkpoint
    return None


def prepare(connection: sqlite3.Connection, projected: Projected, head: Position) -> Checkpoint:
    found = generations(connection, projected.name)
    mine = own(found, projected.definition)
    if mine is None:
        mine = create(connection, projected, state="current", building_to=head)
        tables = json.dumps([model.table for model in projected.models])
        taken = connection.execute(sql.HELD, (tables,)).fetchone() is not None  # in this projection, or in another
        if not head or not (taken or any(checkpoint.live for checkpoint in found)):
            show(connection, projected, mine.generation)
    elif not mine.live and mine.state == "current" and not mine.building_to:
        show(connection, projected, mine.generation)
    return _again(connection, projected.name, mine.generation)


def create(connection: sqlite3.Connection, projected: Projected, *, state: str, building_to: int) -> Checkpoint:
    """Empty tables under a number that was never given before."""
    (newest,) = connection.execute(sql.NEWEST).fetchone()
    revision = int(connection.execute(sql.SKIPS, (projected.name,)).fetchone() is not None)  # then there is something to read
    generation = int(newest) + 1
    run(connection, (s for model in projected.models for s in sql.create(model, generation)))
    tables = json.dumps([model.table for model in projected.models])
    fixed = (projected.name, generation, projected.definition, projected.shape, state, revision, building_to, tables)
    connection.execute(sql.ADD, fixed)
    return _again(connection, projected.name, generation)


def show(connection: sqlite3.Connection, projected: Projected, generation: int) -> None:
    """Makes it the live one of its name, and of every other projection that holds one of its tables."""
    _show(connection, projected.name, generation, [model.table for model in projected.models])


def _show(connection: sqlite3.Connection, name: str, generation: int, tables: list[str]) -> None:
    connection.execute(sql.HIDE, (json.dumps(tables),))
    connection.execute(sql.SHOW, (name, generation))
    run(connection, (s for table in tables for s in sql.view(table, generation)))


def drop(connection: sqlite3.Connection, name: str, generation: int) -> None:
    found = connection.execute(sql.TABLES, (name, generation)).fetchone()
    if found is None:  # another rebuild was faster
        return
    run(connection, (s for table in json.loads(found[0]) for s in sql.drop(table, generation)))
    connection.execute(sql.DROP_LETTERS, (generation,))
    connection.execute(sql.REMOVE, (name, generation))


def begin_rebuild(connection: sqlite3.Connection, projected: Projected) -> Checkpoint:
    aside = [c.generation for c in generations(connection, projected.name) if c.state == "aside"]
    made = create(connection, projected, state="aside", building_to=0)
    for old in aside:  # after the new one has its number
        drop(connection, projected.name, old)
    return made


def switch(connection: sqlite3.Connection, projected: Projected, built: Checkpoint) -> Checkpoint:
    found = generations(connection, projected.name)
    live = own(found, projected.definition)
    if live is None:
        raise Misuse(f"projection {projected.name} was never prepared", fix="start the app first")
    if live.position > built.position:
        raise Conflict(f"{projected.name}: the live build is ahead of the new one", fix="fold the rest, then switch")
    at = next((c for c in found if c.generation == built.generation), None)
    if at is None or at.position != built.position or at.state != "aside":
        raise Conflict(f"{projected.name}: another rebuild replaced this one", fix="start it again")
    connection.execute(sql.RETIRE, (projected.name, live.generation))
    connection.execute(sql.SET_STATE, ("current", projected.name, built.generation))
    connection.execute(sql.PAUSE_ONE, (live.paused, projected.name, built.generation))
    show(connection, projected, built.generation)
    others = [c.generation for c in found if c.definition != projected.definition and c.state == "current"]
    _drop_others(connection, projected.name, (built.generation, live.generation, *others))
    return _again(connection, projected.name, built.generation)


def go_live(connection: sqlite3.Connection, projected: Projected, checkpoint: Checkpoint) -> Checkpoint:
    name, generation = projected.name, checkpoint.generation
    _again(connection, name, generation)
    found = generations(connection, name)
    before = next((c for c in found if c.live), None)
    connection.execute(sql.BUILT, (name, generation))
    if before is None or first_of(before.definition, found) < generation:
        show(connection, projected, generation)
        _drop_others(connection, name, (generation, before.generation if before else 0))
    return _again(connection, name, generation)


def rollback(connection: sqlite3.Connection, name: str) -> Checkpoint:
    return _exchange(connection, name, *earlier_than_live(name, generations(connection, name)))


def reinstate(connection: sqlite3.Connection, name: str) -> Checkpoint:
    return _exchange(connection, name, *later_than_live(name, generations(connection, name)))


def _exchange(connection: sqlite3.Connection, name: str, live: Checkpoint, other: Checkpoint) -> Checkpoint:
    """Makes `other` live and retires what was."""
    connection.execute(sql.RETIRE, (name, live.generation))
    connection.execute(sql.SET_STATE, ("current", name, other.generation))
    (tables,) = connection.execute(sql.TABLES, (name, other.generation)).fetchone()
    _show(connection, name, other.generation, json.loads(tables))
    return _again(connection, name, other.generation)


def restart(connection: sqlite3.Connection, projected: Projected, head: Position) -> Checkpoint:
    before = generations(connection, projected.name)
    made = create(connection, projected, state="current", building_to=head)
    for old in before:
        drop(connection, projected.name, old.generation)
    connection.execute(sql.PAUSE_ONE, (before[-1].paused if before else "", projected.name, made.generation))
    show(connection, projected, made.generation)
    connection.execute(sql.SHOW, (projected.name, made.generation))
    return _again(connection, projected.name, made.generation)


def _drop_others(connection: sqlite3.Connection, name: str, keep: tuple[int, ...]) -> None:
    for checkpoint in generations(connection, name):
        if checkpoint.generation not in keep and checkpoint.state != "aside":
            drop(connection, name, checkpoint.generation)


def _again(connection: sqlite3.Connection, name: str, generation: int) -> Checkpoint:
    for found in generations(connection, name):
        if found.generation == generation:
            return found
    raise Conflict(f"generation {generation} of {name} is gone", fix="read its checkpoint again")


def run(connection: sqlite3.Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.execute(statement)
