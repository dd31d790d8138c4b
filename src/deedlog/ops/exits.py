"""What a command's end means to the shell, and how an error is said: two lines on stderr, no traceback."""

from typing import ClassVar

import click

from deedlog.errors import DeedlogError, Misuse, Unavailable
from deedlog.ops.output import safe

OK = 0
FAILED = 1
USAGE = 2
ALARM = 3
"""A look has found something that somebody should see: a lag, rows that differ, events that were skipped."""
UNREACHABLE = 4


class Usage(Misuse):
    """The command line itself is wrong: exit code 2, as for an unknown option."""

    code: ClassVar[str] = "usage"


def exit_code(error: DeedlogError) -> int:
    """The code for an error that reached the command line."""
    if isinstance(error, Usage):
        return USAGE
    return UNREACHABLE if isinstance(error, Unavailable) else FAILED


def say(error: DeedlogError) -> None:
    """`error: …` and, where there is a way out, `fix: …`."""
    click.secho(f"error: {safe(error.message)}", fg="red", err=True)
    if error.fix:
        click.echo(f"fix: {safe(error.fix)}", err=True)
