"""Where a verb looks: the options --app and --store, and what they mean together."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from deedlog.app import App, open_stores
from deedlog.errors import Misuse
from deedlog.ops import find_app
from deedlog.ops.exits import Usage
from deedlog.reads.port import ReadStore
from deedlog.store.port import EventStore
from deedlog.types import SystemClock

R = TypeVar("R")

APP = click.option(
    "--app",
    metavar="MODULE:NAME",
    envvar="DEEDLOG_APP",
    show_envvar=True,
    help="The App: shop:app is `app` in shop.py. Default: app of [tool.deedlog] in ./pyproject.toml.",
)
STORE = click.option(
    "--store",
    metavar="URL",
    envvar="DEEDLOG_STORE",
    show_envvar=True,
    help="The store, such as sqlite:///shop.db. Default: the app's own.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="JSON, with keys that stay as they are.")


class Source:
    """An app, a store's address, or both."""

    def __init__(self, spec: str | None, store: str | None, fallback: str | None) -> None:
        if store is not None and "://" not in store:
            raise Usage(f"'{store}' is not the URL of a store", fix=f"--store sqlite:///{store.removeprefix('sqlite:')}")
        self._spec = spec
        self._store = store
        self._fallback = fallback  # DEEDLOG_STORE: an app weighs it itself, so it counts only where there is no app

    def names_app(self) -> bool:
        """Whether an app is named anywhere."""
        return (self._spec or find_app.configured()) is not None

    def app(self) -> App:
        """The app, with --store in place of its own store. Raises Usage when none is named or found."""
        spec = self._spec or find_app.configured()
        if spec is None:
            raise Usage("no app is named: not by --app, DEEDLOG_APP or pyproject.toml", fix=find_app.suggestion())
        app = find_app.load(spec)
        if self._store is not None:
            app.url = self._store
        return app

    def url(self) -> str:
        """The store's address; no app is imported where --store names it."""
        if self._store is not None:
            return self._store
        if self.names_app():
            return self.app().url
        if self._fallback is not None:
            return self._fallback
        raise Usage("neither a store nor an app is named", fix=f"--store sqlite:///file.db, or {find_app.suggestion()}")


def with_source(verb: Callable[..., R]) -> Callable[..., R]:
    """Gives a verb --app and --store, also where they stand before it, and hands it the Source as first argument."""

    @wraps(verb)
    def call(app: str | None, store: str | None, **options: Any) -> R:
        context = click.get_current_context()
        source = Source(_typed(context, "app") or app, _typed(context, "store"), store)
        return verb(source, **options)

    return APP(STORE(call))


def _typed(context: click.Context, name: str) -> str | None:
    """An option as somebody typed it, after the verb or before it; the environment's value does not count."""
    typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    value: str | None = (context if typed else context.find_root()).params.get(name)
    return value


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[tuple[EventStore, ReadStore]]:
    """The stores at `url`, for looking only: what is not there is not made. Raises Misuse when it is not there."""
    if url.startswith("memory:"):
        raise Misuse("a memory:// store lives in its service: nothing of it can be read from here", fix="use sqlite:///file.db")
    store, reads = open_stores(url, SystemClock(), read_only=True)
    try:
        await store.open()
        await reads.open()
        yield store, reads
    finally:
        await reads.close()
        await store.close()


@asynccontextmanager
async def writing(url: str) -> AsyncIterator[tuple[EventStore, ReadStore]]:
    """The stores at `url`, for changing what is in them. Raises Misuse when they are not there: nothing is made."""
    async with reading(url):
        pass
    store, reads = open_stores(url, SystemClock())
    try:
        await store.open()
        await reads.open()
        yield store, reads
    finally:
        await reads.close()
        await store.close()


class Count(click.IntRange):
    """A whole number from `least` on, as far as a database can count."""

    def __init__(self, least: int) -> None:
        super().__init__(least)
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(super().convert(value, param, ctx))
        except click.BadParameter:
            number = -1
        if not 0 <= number < 2**63:
            self.fail(f"'{value}' is not a whole number from {self._least} on", param, ctx)
        return number


def position(name: str, **attributes: Any) -> Callable[..., Any]:
    """An option that takes a position or a version: behind it is where reading starts."""
    return click.option(name, type=Count(0), metavar="N", **attributes)


def limit(default: int | None, words: str) -> Callable[..., Any]:
    """The option --limit."""
    return click.option("--limit", type=Count(1), metavar="N", default=default, show_default=default is not None, help=words)
