"""`deedlog worker`: the projections in a process of their own."""

import asyncio
from collections.abc import Mapping

import click

from deedlog.app import App
from deedlog.errors import Misuse
from deedlog.ops.logs import log_to_stderr
from deedlog.ops.output import safe
from deedlog.ops.signals import run_until_stopped
from deedlog.ops.source import Source, with_source
from deedlog.reads.values import Projected
from deedlog.running import Running

REPORT_SECONDS = 1.0


@click.command()
@with_source
@click.option("--once", is_flag=True, help="Fold what is in the log now, then end.")
def worker(source: Source, once: bool) -> None:
    """Run the projections, until Ctrl-C or SIGTERM.

    For services started with `deedlog serve --no-projections`. Once a second it prints a line for each projection that has
    moved: name, position, head of the log; tabs between. On stderr it says who moves each, at the start and when that changes:
    of several workers one moves a projection, the others stand by. They take over at once when its process ends, and ten
    seconds after it was heard of last when it ran on another machine.

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
    holders: dict[str, str] = {}
    try:
        while True:
            holders = await _report_holders(running, holders)
            seen = await _report(running, seen)
            await asyncio.sleep(REPORT_SECONDS)
    finally:
        await app.stop()


async def _report_holders(running: Running, seen: Mapping[str, str]) -> dict[str, str]:
    """Says on stderr of each projection who moves it, where that is not as `seen`; who moves them now."""
    now = {name: await _holder(running, runner.projection.projected) for name, runner in running.runners.items()}
    for name, words in now.items():
        if words and seen.get(name) != words:
            click.echo(f"{name}: {words}", err=True)
    return now


async def _holder(running: Running, projected: Projected) -> str:
    """In words; none while it changes hands."""
    at = await running.reads.current(projected)
    if at is None or at.state == "retired":
        return "was rolled back, nobody moves it"
    if at.paused:
        return f"paused by {safe(at.paused)}"
    if at.owner == running.projections.worker.name:
        return "moved by this worker"
    return f"moved by {at.owner}, this worker stands by" if at.owner else ""


async def _report(running: Running, seen: Mapping[str, int]) -> dict[str, int]:
    """Prints the projections that are not where they were `seen`; where they are now."""
    now: dict[str, int] = {}
    for name, runner in running.runners.items():
        checkpoint = await running.reads.current(runner.projection.projected)
        now[name] = checkpoint.position if checkpoint else 0
    head = await running.store.head()  # read last: a position is never above it
    for name, position in now.items():
        if seen.get(name) != position:
            click.echo(f"{name}\t{position}\t{head}")
    return now
