"""`deedlog worker`: the projections in a process of their own."""

import asyncio
from collections.abc import Mapping

import click

from deedlog.app import App, Running
from deedlog.errors import Misuse
from deedlog.ops.logs import log_to_stderr
from deedlog.ops.signals import run_until_stopped
from deedlog.ops.source import Source, with_source

REPORT_SECONDS = 1.0


@click.command()
@with_source
@click.option("--once", is_flag=True, help="Fold what is in the log now, then end.")
def worker(source: Source, once: bool) -> None:
    """Run the projections, until Ctrl-C or SIGTERM.

    For services started with `deedlog serve --no-projections`. Once a second it prints a line for each projection that has
    moved: name, position, head of the log; tabs between. Two workers at once do no harm.

    \b
    Example: deedlog worker --app shop:app
    """
    app = source.app()
    refuse_memory(app)
    log_to_stderr()
    if once:
        asyncio.run(_once(app))
    else:
        run_until_stopped(_run(app))


def refuse_memory(app: App) -> None:
    """Raises Misuse where the store is this process's own: a worker beside it sees nothing of it."""
    if app.url.startswith("memory:"):
        raise Misuse("a memory:// store can't be shared between processes", fix="use sqlite:///file.db")


async def _once(app: App) -> None:
    running = await app.start(projections=False)
    try:
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
    now: dict[str, int] = {}
    for name in running.runners:
        checkpoint = await running.reads.checkpoint(name)
        now[name] = checkpoint.position if checkpoint else 0
    head = await running.store.head()  # read last: a position is never above it
    for name, position in now.items():
        if seen.get(name) != position:
            click.echo(f"{name}\t{position}\t{head}")
    return now
