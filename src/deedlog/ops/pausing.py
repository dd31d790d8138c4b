"""`deedlog projections pause` and `resume`."""

import asyncio

import click

from deedlog.app import App
from deedlog.ops.consent import BY, WHY
from deedlog.ops.named import NAME, find_projection, opened
from deedlog.ops.source import Source, with_source


@click.command()
@with_source
@NAME
@BY
@WHY
def pause(source: Source, name: str, by: str, why: str) -> None:
    """Stop what moves a projection, in every process, until `projections resume`.

    Its tables stay as they are and answer queries; queries that demand something newer are told that it stands.

    \b
    Example: deedlog projections pause ProductView --why "the new fold is wrong, repairing"
    """
    app = source.app()
    projection = find_projection(app, name)
    asyncio.run(_pause(app, projection.name, by, why))
    click.echo(f"{projection.name}: paused by {by}: {why}")


async def _pause(app: App, name: str, by: str, why: str) -> None:
    async with opened(app, changing=True) as there:
        await there.projecting.pause(name, by=by, why=why)


@click.command()
@with_source
@NAME
def resume(source: Source, name: str) -> None:
    """Let a paused projection move again.

    \b
    Example: deedlog projections resume ProductView
    """
    app = source.app()
    projection = find_projection(app, name)
    asyncio.run(_resume(app, projection.name))
    click.echo(f"{projection.name}: may move again")


async def _resume(app: App, name: str) -> None:
    async with opened(app, changing=True) as there:
        await there.projecting.resume(name)
