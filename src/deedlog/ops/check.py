"""`deedlog check`: does the app hold together, and what does it declare?"""

import asyncio
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import click
import msgspec

from deedlog.app import App
from deedlog.definition import Definition
from deedlog.messages.base import Kind, place_of
from deedlog.ops.output import on_terminal, write_json, write_rows
from deedlog.ops.source import JSON, Source, with_source

TITLES = ("kind", "name", "place", "details")


class Declared(msgspec.Struct, frozen=True):
    """One declaration. `details` says in words what belongs to it; `place` is file:line, below this folder if it can be."""

    kind: str
    name: str
    place: str
    details: str


@click.command()
@with_source
@JSON
def check(source: Source, as_json: bool) -> None:
    """Check the app's declarations and list them.

    Starts the app once on an empty store in a temporary folder, so that it finds what only a start would; your own store is
    not touched. A declaration that can't work ends this with exit code 1 and its file and line: a step for CI.

    In a pipe, one line per declaration: kind, name, place, details; tabs between. --json prints {"app": …, "store": …,
    "counts": {…}, "declarations": […]}, each declaration with these keys, and counts by kind.

    \b
    Example: deedlog check --app shop:app
    """
    app = source.app()
    url = app.url
    asyncio.run(_start_once(app))
    found = list(declared(app.build()))
    counts = {kind: sum(one.kind == kind for one in found) for kind in KINDS}
    if as_json:
        write_json({"app": app.name, "store": url, "counts": counts, "declarations": found})
        return
    write_rows(TITLES, [msgspec.structs.astuple(one) for one in found])
    if on_terminal():
        click.secho(f"{app.name} holds together: {_counted(counts)}", fg="green")


async def _start_once(app: App) -> None:
    """On a store of the same kind as its own; the app has its own again afterwards."""
    url = app.url
    with tempfile.TemporaryDirectory(prefix="deedlog-check-") as folder:
        if url.startswith("sqlite:"):
            app.url = f"sqlite:///{quote(str(Path(folder) / 'check.db'))}"
        try:
            await app.start(projections=False)
            await app.stop()
        finally:
            app.url = url


KINDS = ("aggregate", "command", "event", "query", "read_model", "projection")


def declared(definition: Definition) -> Iterator[Declared]:
    """Everything an app declares, kind by kind."""
    for aggregate in definition.aggregates:
        words = f"streams {aggregate.category}-<{aggregate.key}>"
        yield Declared("aggregate", aggregate.cls.__name__, near(aggregate.place), words)
    yield from _messages(definition, "command")
    yield from _messages(definition, "event")
    yield from _messages(definition, "query")
    for fold in definition.folds:
        events = _listed(sorted({event.__name__ for handler in fold.handlers for event in handler.events}))
        yield Declared("read_model", fold.model.name, near(fold.model.place), f"table {fold.model.table}, folds {events}")
    for free in definition.free:
        yield Declared("projection", free.name, near(free.place), f"is called for {_listed(sorted(free.names))}")


def _messages(definition: Definition, kind: Kind) -> Iterator[Declared]:
    for message in definition.registry.all(kind):
        version = f"version {message.version}: " if message.version > 1 else ""
        yield Declared(kind, message.name, near(place_of(message.cls)), f"{version}{_listed(message.fields)}")


def near(place: str) -> str:
    """The place as seen from this folder."""
    return place.removeprefix(f"{Path.cwd()}{os.sep}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "no fields"


def _counted(counts: dict[str, int]) -> str:
    plural = {"query": "queries", "read_model": "read models"}
    singular = {"read_model": "read model"}
    parts = (f"{n} {singular.get(kind, kind) if n == 1 else plural.get(kind, f'{kind}s')}" for kind, n in counts.items())
    return ", ".join(parts)
