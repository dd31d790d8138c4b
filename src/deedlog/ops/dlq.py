"""`deedlog dlq`: events that a read model could not take, and the keys they park; taking them up again is in `mending`."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click
import msgspec

from deedlog.app import App
from deedlog.errors import Misuse
from deedlog.messages.envelope import from_micros
from deedlog.ops.events import raw
from deedlog.ops.named import Opened, opened
from deedlog.ops.output import hint, write_json, write_rows
from deedlog.ops.places import PROJECTION, Wanted, found_letters, key_text, model_and_key, words
from deedlog.ops.source import JSON, Source, limit, with_source
from deedlog.reads.values import STREAM, Letter, Skip

SHOW_TITLES = ("projection", "kind", "position", "event", "stream", "attempts", "at", "words", "data")


class LetterOut(msgspec.Struct, frozen=True):
    """A dead letter as --json shows it. `error` is null for an event that only follows a failed one."""

    projection: str
    read_model: str
    key: Any
    position: int
    event: str
    stream: str
    attempts: int
    parked_at: datetime
    error: str | None


class LetterWithData(msgspec.Struct, frozen=True):
    """A dead letter with its event's payload, as `dlq show --json` shows it."""

    projection: str
    position: int
    event: str
    stream: str
    attempts: int
    parked_at: datetime
    error: str | None
    data: msgspec.Raw


class SkipOut(msgspec.Struct, frozen=True):
    """A decision that a key never gets an event, as --json shows it."""

    projection: str
    position: int
    by: str
    why: str
    at: datetime


@click.group()
def dlq() -> None:
    """See and settle dead letters: events that a read model could not take.

    Such an event parks its key: what follows for that key waits too, all other keys go on.
    """


@dlq.command("list")
@with_source
@PROJECTION
@click.option("--failed", is_flag=True, help="Leave out events that only follow a failed one.")
@limit(100, "At most so many.")
@JSON
def list_letters(source: Source, projection: str | None, failed: bool, limit: int, as_json: bool) -> None:
    """List dead letters, by projection and position.

    In a pipe, one line per letter: projection, read_model, key, position, event, stream, attempts, parked_at, error (- for one
    that only follows); tabs between. --json prints {"letters": […], "more": …} with these keys.

    Where an event could not be read at all, its whole stream is parked: read_model is then stream:NAME, without a key. What
    stands in these two columns is what the other verbs of dlq take.

    \b
    Example: deedlog dlq list --failed
    """
    found = asyncio.run(_list(source.app(), projection))
    wanted = [one for one in found if not failed or one.error is not None]
    shown = wanted[:limit]
    if as_json:
        write_json({"letters": shown, "more": len(wanted) > limit})
        return
    write_rows(LetterOut.__struct_fields__, [msgspec.structs.astuple(one) for one in shown])
    if len(wanted) > limit:
        hint(f"{len(wanted) - limit} more: raise --limit")
    elif not shown:
        hint("no dead letters")


async def _list(app: App, projection: str | None) -> list[LetterOut]:
    async with opened(app) as there:
        found = await found_letters(there, projection, Wanted(()))
        return [_out(name, letter) for name, _, letters in found for letter in letters]


def _out(projection: str, one: Letter) -> LetterOut:
    model, key = model_and_key(one.place)
    at = from_micros(one.parked_at)
    return LetterOut(projection, model, key, one.position, one.event, one.stream, one.attempts, at, one.error)


@dlq.command("show")
@with_source
@words("MODEL KEY | stream:NAME")
@PROJECTION
@JSON
def show_letters(source: Source, wanted: tuple[str, ...], projection: str | None, as_json: bool) -> None:
    """Show everything that waits for one key, and what was decided about it.

    In a pipe, one line per event, tabs between: projection, kind (failed, follows or skipped), position, event, stream,
    attempts, at (when it was parked or decided), words (the error; by whom and why it is skipped), data.

    --json prints {"read_model": …, "key": …, "letters": […], "skips": […]}; letters have projection, position, event, stream,
    attempts, parked_at, error, data; skips have projection, position, by, why, at.

    \b
    Example: deedlog dlq show ProductView p1
    """
    asked = Wanted(wanted)
    if not asked.is_place:
        raise click.UsageError("name the key too: MODEL KEY, or stream:NAME")
    letters, skips = asyncio.run(_show(source.app(), projection, asked))
    if not letters and not skips:
        raise Misuse(f"{asked} is not parked, and nothing was decided about it", fix="`deedlog dlq list` shows what is")
    if as_json:
        model, key = (str(asked), None) if asked.stream is not None else (asked.model, asked.key)
        write_json({"read_model": model, "key": key, "letters": letters, "skips": skips})
        return
    write_rows(SHOW_TITLES, [*map(_letter_row, letters), *map(_skip_row, skips)])


def _letter_row(one: LetterWithData) -> Sequence[Any]:
    kind = "failed" if one.error is not None else "follows"
    data = bytes(one.data).decode()
    return (one.projection, kind, one.position, one.event, one.stream, one.attempts, one.parked_at, one.error, data)


def _skip_row(one: SkipOut) -> Sequence[Any]:
    return (one.projection, "skipped", one.position, None, None, None, one.at, f"{one.by}: {one.why}", None)


async def _show(app: App, projection: str | None, asked: Wanted) -> tuple[list[LetterWithData], list[SkipOut]]:
    async with opened(app) as there:
        found = await found_letters(there, projection, asked)
        letters = [await _with_data(there, name, one) for name, _, some in found for one in some]
        skips = [_skip(name, one) for name, dead, _ in found for one in _of(asked, await dead.skips())]
        return letters, skips


async def _with_data(there: Opened, projection: str, one: Letter) -> LetterWithData:
    page = await there.store.read_all(one.position - 1, 1)
    data = raw(page[0].data) if page else msgspec.Raw(b"null")
    at = from_micros(one.parked_at)
    return LetterWithData(projection, one.position, one.event, one.stream, one.attempts, at, one.error, data)


def _of(asked: Wanted, skips: Iterable[Skip]) -> Iterable[Skip]:
    """Skips of the one place that is asked for."""
    for one in skips:
        if asked.stream is not None:
            if (one.model, one.key) == (STREAM, asked.stream):
                yield one
        elif one.model == asked.model and str(key_text(one.key)) == asked.key:
            yield one


def _skip(projection: str, one: Skip) -> SkipOut:
    return SkipOut(projection, one.position, one.by, one.why, from_micros(one.at))
