"""`deedlog events tail`: the log, followed."""

import os
import select
import sys
from collections.abc import Callable, Sequence

import click

from deedlog.messages.envelope import RecordedEvent
from deedlog.ops.events import CATEGORY, PAGE, TYPE, out, row
from deedlog.ops.output import hint, on_terminal, text_of, write_json_line, write_line
from deedlog.ops.signals import run_until_stopped
from deedlog.ops.source import JSON, Source, limit, position, reading, with_source
from deedlog.store.port import EventStore
from deedlog.types import Position

IDLE_SECONDS = 1.0


@click.command()
@with_source
@position("--after", default=None, help="Start behind this position. Default: behind the newest event.")
@click.option("--from-start", is_flag=True, help="Start with the first event.")
@limit(None, "End after so many.")
@CATEGORY
@TYPE
@JSON
def tail(
    source: Source,
    after: int | None,
    from_start: bool,
    limit: int | None,
    categories: tuple[str, ...],
    names: tuple[str, ...],
    as_json: bool,
) -> None:
    """Follow the log: print events as they are stored, until Ctrl-C.

    Lines as in `events read`; --json prints one object per line, with the keys of an event there.

    \b
    Example: deedlog events tail --from-start --json | jq .name
    """
    if from_start and after is not None:
        raise click.UsageError("--after and --from-start exclude each other")
    start = 0 if from_start else after
    show: Callable[[RecordedEvent], None] = _show_json if as_json else _show_line if on_terminal() else _show_tabs
    run_until_stopped(_follow(source.url(), start, limit, categories, names, show))


async def _follow(
    url: str,
    after: Position | None,
    limit: int | None,
    categories: Sequence[str],
    names: Sequence[str],
    show: Callable[[RecordedEvent], None],
) -> None:
    async with reading(url) as (store, _):
        after = await store.head() if after is None else after
        left = limit
        hint(f"following {url} behind position {after}; Ctrl-C ends")
        while True:
            head = await store.head()
            size = PAGE if left is None else min(PAGE, left)
            page = await store.read_all(after, size, categories=categories, names=names)
            for event in page:
                show(event)
            sys.stdout.flush()
            left = None if left is None else left - len(page)
            if left == 0:
                return
            # A short page has seen everything up to the head that was read before it: filtered events are not read again.
            after = page[-1].position if len(page) == size else max(after, head, page[-1].position if page else 0)
            await _wait(store, after)


async def _wait(store: EventStore, after: Position) -> None:
    await store.wait(after, IDLE_SECONDS)
    if _reader_is_gone():
        raise BrokenPipeError


def _reader_is_gone() -> bool:
    """Whether the other end of the pipe is closed; without this, `tail | head` would end only with the next event."""
    if on_terminal() or not hasattr(select, "poll"):
        return False
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(flags & select.POLLERR for _, flags in poll.poll(0))
    except (OSError, ValueError):
        return False


def _show_json(event: RecordedEvent) -> None:
    write_json_line(out(event))


def _show_tabs(event: RecordedEvent) -> None:
    write_line(row(event))


def _show_line(event: RecordedEvent) -> None:
    """One line of a terminal: what does not fit is left out, `events show` has it."""
    head = f"{event.position:>7}  {text_of(event.time)}  {text_of(event.stream)} {event.version}  "
    name = text_of(event.name)
    room = max(20, _width() - len(head) - len(name) - 2)
    data = text_of(event.data)
    click.echo(
        f"{click.style(head, dim=True)}{click.style(name, bold=True)}  {data if len(data) <= room else data[: room - 1] + '…'}"
    )


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return 120
