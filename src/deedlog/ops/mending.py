"""`deedlog dlq retry`, `skip` and `purge`: parked keys folded anew from the log, with their events or without some."""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

import click

from deedlog.app import App
from deedlog.errors import Misuse
from deedlog.ops.consent import BY, DRY_RUN, WHY, YES, confirm
from deedlog.ops.exits import FAILED, Usage
from deedlog.ops.named import opened
from deedlog.ops.output import safe, write_line
from deedlog.ops.places import PROJECTION, Wanted, found_letters, model_and_key, shown, words
from deedlog.ops.source import Source, with_source
from deedlog.projections.letters import Letters
from deedlog.reads.values import Letter, Place

Found: TypeAlias = list[tuple[str, Letters, list[Letter]]]


@click.command()
@with_source
@words("[MODEL [KEY] | stream:NAME]", required=False)
@PROJECTION
def retry(source: Source, wanted: tuple[str, ...], projection: str | None) -> None:
    """Fold parked keys anew from the log: all of them, those of a read model, or one.

    After a mended fold is deployed. A key that folds now is no longer parked, and its row has all events in their order.

    Prints a line per key: read_model, key, mended or parked, and for a parked one the position and the error; tabs between.
    Exit code 1 when something is still parked.

    \b
    Example: deedlog dlq retry ProductView
    """
    left = asyncio.run(_retry(source.app(), projection, Wanted(wanted)))
    if left:
        click.echo("still parked: mend the fold and retry, or `deedlog dlq skip` the events that will never fit", err=True)
        raise click.exceptions.Exit(FAILED)


async def _retry(app: App, projection: str | None, asked: Wanted) -> int:
    """How many keys stay parked."""
    left = 0
    async with opened(app, changing=True) as there:
        found = await found_letters(there, projection, asked)
        if not _places(found):
            _refuse(asked)
        for _, dead, letters in found:
            places = _unique(letters)
            failed = await dead.retry(places) if places else []
            left += len({one.place for one in failed})
            _report(places, failed)
    return left


def _refuse(asked: Wanted) -> None:
    """Nothing is parked: fine where nobody named it. Raises Misuse where somebody did."""
    if str(asked):
        raise Misuse(f"{asked} is not parked", fix="`deedlog dlq list` shows what is")
    click.echo("nothing is parked", err=True)


def _report(places: Sequence[Place], failed: Sequence[Letter]) -> None:
    errors = {one.place: one for one in reversed(failed) if one.error is not None}
    for place in dict.fromkeys([*places, *(one.place for one in failed)]):
        letter = errors.get(place)
        left = place in {one.place for one in failed}
        write_line([*model_and_key(place), "parked" if left else "mended", letter and letter.position, letter and letter.error])


def _unique(letters: Sequence[Letter]) -> list[Place]:
    return list(dict.fromkeys(one.place for one in letters))


def _places(found: Found) -> list[Place]:
    return [place for _, _, letters in found for place in _unique(letters)]


@click.command()
@with_source
@words("MODEL KEY POSITION | stream:NAME POSITION")
@PROJECTION
@BY
@WHY
@YES
@DRY_RUN
def skip(source: Source, wanted: tuple[str, ...], projection: str | None, by: str, why: str, yes: bool, dry_run: bool) -> None:
    """Decide that a key never gets one event, and fold it anew without.

    For an event that will never fit. The decision is kept with who took it and why, rebuilds keep to it, and it can't be taken
    back. Lines and exit code as in `dlq retry`: a later event of that key may fail in its turn.

    \b
    Example: deedlog dlq skip ProductView p1 17 --why "price in the wrong currency, corrected by event 21"
    """
    position = _position(wanted)
    asked = Wanted(wanted[:-1])
    if not asked.is_place:
        raise click.UsageError("name the key too: MODEL KEY POSITION, or stream:NAME POSITION")
    if asyncio.run(_skip(source.app(), projection, asked, position, by, why, yes, dry_run)):
        raise click.exceptions.Exit(FAILED)


def _position(wanted: Sequence[str]) -> int:
    last = wanted[-1]
    if len(wanted) < 2 or not (last.isascii() and last.isdigit()):
        raise Usage(f"'{safe(last)}' is no position", fix="MODEL KEY POSITION, or stream:NAME POSITION, as `dlq list` shows them")
    return int(last)


async def _skip(
    app: App, projection: str | None, asked: Wanted, position: int, by: str, why: str, yes: bool, dry_run: bool
) -> int:
    left = 0
    async with opened(app, changing=True) as there:
        found = await found_letters(there, projection, asked)
        hits = [(dead, one) for _, dead, letters in found for one in letters if one.position == position]
        if not hits:
            raise Misuse(f"no dead letter of {asked} at {position}", fix="`deedlog dlq list` shows them")
        for dead, letter in hits:
            said = f"{letter.event} at {position} is left out of {shown(letter.place)} of {dead.projection.name}, for ever"
            if dry_run:
                click.echo(f"would decide: {said}")
                continue
            if not yes:
                confirm(str(position), f"decides that {said}")
            failed = await dead.skip(letter.place, position, by=by, why=why)
            left += len({one.place for one in failed})
            _report([letter.place], failed)
    return left


@click.command()
@with_source
@words("[MODEL [KEY] | stream:NAME]", required=False)
@PROJECTION
@BY
@WHY
@YES
@DRY_RUN
def purge(source: Source, wanted: tuple[str, ...], projection: str | None, by: str, why: str, yes: bool, dry_run: bool) -> None:
    """Decide that parked keys get none of the events that wait for them: of all, of a read model, or of one.

    As `dlq skip` for each of these letters. Counts them first, and asks.

    \b
    Example: deedlog dlq purge ProductView --why "imported twice by mistake"
    """
    asyncio.run(_purge(source.app(), projection, Wanted(wanted), by, why, yes, dry_run))


async def _purge(app: App, projection: str | None, asked: Wanted, by: str, why: str, yes: bool, dry_run: bool) -> None:
    async with opened(app, changing=True) as there:
        found = [(name, dead, letters) for name, dead, letters in await found_letters(there, projection, asked) if letters]
        if not found:
            _refuse(asked)
        for name, _, letters in found:
            click.echo(f"{name}: {_counted(letters)}")
        if dry_run or not found:
            return
        if not yes:
            count = sum(len(letters) for _, _, letters in found)
            confirm(str(count), f"leaves {count} events out of the rows they concern, for ever")
        for name, dead, letters in found:
            gone = await dead.purge(_unique(letters), by=by, why=why)
            click.echo(f"{name}: {gone} letters are gone")


def _counted(letters: Sequence[Letter]) -> str:
    failed = sum(one.error is not None for one in letters)
    return f"{len(letters)} letters ({failed} failed, {len(letters) - failed} follow) of {len(_unique(letters))} keys"
