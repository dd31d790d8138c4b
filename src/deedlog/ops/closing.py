"""`deedlog streams close`: no more events into a stream."""

import asyncio

import click

from deedlog.messages.envelope import from_micros
from deedlog.ops.consent import BY, DRY_RUN, WHY, YES, confirm
from deedlog.ops.output import text_of
from deedlog.ops.source import Source, reading, with_source, writing
from deedlog.ops.streams import version_of
from deedlog.store.port import StreamClosing


@click.command("close")
@with_source
@click.argument("stream")
@BY
@WHY
@YES
@DRY_RUN
def close_stream(source: Source, stream: str, by: str, why: str, yes: bool, dry_run: bool) -> None:
    """Let no more events into a stream, for good.

    Its events stay and can be read; commands that would add one are refused. Closing it again says who closed it first.

    \b
    Example: deedlog streams close account-bob --why "moved to another bank"
    """
    url = source.url()
    version, closed = asyncio.run(_before(url, stream))
    if closed is None:
        words = f"closes {stream} at version {version}, for good"
        if dry_run:
            click.echo(f"this {words}")
            return
        if not yes:
            confirm(stream, words)
        closed = asyncio.run(_close(url, stream, by, why))
    click.echo(said(closed))


def said(closed: StreamClosing) -> str:
    """A closing in a sentence."""
    where = f"{text_of(closed.stream)} is closed at version {closed.version}"
    return f"{where}, by {text_of(closed.by)} at {text_of(from_micros(closed.recorded_at))}: {text_of(closed.why)}"


async def _before(url: str, stream: str) -> tuple[int, StreamClosing | None]:
    async with reading(url) as (store, _):
        closed = await store.closing(stream)
        return (closed.version if closed else await version_of(store, stream)), closed


async def _close(url: str, stream: str, by: str, why: str) -> StreamClosing:
    async with writing(url) as (store, _):
        return await store.close_stream(stream, by=by, why=why)
