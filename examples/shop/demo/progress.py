"""A bar on a terminal; elsewhere a line now and then."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

QUARTERS = 4


@contextmanager
def progress(console: Console, what: str, total: int) -> Generator[Callable[[], None], None, None]:
    """A function to call once for each of `total` steps done."""
    if console.is_terminal:
        columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(what, total=total)
            yield lambda: bar.advance(task)
    else:
        yield _Lines(console, what, total).step


class _Lines:
    """A line for each quarter."""

    def __init__(self, console: Console, what: str, total: int) -> None:
        self._console = console
        self._what = what
        self._total = total
        self._done = 0

    def step(self) -> None:
        before, self._done = self._done, self._done + 1
        if self._done * QUARTERS // self._total > before * QUARTERS // self._total:
            self._console.print(f"{self._what}: {self._done} of {self._total}", soft_wrap=True)
