"""What a fold that failed looks like to a person: which event, which error, where in their code."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from deedlog.errors import DeedlogError, Misuse
from deedlog.projections.fold import FoldFailed


@contextmanager
def explained() -> Iterator[None]:
    """Raises Misuse with event, error and place for a FoldFailed."""
    try:
        yield
    except FoldFailed as failed:
        event = failed.recorded
        raise Misuse(
            f"{failed}: {_words(failed.__cause__)}",
            fix=f"repair the code and run this again; `deedlog events show {event.position}` shows the event",
            position=event.position,
        ) from failed


def _words(cause: BaseException | None) -> str:
    if cause is None or isinstance(cause, DeedlogError):
        return str(cause)
    frames = traceback.extract_tb(cause.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(cause).__name__}: {cause}{place}"
