"""`deedlog projections audit`: whether projections consumed exactly the events of the log."""

import asyncio
from collections.abc import Sequence

import click
import msgspec

from deedlog.app import App
from deedlog.ops.exits import ALARM
from deedlog.ops.named import complete_projection, find_projection, stored
from deedlog.ops.output import hint, write_json, write_rows
from deedlog.ops.source import JSON, Source, reading, with_source
from deedlog.projections.auditor import audit as audit_one
from deedlog.projections.projection import Projection


class AuditOut(msgspec.Struct, frozen=True):
    """What the auditor says of one projection, as --json shows it. A problem lies after `after`, and at or before `until`."""

    name: str
    agrees: bool
    after: int
    until: int
    problem: str | None


@click.command()
@with_source
@click.argument("name", required=False, shell_complete=complete_projection)
@JSON
def audit(source: Source, name: str | None, as_json: bool) -> None:
    """Read the whole log, and say whether each projection consumed exactly its events, each once and in order.

    Services and workers do the same all the time, from where they last agreed. What was consumed wrongly is mended by
    `projections rebuild`.

    In a pipe, one line per projection: name, agrees, after, until, problem; tabs between. --json prints {"audited": […]} with
    these keys. Exit code 3 when one does not agree.

    \b
    Example: deedlog projections audit ProductView
    """
    app = source.app()
    wanted = stored(app) if name is None else [find_projection(app, name)]
    found = asyncio.run(_audit(app, wanted))
    if as_json:
        write_json({"audited": found})
    else:
        write_rows(AuditOut.__struct_fields__, [msgspec.structs.astuple(one) for one in found])
        if not found:
            hint("nothing to audit: no projection was built yet")
    if not all(one.agrees for one in found):
        raise click.exceptions.Exit(ALARM)


async def _audit(app: App, wanted: Sequence[Projection]) -> list[AuditOut]:
    found = []
    async with reading(app.url) as (store, reads):
        for projected in (projection.projected for projection in wanted):
            current = await reads.current(projected)
            if current is None:
                continue
            alert = await audit_one(projected, current, store, whole=True)
            if alert is None:
                found.append(AuditOut(projected.name, True, 0, current.position, None))
            else:
                found.append(AuditOut(projected.name, False, alert.after, alert.until, alert.problem))
    return found
