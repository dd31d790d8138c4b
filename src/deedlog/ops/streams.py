"""`deedlog streams`: which streams there are, and the events of one."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import click
import msgspec

from deedlog.errors import Misuse
from deedlog.messages.envelope import RecordedEvent, from_micros
from deedlog.ops.events import TITLES, out, row
from deedlog.ops.output import hint, write_json, write_rows
from deedlog.ops.source import JSON, Source, limit, position, reading, with_source
from deedlog.store.port import EventStore, StreamSummary


class StreamOut(msgspec.Struct, frozen=True):
    """A stream as --json shows it."""

    stream: str
    version: int
    last_position: int
    recorded_at: datetime


@click.group()
def streams() -> None:
    """List streams, show one."""


@streams.command("list")
@with_source
@click.option("--prefix", default="", metavar="TEXT", help="Only streams whose name starts so.")
@click.option("--after", default="", metavar="STREAM", help="Only streams whose name sorts behind this one.")
@limit(100, "At most so many.")
@JSON
def list_streams(source: Source, prefix: str, after: str, limit: int, as_json: bool) -> None:
    """List streams by name.

    In a pipe, one line per stream: stream, version (how many events it has), last_position and recorded_at (of the
    newest); tabs between.

    --json prints {"streams": […], "next_after": …}, each stream with these keys; next_after is null when there are no more.

    \b
    Example: deedlog streams list --prefix order-
    """

    async def look() -> Sequence[StreamSummary]:
        async with reading(source.url()) as (store, _):
            return await store.streams(prefix, after, limit + 1)

    found = asyncio.run(look())
    shown = [StreamOut(s.stream, s.version, s.last_position, from_micros(s.recorded_at)) for s in found[:limit]]
    next_after = shown[-1].stream if len(found) > limit else None
    if as_json:
        write_json({"streams": shown, "next_after": next_after})
        return
    write_rows(StreamOut.__struct_fields__, [msgspec.structs.astuple(stream) for stream in shown])
    if next_after is not None:
        hint(f"more: --after {next_after}")
    elif not shown:
        hint("no such streams")


@streams.command("show")
@with_source
@click.argument("stream")
@position("--after", default=0, show_default=True, help="Only events with a higher version.")
@limit(100, "At most so many.")
@JSON
def show_stream(source: Source, stream: str, after: int, limit: int, as_json: bool) -> None:
    """Show the events of one stream, oldest first.

    Lines as in `events read`.

    --json prints {"stream": …, "version": …, "events": […], "next_after": …}, the events as `events read` has them.
    Versions count from 1; next_after is a version, null when there are no more.

    \b
    Example: deedlog streams show product-7 --after 10
    """

    async def look() -> tuple[int, Sequence[RecordedEvent]]:
        async with reading(source.url()) as (store, _):
            return await _version(store, stream), await store.read_stream(stream, after, limit + 1)

    version, found = asyncio.run(look())
    shown = found[:limit]
    next_after = shown[-1].version if len(found) > limit else None
    if as_json:
        write_json({"stream": stream, "version": version, "events": [out(e) for e in shown], "next_after": next_after})
        return
    write_rows(TITLES, [row(event) for event in shown])
    if next_after is not None:
        hint(f"more: --after {next_after}")


async def _version(store: EventStore, stream: str) -> int:
    """How many events it has. Raises Misuse for a stream that is not there, with those that are nearly it."""
    found = await store.streams(prefix=stream, limit=5)
    for summary in found:
        if summary.stream == stream:
            return summary.version
    near = found or await store.streams(prefix=stream.partition("-")[0], limit=5)
    names = ", ".join(summary.stream for summary in near)
    raise Misuse(f"there is no stream '{stream}'", fix=f"near it: {names}" if names else "`deedlog streams list` shows all")
