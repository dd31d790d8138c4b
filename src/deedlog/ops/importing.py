"""`deedlog events import`: JSON lines behind the head of a log, chunk by chunk."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TypeAlias

import click
import msgspec

from deedlog.app import App
from deedlog.commands.importing import CHUNK
from deedlog.errors import DeedlogError, InvalidMessage, Misuse
from deedlog.ops.consent import DRY_RUN
from deedlog.ops.lines import BadLine, Lines
from deedlog.ops.output import progress
from deedlog.ops.source import Count, Source, position, with_source, writing
from deedlog.store.port import Appended, EventStore, ImportedEvent
from deedlog.types import Position

Chunk: TypeAlias = list[tuple[int, bytes]]
"""Lines with their numbers, from 1."""


class Done(msgspec.Struct):
    """How far an import is: the last line that is stored, and the head after it."""

    line: int
    head: Position | None
    count: int = 0


@click.command("import")
@with_source
@click.argument("file", type=click.File("rb"), metavar="FILE|-")
@DRY_RUN
@click.option("--after-line", type=Count(0), metavar="N", default=0, show_default=True, help="Leave out the first N lines.")
@position("--expect-head", default=None, help="Store nothing unless the log ends here. Default: where it ends now.")
@click.option("--keep-undeclared", is_flag=True, help="Take events that the app has no class for, unchecked and without tags.")
def import_lines(
    source: Source, file: IO[bytes], dry_run: bool, after_line: int, expect_head: int | None, keep_undeclared: bool
) -> None:
    """Store events from JSON lines, in their order, behind what is there.

    A line has stream, name and data; and name_version (default: the newest), metadata, recorded_at (default: now) and id
    (default: a new one) where they are known. `events export` writes such lines; - reads standard input.

    Every event is checked against the app's class for it. 5,000 lines are stored at once, all or none: the first bad line is
    named with its number and field, and nothing of its 5,000 is stored. Then, or after Ctrl-C, the message says how to go on:
    --after-line with --expect-head stores no line twice. Nobody's version is checked: import while no service takes commands.

    --dry-run checks all lines and stores none.

    \b
    Example: deedlog events import history.jsonl --dry-run
    """
    app = source.app()
    lines = Lines(app.build().registry, keep_undeclared=keep_undeclared)
    if dry_run:
        with progress("checking") as report:
            count = sum(len(list(lines.read(chunk))) for chunk in _chunks(file, after_line, report))
        click.echo(f"{count} events can be imported")
        return
    done = Done(after_line, expect_head)
    with _saying_how_to_go_on(done):
        _import(app, lines, file, done)
    click.echo(f"{done.count} events are imported; the log ends at {done.head}")


def _import(app: App, lines: Lines, file: IO[bytes], done: Done) -> None:
    """Reads outside of the event loop: there Ctrl-C ends also a read that waits for more lines."""
    with asyncio.Runner() as runner, progress("importing") as report:
        opened = AsyncExitStack()
        store, _ = runner.run(opened.enter_async_context(writing(app.url)))
        try:
            done.head = runner.run(store.head()) if done.head is None else done.head
            for chunk in _chunks(file, done.line, report):
                appended = runner.run(_store(store, list(lines.read(chunk)), chunk, done))
                done.line, done.head, done.count = chunk[-1][0], appended.position, done.count + appended.count
        finally:
            runner.run(opened.aclose())


async def _store(store: EventStore, events: list[ImportedEvent], chunk: Chunk, done: Done) -> Appended:
    try:
        return await store.import_events(events, expected_head=done.head)
    except InvalidMessage as error:
        raise _of_a_line(error, chunk) from error


def _of_a_line(error: InvalidMessage, chunk: Chunk) -> InvalidMessage:
    """The store counts within a chunk: `[7].data`."""
    index, _, field = error.path.removeprefix("[").partition("].")
    return BadLine(chunk[int(index)][0], field, error.problem, error.fix) if index.isdigit() else error


def _chunks(file: IO[bytes], after_line: int, report: Callable[[int, int], None]) -> Iterator[Chunk]:
    """Numbered lines, empty ones left out, 5,000 at a time; and progress in bytes where the size is known."""
    size, read = _size(file), 0
    numbered = enumerate(file, 1)
    while part := list(islice(numbered, CHUNK)):
        read += sum(len(text) for _, text in part)
        if chunk := [(number, text) for number, text in part if number > after_line and not text.isspace()]:
            yield chunk
        report(read, max(size, read))


def _size(file: IO[bytes]) -> int:
    try:
        return Path(file.name).stat().st_size
    except (OSError, TypeError, AttributeError):
        return 0


@contextmanager
def _saying_how_to_go_on(done: Done) -> Iterator[None]:
    """When it ends early: what is stored, and the options that go on behind it."""
    try:
        yield
    except (DeedlogError, KeyboardInterrupt) as error:
        if done.count:
            options = f"--after-line {done.line} --expect-head {done.head}"
            click.echo(f"\n{done.count} events are stored, up to line {done.line}. To go on: {options}", err=True)
        if isinstance(error, KeyboardInterrupt):
            raise Misuse("stopped half-way", fix="go on as said above, or start anew if nothing is stored") from None
        raise
