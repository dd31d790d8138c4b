"""Verbs that take something away: they ask, say what they would do, and keep who wanted it and why."""

import getpass
from typing import Any

import click

from deedlog.errors import Misuse
from deedlog.ops.output import text_of


def _whoever_runs_this() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user often has no name
        return "unknown"


YES = click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
BY = click.option("--by", metavar="WHO", default=_whoever_runs_this, help="Who decides it. Default: the user of this shell.")
WHY = click.option("--why", metavar="WORDS", required=True, help="The reason; it is kept.")


def confirm(word: str, words: str) -> None:
    """Returns when somebody types `word`. Raises Misuse otherwise."""
    click.echo(f"this {words}.", err=True)
    try:
        typed: Any = click.prompt(f"Type {word} to go on", default="", show_default=False, err=True)
    except click.Abort:
        click.echo(err=True)
        raise Misuse("not confirmed, so nothing was changed", fix=f"type {word}, or say --yes in a script") from None
    if typed.strip() != word:
        raise Misuse(f"'{text_of(typed)}' is not {word}, so nothing was changed", fix=f"type {word}, or say --yes in a script")
