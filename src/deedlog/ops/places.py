"""What stands in the dead letters, by the words people type: `MODEL KEY` for a row, `stream:NAME` for a whole stream.

A whole stream is parked where an event could not be read, so that nobody knows which rows it concerns.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec

from deedlog.ops.exits import Usage
from deedlog.ops.named import Opened, complete_model, complete_projection
from deedlog.projecting import Projecting
from deedlog.projections.letters import Letters
from deedlog.reads.model import Key
from deedlog.reads.values import ALL, STREAM, Letter, Place

F = TypeVar("F", bound=Callable[..., Any])
STREAM_PREFIX = "stream:"

PROJECTION = click.option(
    "--projection", metavar="NAME", shell_complete=complete_projection, help="Only those of this projection, or read model."
)


def words(metavar: str, *, required: bool = True) -> Callable[[F], F]:
    """The argument that names what is parked."""
    return click.argument("wanted", nargs=-1, required=required, metavar=metavar, shell_complete=complete_model)


def key_text(key: Key) -> Any:
    """A key as it is shown and typed: an enum's value, a UUID's text."""
    return msgspec.to_builtins(key)


def model_and_key(place: Place) -> tuple[str, Any]:
    """The two columns of a place: (`stream:NAME`, None) for a stream."""
    return (f"{STREAM_PREFIX}{place[1]}", None) if place[0] == STREAM else (place[0], key_text(place[1]))


def shown(place: Place) -> str:
    """As it is typed."""
    model, key = model_and_key(place)
    return model if key is None else f"{model} {key}"


class Wanted:
    """Which dead letters somebody means: all, those of a read model, of one key, or of one stream."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self.stream = wanted[0].removeprefix(STREAM_PREFIX) if wanted and wanted[0].startswith(STREAM_PREFIX) else None
        if len(wanted) > (1 if self.stream is not None else 2):
            raise Usage(f"too many words: {' '.join(wanted)}", fix="MODEL KEY for a row, stream:NAME for a stream; quote blanks")
        self.model = wanted[0] if wanted and self.stream is None else None
        self.key = wanted[1] if len(wanted) == 2 else None

    @property
    def is_place(self) -> bool:
        """Whether it is one key or one stream."""
        return self.stream is not None or self.key is not None

    def accepts(self, place: Place, key: Key | None) -> bool:
        """Whether a letter's place is meant; `key` is `self.key` as that model's key."""
        if self.stream is not None:
            return place == (STREAM, self.stream)
        return (self.model is None or place[0] == self.model) and (self.key is None or place[1] == key)

    def __str__(self) -> str:
        return f"{STREAM_PREFIX}{self.stream}" if self.stream is not None else " ".join(filter(None, (self.model, self.key)))


def _letters_in(there: Opened, only: str | None, wanted: Wanted) -> list[tuple[str, Letters]]:
    """The dead letters to look into, by projection. Raises Misuse for a name that is not there."""
    projecting: Projecting = there.projecting
    names = list(projecting.runners)
    if only is not None:
        names = [projecting.runner_of(only).projection.name]
    if wanted.model is not None:
        names = [name for name in names if name == projecting.runner_of(wanted.model).projection.name]
    return [(name, projecting.letters_of(name)) for name in names]


async def found_letters(there: Opened, only: str | None, wanted: Wanted) -> list[tuple[str, Letters, list[Letter]]]:
    """The letters that are meant, by projection; a projection that was never built has none."""
    key = there.projecting.place_of(wanted.model, wanted.key)[1] if wanted.model and wanted.key is not None else None
    found = []
    for name, letters in _letters_in(there, only, wanted):
        if await there.reads.current(letters.projection.projected) is None:
            continue
        found.append((name, letters, [one for one in await letters.list(limit=ALL) if wanted.accepts(one.place, key)]))
    return found
