"""`deedlog events`: the log in pages, one event in full; following it is in `tail`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import click
import msgspec

from deedlog.errors import Misuse
from deedlog.messages.envelope import RecordedEvent
from deedlog.ops.output import hint, on_terminal, text_of, write_json, write_rows
from deedlog.ops.source import JSON, Count, Source, limit, position, reading, with_source
from deedlog.store.port import EventStore
from deedlog.types import Position

PAGE = 1_000
TITLES = ("position", "time", "stream", "version", "event", "data")

CATEGORY = click.option(
    "--category", "categories", multiple=True, metavar="NAME", help="Only these streams: `product` of product-7."
)
TYPE = click.option("--type", "names", multiple=True, metavar="NAME", help="Only events of this name. May be repeated.")


class EventOut(msgspec.Struct, frozen=True):
    """An event as --json shows it: these keys, in this order."""

    position: int
    stream: str
    version: int
    category: str
    name: str
    name_version: int
    data: msgspec.Raw
    metadata: msgspec.Raw
    recorded_at: datetime
    id: str


def out(event: RecordedEvent) -> EventOut:
    """For --json: the payload as the JSON that is stored, whatever classes an app has for it."""
    return EventOut(
        event.position,
        event.stream,
        event.version,
        event.category,
        event.name,
        event.name_version,
        raw(event.data),
        raw(event.metadata),
        event.time,
        event.id,
    )


def raw(text: str) -> msgspec.Raw:
    """Stored JSON as it is; text that is no JSON (somebody else wrote it) as a string."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.Raw(msgspec.json.encode(text))
    return msgspec.Raw(text.encode())


def row(event: RecordedEvent) -> Sequence[Any]:
    """For a table or a pipe: the columns of TITLES."""
    return (event.position, event.time, event.stream, event.version, event.name, event.data)


@click.group()
def events() -> None:
    """Follow, read and show events."""


@events.command()
@with_source
@position("--after", default=0, show_default=True, help="Only events with a higher position.")
@limit(100, "At most so many.")
@click.option("--stream", metavar="NAME", help="Only this stream.")
@CATEGORY
@TYPE
@JSON
def read(
    source: Source,
    after: int,
    limit: int,
    stream: str | None,
    categories: tuple[str, ...],
    names: tuple[str, ...],
    as_json: bool,
) -> None:
    """Read events, oldest first.

    In a pipe, one line per event: position, time, stream, version, event, data; tabs between.

    --json prints {"events": […], "next_after": …, "head": …}; next_after is null when there are no more. Each event has
    position, stream, version, category, name, name_version, data, metadata, recorded_at, id.

    \b
    Example: deedlog events read --category order --type OrderPlaced --limit 20
    """

    async def look() -> tuple[list[RecordedEvent], Position]:
        async with reading(source.url()) as (store, _):
            head = await store.head()
            wanted = _of_stream(store, stream, after, categories, names) if stream else _of_log(store, after, categories, names)
            return await _take(wanted, limit + 1), head

    found, head = asyncio.run(look())
    more, found = len(found) > limit, found[:limit]
    next_after = found[-1].position if more else None
    if as_json:
        write_json({"events": [out(event) for event in found], "next_after": next_after, "head": head})
        return
    write_rows(TITLES, [row(event) for event in found])
    if next_after is not None:
        hint(f"more: --after {next_after}")
    elif not found:
        hint(f"no such events; the newest of all has position {head}")


async def _take(wanted: AsyncIterator[RecordedEvent], count: int) -> list[RecordedEvent]:
    taken: list[RecordedEvent] = []
    async for event in wanted:
        taken.append(event)
        if len(taken) == count:
            break
    return taken


async def _of_log(
    store: EventStore, after: Position, categories: Sequence[str], names: Sequence[str]
) -> AsyncIterator[RecordedEvent]:
    while page := await store.read_all(after, PAGE, categories=categories, names=names):
        for event in page:
            yield event
        after = page[-1].position


async def _of_stream(
    store: EventStore, stream: str, after: Position, categories: Sequence[str], names: Sequence[str]
) -> AsyncIterator[RecordedEvent]:
    version = 0
    while page := await store.read_stream(stream, version, PAGE):
        for event in page:
            if event.position > after and (not names or event.name in names) and (not categories or event.category in categories):
                yield event
        version = page[-1].version


@events.command("show")
@with_source
@click.argument("wanted", metavar="POSITION", type=Count(1))
@JSON
def show_event(source: Source, wanted: int, as_json: bool) -> None:
    """Show one event in full.

    In a pipe, one line per field: its name, a tab, its value. --json prints one object. The fields are position, stream,
    version, category, name, name_version, data, metadata, recorded_at, id.

    \b
    Example: deedlog events show 17
    """

    async def look() -> tuple[RecordedEvent | None, Position]:
        async with reading(source.url()) as (store, _):
            page = await store.read_all(wanted - 1, 1)
            return next((event for event in page if event.position == wanted), None), await store.head()

    event, head = asyncio.run(look())
    if event is None:
        raise Misuse(
            f"there is no event at position {wanted}", fix=f"positions go from 1 to {head}" if head else "the store is empty"
        )
    shown = out(event)
    if as_json:
        write_json(shown)
        return
    for field in EventOut.__struct_fields__:
        _show_field(field, getattr(shown, field))


def _show_field(name: str, value: Any) -> None:
    if isinstance(value, msgspec.Raw):
        value = bytes(value).decode()
        if on_terminal():
            click.echo(f"{click.style(name, bold=True)}\n{msgspec.json.format(value, indent=2)}")
            return
    click.echo(f"{click.style(f'{name:<13}', bold=True)} {text_of(value)}" if on_terminal() else f"{name}\t{text_of(value)}")
