"""Results for three readers: a table for a person, tab-separated lines for a pipe, one JSON document for a program."""

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any

import click
import msgspec

_ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def on_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout is not None and sys.stdout.isatty()


def safe(text: str) -> str:
    """`text` without control characters: stored data can't move a terminal's cursor or break a line in two."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _ESCAPES.get(c) or ascii(c)[1:-1] for c in text)


def text_of(value: Any) -> str:
    """One cell: `-` for nothing, yes or no, times in UTC to the millisecond, lists with commas."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list | tuple):
        return safe(", ".join(map(str, value))) or "-"
    return safe(str(value))


def write_json(value: Any) -> None:
    """One document, indented, in UTF-8 whatever the terminal's encoding."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def write_json_line(value: Any) -> None:
    """One object on a line of its own, for streams that do not end."""
    click.echo(msgspec.json.encode(value))


def write_line(cells: Iterable[Any]) -> None:
    """One tab-separated line."""
    click.echo("\t".join(map(text_of, cells)))


def write_rows(
    titles: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None, shown: Collection[str] | None = None
) -> None:
    """A table on a terminal, with the columns `shown`; else one line per row with all, without a heading."""
    if not on_terminal():
        for row in rows:
            write_line(row)
        return
    from rich.console import Console  # only a terminal pays for rich
    from rich.table import Table
    from rich.text import Text

    if shown is not None:
        rows = [[cell for name, cell in zip(titles, row, strict=True) if name in shown] for row in rows]
        titles = [name for name in titles if name in shown]
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for index, name in enumerate(titles):
        numeric = bool(rows) and all(isinstance(row[index], int | float | None) for row in rows)
        last = index == len(titles) - 1
        table.add_column(
            name.replace("_", " "), justify="right" if numeric else "left", no_wrap=last, overflow="ellipsis" if last else "fold"
        )
    for row in rows:
        table.add_row(*(Text(text_of(cell)) for cell in row))
    Console().print(table)


def hint(words: str) -> None:
    """A remark for a person; a pipe does not see it."""
    if on_terminal():
        click.secho(words, dim=True, err=True)


class _Lines:
    """Progress without a terminal: one line each time the percentage changes."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._last = -1

    def __call__(self, done: int, total: int) -> None:
        percent = 100 * done // total if total else 100
        if percent != self._last:
            self._last = percent
            click.echo(f"{self._label} {percent}% ({done} of {total})", err=True)


def progress(label: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """A function `(done, total)` to call as long work goes on: a bar on a terminal, else lines; both on stderr."""
    return _bar(label) if sys.stderr.isatty() else nullcontext(_Lines(label))


def _bar(label: str) -> AbstractContextManager[Callable[[int, int], None]]:
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())

    @contextmanager
    def bar() -> Any:
        with Progress(*columns, console=Console(stderr=True)) as shown:
            task = shown.add_task(label, total=None)
            yield lambda done, total: shown.update(task, completed=done, total=total)

    return bar()
