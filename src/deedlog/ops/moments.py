"""Points in time on the command line: a position of the log or a time, and ages such as 30d."""

import re
from datetime import datetime, timedelta
from typing import TypeAlias

import click

from deedlog.messages.envelope import to_micros
from deedlog.store.port import EventStore
from deedlog.types import Position

At: TypeAlias = Position | datetime

_AGE = re.compile(r"(?P<count>\d{1,6})(?P<unit>[smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> At | None:
    if value is None:
        return None
    if value.isascii() and value.isdigit() and int(value) < 2**63:
        return int(value)
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        words = f"'{value}' is neither a position nor a time: write 17, or 2026-01-31T09:30:00Z"
        raise click.BadParameter(words, ctx, param) from None
    if time.tzinfo is None:
        raise click.BadParameter(f"'{value}' has no time zone: write {time.isoformat()}Z for UTC", ctx, param)
    return time


def _age(ctx: click.Context, param: click.Parameter, value: str) -> timedelta:
    parts = _AGE.fullmatch(value)
    if parts is None:
        raise click.BadParameter(f"'{value}' is no age: write 30d, 12h, 90m, 45s or 4w", ctx, param)
    return timedelta(**{_UNITS[parts["unit"]]: int(parts["count"])})


AT = click.option("--at", callback=_moment, metavar="POSITION|TIME", help="As it was then: 17, or 2026-01-31T09:30:00Z.")
OLDER_THAN = click.option("--older-than", "age", callback=_age, required=True, metavar="AGE", help="30d, 12h, 90m; also s and w.")


async def position_of(store: EventStore, at: At | None) -> Position | None:
    """The position itself, or that of the last event at a time; None for None."""
    return await store.position_at(to_micros(at)) if isinstance(at, datetime) else at
