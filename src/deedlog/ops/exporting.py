"""`deedlog events export`: the log as JSON lines, in the form that `events import` takes."""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime

import click
import msgspec

from deedlog.messages.envelope import RecordedEvent
from deedlog.ops.events import CATEGORY, PAGE, TYPE, raw
from deedlog.ops.output import on_terminal, progress
from deedlog.ops.source import Source, position, reading, with_source


class EventLine(msgspec.Struct, frozen=True):
    """One line: these keys, in this order."""

    stream: str
    name: str
    name_version: int
    data: msgspec.Raw
    metadata: msgspec.Raw
    recorded_at: datetime
    id: str


@click.command()
@with_source
@position("--after", default=0, show_default=True, help="Only events with a higher position.")
@CATEGORY
@TYPE
def export(source: Source, after: int, categories: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Print events as JSON lines, oldest first, up to the newest one there is at the start.

    Each line has stream, name, name_version, data, metadata, recorded_at, id: what `events import` takes. Imported into an
    empty store they make an equal log. Closings of streams and receipts of commands are not in it.

    \b
    Example: deedlog events export --store sqlite:///shop.db > shop.jsonl
    """
    asyncio.run(_export(source.url(), after, categories, names))


async def _export(url: str, after: int, categories: Sequence[str], names: Sequence[str]) -> None:
    with nullcontext(_quiet) if on_terminal() else progress("exporting") as report:
        async with reading(url) as (store, _):
            head = await store.head()
            while page := await store.read_all(after, PAGE, categories=categories, names=names):
                events = [event for event in page if event.position <= head]
                click.echo("\n".join(map(line_of, events)), nl=bool(events))
                after = page[-1].position
                report(min(after, head), head)
                if after >= head:
                    return


def _quiet(done: int, total: int) -> None:
    """On a terminal the lines themselves are the progress."""


def line_of(event: RecordedEvent) -> str:
    """An event on one line; its payload as it is stored."""
    data, metadata = (_on_one_line(text) for text in (event.data, event.metadata))
    line = EventLine(event.stream, event.name, event.name_version, data, metadata, event.time, event.id)
    return msgspec.json.encode(line).decode()


def _on_one_line(text: str) -> msgspec.Raw:
    """A line break in JSON is blank space between its parts: inside a text it is written as \\n."""
    return raw(text.replace("\n", " ").replace("\r", " ") if "\n" in text or "\r" in text else text)
