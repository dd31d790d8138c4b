"""`deedlog explain`: which events made a row."""

import asyncio
from typing import Any

import click

from deedlog.app import App
from deedlog.errors import Misuse
from deedlog.ops.changes import TITLES, ChangeOut, change_rows, changes_out, plain
from deedlog.ops.moments import AT, At, position_of
from deedlog.ops.named import Opened, complete_model, opened
from deedlog.ops.output import hint, text_of, write_json, write_rows
from deedlog.ops.source import JSON, Source, with_source
from deedlog.projections.projection import Projection
from deedlog.reads.values import Letter, Place
from deedlog.types import Position


@click.command()
@with_source
@click.argument("model", shell_complete=complete_model)
@click.argument("key")
@AT
@JSON
def explain(source: Source, model: str, key: str, at: At | None, as_json: bool) -> None:
    """Say which events made a row of a read model, in order, and what each changed.

    Folds the row anew from the log, in memory; the tables are not touched.

    In a pipe, one line per field that changed: position, time, event, stream, handler, place (file:line of the handler), field,
    before, after (values as JSON, - where there was no row); tabs between. An event that changed no field has one line.

    --json prints {"read_model": …, "key": …, "at": …, "events": […], "row": …, "parked_at": …}: each event has position,
    recorded_at, stream, version, name, handler, place, effect (starts, changes, ends, nothing) and fields ({field: {"before":
    …, "after": …}}); row is what they make of it, null when it ended; parked_at is the position from which on the stored row
    waits in the dead letters, else null.

    \b
    Example: deedlog explain ProductView p1 --at 2026-01-31T09:30:00Z
    """
    until, events, row, parked = asyncio.run(_explain(source.app(), model, key, at))
    if not events and parked is None:
        raise Misuse(f"no event up to {until} concerns {model} '{key}'", fix="look at the key, and at a later position")
    if as_json:
        where = parked and parked.position
        write_json({"read_model": model, "key": key, "at": until, "events": events, "row": row, "parked_at": where})
        return
    write_rows(TITLES, change_rows(events))
    hint(f"there is no such row at {until}" if row is None else f"{model} {text_of(key)} at {until}: {text_of(row)}")
    if parked is not None:
        click.echo(f"note: parked since {parked.event} at {parked.position}: `deedlog dlq show {model} {key}`", err=True)


async def _explain(
    app: App, model: str, key: str, at: At | None
) -> tuple[Position, list[ChangeOut], dict[str, Any] | None, Letter | None]:
    async with opened(app) as there:
        place = there.projecting.place_of(model, key)
        projection, _ = there.projecting.model_of(model)
        head = await there.store.head()
        wanted = await position_of(there.store, at)
        until = head if wanted is None else min(wanted, head)
        found = await there.projecting.explain(model, place[1], until)
        row = plain(found[-1].after) if found and found[-1].after is not None else None
        return until, changes_out(projection, found), row, await _parked(there, projection, place, until)


async def _parked(there: Opened, projection: Projection, place: Place, until: Position) -> Letter | None:
    """The first event that the stored row waits for."""
    if projection.mode == "live" or await there.reads.current(projection.projected) is None:
        return None
    found = await there.projecting.letters_of(place[0]).list(place, limit=1)
    return found[0] if found and found[0].position <= until else None
