"""`deedlog projections`: what moves read models; each verb that does something to them has a file of its own."""

import click
import msgspec

from deedlog.ops.output import hint, write_json, write_rows
from deedlog.ops.source import JSON, Source, with_source
from deedlog.projections.projection import Projection


class ProjectionOut(msgspec.Struct, frozen=True):
    """A projection's declaration as --json shows it."""

    name: str
    read_models: list[str]
    tables: list[str]
    events: list[str]
    mode: str


@click.group()
def projections() -> None:
    """List, watch, rebuild, check and stop what keeps read models."""


@projections.command("list")
@with_source
@JSON
def list_projections(source: Source, as_json: bool) -> None:
    """List the projections that the app declares.

    Read models that look each other up move together, under one name. One of mode live is folded when it is read: it has no
    tables, and the other verbs here leave it out.

    In a pipe, one line per projection: name, read_models, tables, events, mode; tabs between. --json prints
    {"projections": […]} with these keys.

    \b
    Example: deedlog projections list --app shop:app
    """
    found = [_declared(projection) for projection in source.app().build().projections]
    if as_json:
        write_json({"projections": found})
        return
    write_rows(ProjectionOut.__struct_fields__, [msgspec.structs.astuple(one) for one in found])
    if not found:
        hint("the app declares no read models")


def _declared(projection: Projection) -> ProjectionOut:
    models = projection.projected.models
    tables = [] if projection.mode == "live" else [m.table for m in models]
    return ProjectionOut(projection.name, [m.name for m in models], tables, sorted(projection.names), projection.mode)
