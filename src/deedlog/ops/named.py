"""Projections, read models and dead letters by the names that people type, and how a shell completes those."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import click
from click.shell_completion import CompletionItem

from deedlog.app import App
from deedlog.errors import Misuse
from deedlog.messages.codec import Codec
from deedlog.ops.source import Source, reading, writing
from deedlog.projecting import Projecting
from deedlog.projections.projection import Projection
from deedlog.reads.port import ReadStore
from deedlog.store.port import EventStore


class Opened:
    """An app's projections, with the stores they are in. None of them is moved, no table is made."""

    def __init__(self, app: App, store: EventStore, reads: ReadStore) -> None:
        definition = app.build()
        self.store = store
        self.reads = reads
        self.projecting = Projecting(definition, store, reads, Codec(definition.registry), app.clock)


@asynccontextmanager
async def opened(app: App, *, changing: bool = False) -> AsyncIterator[Opened]:
    """For looking, or for changing what is there. Raises Misuse where there is no store."""
    async with (writing if changing else reading)(app.url) as (store, reads):
        there = Opened(app, store, reads)
        try:
            yield there
        finally:
            there.projecting.worker.end()


def stored(app: App) -> list[Projection]:
    """The app's projections that have tables: all but those folded when they are read."""
    return [projection for projection in app.build().projections if projection.mode != "live"]


def find_projection(app: App, name: str) -> Projection:
    """By its own name or that of one of its read models. Raises Misuse with the names there are."""
    for projection in app.build().projections:
        if projection.is_called(name):
            if projection.mode == "live":
                raise Misuse(
                    f"{name} is folded when it is read: nothing of it is stored", fix="ask it anything, it is never behind"
                )
            return projection
    known = ", ".join(projection.name for projection in stored(app))
    raise Misuse(f"there is no projection '{name}'", fix=f"there are: {known}" if known else "the app declares no read models")


Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completed(names: Callable[[App], Iterable[str]]) -> Completion:
    """Completes from the app that the line names; where none is found, or it does not load, there is nothing to complete."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        given: dict[str, Any] = {**ctx.find_root().params, **{k: v for k, v in ctx.params.items() if v is not None}}
        try:
            found = sorted(set(names(Source(given.get("app"), None, None).app())))
        except Exception:  # a half-written app is not the shell's business
            return []
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]

    return complete


def _models(app: App) -> Iterable[str]:
    definition = app.build()
    return [*(fold.model.name for fold in definition.folds), *(free.name for free in definition.free)]


def _projections(app: App) -> Iterable[str]:
    return (projection.name for projection in stored(app))


complete_model = _completed(_models)
complete_projection = _completed(_projections)

NAME = click.argument("name", shell_complete=complete_projection)
