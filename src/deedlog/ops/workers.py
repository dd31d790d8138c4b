"""`deedlog workers`: which process moves which projection."""

import asyncio
from datetime import datetime

import click
import msgspec

from deedlog.app import App
from deedlog.messages.envelope import from_micros
from deedlog.ops.named import stored
from deedlog.ops.output import hint, write_json, write_rows
from deedlog.ops.source import JSON, Source, reading, with_source
from deedlog.reads.values import Checkpoint


class LeaseOut(msgspec.Struct, frozen=True):
    """A lease as --json shows it. `left_seconds` below 0: it is over, and any worker may take it."""

    worker: str
    projection: str
    generation: int
    epoch: int
    leased_until: datetime
    left_seconds: float


@click.group()
def workers() -> None:
    """See which process moves which projection."""


@workers.command("list")
@with_source
@JSON
def list_workers(source: Source, as_json: bool) -> None:
    """List who has leased which projection, and until when.

    A worker is named host:process:start. It prolongs its leases all the time; when it is gone they run out within ten seconds,
    and another worker goes on (on the same machine at once). epoch counts how often a projection has changed hands.

    In a pipe, one line per lease: worker, projection, generation, epoch, leased_until, left_seconds (below 0: it is over);
    tabs between. --json prints {"workers": […]} with these keys.

    \b
    Example: deedlog workers list --app shop:app
    """
    found = asyncio.run(_leases(source.app()))
    if as_json:
        write_json({"workers": found})
        return
    write_rows(LeaseOut.__struct_fields__, [msgspec.structs.astuple(one) for one in found])
    if not found:
        hint("no projection is leased: no service or worker runs, or all of them stand by")


async def _leases(app: App) -> list[LeaseOut]:
    async with reading(app.url) as (_, reads):
        held = [(p.name, one) for p in stored(app) for one in await reads.generations(p.name) if one.owner]
    now = app.clock.now()
    return sorted((_out(name, one, now) for name, one in held), key=lambda one: (one.worker, one.projection, one.generation))


def _out(name: str, one: Checkpoint, now: datetime) -> LeaseOut:
    until = from_micros(one.leased_until)
    return LeaseOut(one.owner, name, one.generation, one.epoch, until, round((until - now).total_seconds(), 3))
