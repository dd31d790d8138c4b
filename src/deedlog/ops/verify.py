"""`deedlog projections verify` and `repair`: live rows against rows folded anew from the log."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import click
import msgspec

from deedlog.app import App
from deedlog.errors import Misuse
from deedlog.ops.changes import TITLES as CHANGES
from deedlog.ops.changes import ChangeOut, FieldChange, change_rows, changes_out, differing, plain, shown
from deedlog.ops.consent import DRY_RUN, YES, confirm
from deedlog.ops.exits import ALARM, FAILED
from deedlog.ops.named import NAME, Opened, find_projection, opened
from deedlog.ops.output import hint, on_terminal, progress, text_of, write_json, write_rows
from deedlog.ops.places import key_text
from deedlog.ops.source import JSON, Source, limit, with_source
from deedlog.projecting import ALL_DIFFERENCES
from deedlog.projections.projection import Projection
from deedlog.projections.rebuild import Verified
from deedlog.reads.values import Difference, Letter

TITLES = ("read_model", "key", "problem", "field", "live", "rebuilt")
EXPLAINED = 3


class RowOut(msgspec.Struct, frozen=True):
    """A row that differs, as --json shows it. `problem`: differs, missing or surplus; `events` made it, or should have."""

    read_model: str
    key: Any
    problem: str
    fields: dict[str, FieldChange]
    events: list[ChangeOut] | None


@click.command()
@with_source
@NAME
@limit(100, "Show at most so many rows.")
@JSON
def verify(source: Source, name: str, limit: int, as_json: bool) -> None:
    """Build a projection anew beside the live one, and compare the two row by row.

    The live tables are left alone and go on meanwhile; the new ones are dropped afterwards. A row is missing (the log makes
    it, it is not there), surplus (it is there, the log does not make it), or differs in some fields.

    In a pipe, one line per field that differs: read_model, key, problem, field, live, rebuilt (values as JSON, - where there is
    no row); tabs between. --json prints {"name": …, "position": …, "same": …, "different": …, "rows": […]}; each row has
    read_model, key, problem, fields ({field: {"before": live, "after": rebuilt}}) and events: for the first three, what
    `deedlog explain` says of it, else null. Exit code 3 when rows differ.

    \b
    Example: deedlog projections verify ProductView
    """
    app = source.app()
    projection = find_projection(app, name)
    found, rows = asyncio.run(_verify(app, projection, limit))
    count = found.comparison
    if as_json:
        write_json(
            {"name": projection.name, "position": found.position, "same": count.same, "different": count.different, "rows": rows}
        )
    else:
        _show(rows)
        hint(f"{projection.name} at position {found.position}: {count.same} rows are as the log makes them, {_differ(found)}")
    if count.different:
        raise click.exceptions.Exit(ALARM)


def _differ(found: Verified) -> str:
    count = found.comparison.different
    return f"{count} {'differs' if count == 1 else 'differ'}"


def _show(rows: Sequence[RowOut]) -> None:
    if rows:
        write_rows(TITLES, [line for row in rows for line in _lines(row)])
    for row in rows:
        if on_terminal() and row.events:
            click.echo()
            write_rows(CHANGES, change_rows(row.events), title=f"{row.read_model} {text_of(row.key)} is made by")


def _lines(row: RowOut) -> Iterable[Sequence[Any]]:
    live, rebuilt = row.problem != "missing", row.problem != "surplus"
    for name, values in row.fields.items():
        yield row.read_model, row.key, row.problem, name, shown(live, values.before), shown(rebuilt, values.after)


async def _verify(app: App, projection: Projection, most: int) -> tuple[Verified, list[RowOut]]:
    async with opened(app, changing=True) as there:
        found = await verified(there, projection, most)
        rows = [
            await _row(there, projection, found, one, explained=index < EXPLAINED)
            for index, one in enumerate(found.comparison.examples)
        ]
        return found, rows


async def verified(there: Opened, projection: Projection, most: int) -> Verified:
    """Compares, with progress. Raises Misuse for a projection that was never built for this version of the app."""
    if await there.reads.current(projection.projected) is None:
        raise Misuse(f"{projection.name} was never built for this version of the app", fix="start it: `deedlog worker --once`")
    with progress(f"verifying {projection.name}") as report:
        return await there.projecting.verify(projection.name, report, limit=most)


async def _row(there: Opened, projection: Projection, found: Verified, one: Difference, *, explained: bool) -> RowOut:
    events = None
    if explained:
        events = changes_out(projection, await there.projecting.explain(one.model, one.key, found.position))
    fields = {name: FieldChange(mine, other) for name, mine, other in differing(plain(one.mine), plain(one.other))}
    return RowOut(one.model, key_text(one.key), _problem(one), fields, events)


@click.command()
@with_source
@NAME
@YES
@DRY_RUN
def repair(source: Source, name: str, yes: bool, dry_run: bool) -> None:
    """Write exactly the rows that differ from the log as the log makes them; the others are not touched.

    Looks for them as `projections verify` does, asks, then folds these rows anew. Says which, one line per row: read_model,
    key, problem; tabs between. Exit code 1 when some could not be folded and are parked.

    \b
    Example: deedlog projections repair ProductView
    """
    app = source.app()
    projection = find_projection(app, name)
    left = asyncio.run(_repair(app, projection, yes, dry_run))
    for letter in left:
        if letter.error is not None:
            click.echo(f"parked: {letter.model} {text_of(key_text(letter.key))} at {letter.position}: {letter.error}", err=True)
    if left:
        raise click.exceptions.Exit(FAILED)


async def _repair(app: App, projection: Projection, yes: bool, dry_run: bool) -> Sequence[Letter]:
    async with opened(app, changing=True) as there:
        found = await verified(there, projection, ALL_DIFFERENCES)
        rows = found.comparison.examples
        if not rows:
            click.echo(f"{projection.name}: nothing to repair, {found.comparison.same} rows are as the log makes them", err=True)
            return []
        said = f"{len(rows)} of {found.comparison.same + found.comparison.different} rows of {projection.name}"
        if dry_run:
            click.echo(f"would mend {said}:", err=True)
        elif not yes:
            confirm(projection.name, f"writes {said} as the log makes them")
        left = [] if dry_run else await there.projecting.letters_of(projection.name).mend([(r.model, r.key) for r in rows])
    write_rows(TITLES[:3], [(row.model, key_text(row.key), _problem(row)) for row in rows])
    return left


def _problem(one: Difference) -> str:
    return "missing" if one.mine is None else "surplus" if one.other is None else "differs"
