"""The program `deedlog`: its group of verbs, and how errors and closed pipes end it."""

import io
import os
import sys
from typing import Any

import click

import deedlog
from deedlog.errors import DeedlogError
from deedlog.ops import exits
from deedlog.ops.auditing import audit
from deedlog.ops.check import check
from deedlog.ops.closing import close_stream
from deedlog.ops.commands import commands
from deedlog.ops.completion import completion
from deedlog.ops.database import database
from deedlog.ops.dlq import dlq
from deedlog.ops.events import events
from deedlog.ops.explain import explain
from deedlog.ops.exporting import export
from deedlog.ops.generations import generations, rollback, switch
from deedlog.ops.importing import import_lines
from deedlog.ops.mending import purge, retry, skip
from deedlog.ops.pausing import pause, resume
from deedlog.ops.projections import projections
from deedlog.ops.rebuild import rebuild
from deedlog.ops.serve import serve
from deedlog.ops.status import status
from deedlog.ops.streams import streams
from deedlog.ops.tail import tail
from deedlog.ops.verify import repair, verify
from deedlog.ops.worker import worker
from deedlog.ops.workers import workers


class Program(click.Group):
    """Ends with one of the exit codes of `deedlog.ops.exits`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for argument in args:
            if any("\ud800" <= letter <= "\udfff" for letter in argument):  # how Python shows bytes that are no text
                raise click.UsageError(f"{argument[:60]!r} is not UTF-8", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a terminal that can't show a letter is no reason to fail
        try:
            result = super().invoke(ctx)
            click.echo(nl=False)  # flushes: a closed pipe shows now
        except DeedlogError as error:
            exits.say(error)
            ctx.exit(exits.exit_code(error))
        except BrokenPipeError:  # the reader has what it wanted, as in `| head`
            _let_go_of_stdout()
            ctx.exit(exits.OK)
        return result


def _let_go_of_stdout() -> None:
    """What is still buffered goes nowhere; else Python complains when it flushes at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(deedlog.__version__, message="deedlog %(version)s")
@click.option("--app", metavar="MODULE:NAME", help="As after the verb.")
@click.option("--store", metavar="URL", help="As after the verb.")
def main(app: str | None, store: str | None) -> None:
    """Run a deedlog service and look into its store.

    The app is found by --app module:name, DEEDLOG_APP, or app of [tool.deedlog] in ./pyproject.toml. Verbs that only read
    events and streams do with --store URL, and change nothing.

    A terminal gets tables, a pipe gets tab-separated lines without a heading, --json gets JSON.

    \b
    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a look found something wrong: a read model that is behind,
    building or paused, rows that differ, events that were skipped; 4 not now, try again.

    \b
    Completion, in bash:  eval "$(deedlog completion bash)"

    \b
    Example: deedlog serve --app shop:app
    """


GROUPS: dict[click.Group, tuple[click.Command, ...]] = {
    events: (tail, export, import_lines),
    streams: (close_stream,),
    projections: (status, rebuild, verify, repair, generations, rollback, switch, pause, resume, audit),
    dlq: (retry, skip, purge),
    main: (serve, worker, check, explain, database, events, streams, commands, projections, workers, dlq, completion),
}
for group, verbs in GROUPS.items():
    for verb in verbs:
        group.add_command(verb)

if __name__ == "__main__":
    main(prog_name="deedlog")
