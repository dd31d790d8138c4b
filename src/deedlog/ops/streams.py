"""`deedlog streams`: which streams there are, and the events of one; closing one is in `closing`."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import click
import msgspec

from deedlog.errors import Misuse
from deedlog.messages.envelope import RecordedEvent, from_micros
from deedlog.ops.events import TITLES, out, row
from deedlog.ops.moments import AT, At, position_of
from deedlog.ops.output import hint, text_of, write_json, write_rows
from deedlog.ops.source import JSON, Count, Source, limit, position, reading, with_source
from deedlog.store.port import EventStore, StreamClosing, StreamSummary


class StreamOut(msgspec.Struct, frozen=True):
    """A stream as --json shows it."""

    stream: str
    version: int
    last_position: int
    recorded_at: datetime


class ClosedOut(msgspec.Struct, frozen=True):
    """That a stream takes no more events, as --json shows it."""

    version: int
    by: str
    why: str
    at: datetime


@click.group()
def streams() -> None:
    """List streams, show one, close one."""


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
@click.option("--version", type=Count(1), metavar="N", help="As it was with N events.")
@AT
@limit(100, "At most so many.")
@JSON
def show_stream(source: Source, stream: str, after: int, version: int | None, at: At | None, limit: int, as_json: bool) -> None:
    """Show the events of one stream, oldest first: all of them, or those it had at a version, a position or a time.

    Lines as in `events read`.

    --json prints {"stream": …, "version": …, "events": […], "next_after": …, "closed": …}, the events as `events read` has
    them. Versions count from 1; next_after is a version, null when there are no more. closed is null for an open stream, else
    version, by, why, at.

    \b
    Example: deedlog streams show product-7 --at 2026-01-31T09:30:00Z
    """
    if version is not None and at is not None:
        raise click.UsageError("--version and --at exclude each other")
    until, found, closed = asyncio.run(_show(source.url(), stream, after, version, at, limit))
    shown = found[:limit]
    next_after = shown[-1].version if len(found) > limit else None
    if as_json:
        closing = None if closed is None else ClosedOut(closed.version, closed.by, closed.why, from_micros(closed.recorded_at))
        events = [out(event) for event in shown]
        write_json({"stream": stream, "version": until, "events": events, "next_after": next_after, "closed": closing})
        return
    write_rows(TITLES, [row(event) for event in shown])
    if next_after is not None:
        hint(f"more: --after {next_after}")
    if closed is not None:
        hint(f"closed by {text_of(closed.by)} at {text_of(from_micros(closed.recorded_at))}: {text_of(closed.why)}")


async def _show(
    url: str, stream: str, after: int, version: int | None, at: At | None, limit: int
) -> tuple[int, Sequence[RecordedEvent], StreamClosing | None]:
    """How many events it has (or had), those to show and one more, and whether it is closed."""
    async with reading(url) as (store, _):
        closed = await store.closing(stream)
        until = closed.version if closed is not None else await version_of(store, stream)
        if version is not None and version > until:
            raise Misuse(f"stream '{stream}' has {until} events, not {version}", fix=f"--version 1 to {until}")
        position = await position_of(store, at)
        if version is not None:
            until = version
        elif position is not None:
            until = await store.version_at(stream, position)
        wanted = min(limit + 1, until - after)
        return until, await store.read_stream(stream, after, wanted) if wanted > 0 else [], closed


async def version_of(store: EventStore, stream: str) -> int:
    """How many events it has. Raises Misuse for a stream that is not there, with those that are nearly it."""
    found = await store.streams(prefix=stream, limit=5)
    for summary in found:
        if summary.stream == stream:
            return summary.version
    near = found or await store.streams(prefix=stream.partition("-")[0], limit=5)
    names = ", ".join(summary.stream for summary in near)
    raise Misuse(f"there is no stream '{stream}'", fix=f"near it: {names}" if names else "`deedlog streams list` shows all")
