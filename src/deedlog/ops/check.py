"""`deedlog check`: does the app hold together, and what does it declare?"""

import asyncio
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

TITLES = ("kind", "name", "what it has", "place")


class Declared(msgspec.Struct, frozen=True):
    """One declaration. `details` says in words what belongs to it; `place` is file:line."""

    kind: str
    name: str
    details: str
    place: str


@click.command()
@with_source
@JSON
def check(source: Source, as_json: bool) -> None:
    """Check the app's declarations and list them.

    Starts the app once on an empty store in a temporary folder, so that it finds what only a start would; your own store is
    not touched. A declaration that can't work ends this with exit code 1 and its file and line: a step for CI.

    In a pipe, one line per declaration: kind, name, details, place. --json prints {"app": …, "store": …, "counts": {…},
    "declarations": [{"kind": …, "name": …, "details": …, "place": …}]}.

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


KINDS = ("aggregate", "command", "event", "query", "read_model")


def declared(definition: Definition) -> Iterator[Declared]:
    """Everything an app declares, kind by kind."""
    for aggregate in definition.aggregates:
        words = f"streams {aggregate.category}-<{aggregate.key}>"
        yield Declared("aggregate", aggregate.cls.__name__, words, aggregate.place)
    yield from _messages(definition, "command")
    yield from _messages(definition, "event")
    yield from _messages(definition, "query")
    for fold in definition.folds:
        events = _listed(sorted({event.__name__ for handler in fold.handlers for event in handler.events}))
        yield Declared("read_model", fold.model.name, f"table {fold.model.table}, folds {events}", fold.model.place)


def _messages(definition: Definition, kind: Kind) -> Iterator[Declared]:
    for message in definition.registry.all(kind):
        version = f"version {message.version}: " if message.version > 1 else ""
        yield Declared(kind, message.name, f"{version}{_listed(message.fields)}", place_of(message.cls))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "no fields"


def _counted(counts: dict[str, int]) -> str:
    plural = {"query": "queries", "read_model": "read models"}
    singular = {"read_model": "read model"}
    parts = (f"{n} {singular.get(kind, kind) if n == 1 else plural.get(kind, f'{kind}s')}" for kind, n in counts.items())
    return ", ".join(parts)
