"""`deedlog worker`: the projections in a process of their own."""

import asyncio
from collections.abc import Mapping

import click

from deedlog.app import App, Running
from deedlog.errors import Misuse
from deedlog.ops.folds import explained
from deedlog.ops.logs import log_to_stderr
from deedlog.ops.signals import run_until_stopped
from deedlog.ops.source import Source, with_source

REPORT_SECONDS = 1.0


@click.command()
@with_source
@click.option("--once", is_flag=True, help="Fold what is in the log now, then end.")
def worker(source: Source, once: bool) -> None:
    """Run the projections, until Ctrl-C or SIGTERM.

    For services started with `deedlog serve --no-projections`. Prints a line when projections have moved, at most one a
    second: name, position, head; tabs between. Two workers at once do no harm, the second is idle.

    \b
    Example: deedlog worker --app shop:app
    """
    app = source.app()
    refuse_memory(app)
    log_to_stderr()
    asyncio.run(_once(app) if once else run_until_stopped(_run(app)))


def refuse_memory(app: App) -> None:
    """Raises Misuse where the store is this process's own: a worker beside it sees nothing of it."""
    if app.url.startswith("memory:"):
        raise Misuse("a memory:// store can't be shared between processes", fix="use sqlite:///file.db")


async def _once(app: App) -> None:
    running = await app.start(projections=False)
    try:
        with explained():
            await app.catch_up()
        await _report(running, {})
    finally:
        await app.stop()


async def _run(app: App) -> None:
    running = await app.start()
    click.echo(f"worker of {app.name}: {len(running.runners)} projections on {app.url}; Ctrl-C ends", err=True)
    seen: dict[str, int] = {}
    try:
        while True:
            seen = await _report(running, seen)
            await asyncio.sleep(REPORT_SECONDS)
    finally:
        await app.stop()


async def _report(running: Running, seen: Mapping[str, int]) -> dict[str, int]:
    """Prints the projections that are not where they were `seen`; where they are now."""
    head = await running.store.head()
    now: dict[str, int] = {}
    for name in running.runners:
        checkpoint = await running.reads.checkpoint(name)
        now[name] = checkpoint.position if checkpoint else 0
        if seen.get(name) != now[name]:
            click.echo(f"{name}\t{now[name]}\t{head}")
    return now
