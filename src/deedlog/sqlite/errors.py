"""SQLite's errors as ours. The only place that looks at their names."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from deedlog.errors import Corrupt, DeedlogError, Misuse, Unavailable

_FIXES: dict[str, tuple[type[DeedlogError], str]] = {
    "SQLITE_BUSY": (Unavailable, "another program holds the file; try again"),
    "SQLITE_LOCKED": (Unavailable, "another connection holds the table; try again"),
    "SQLITE_FULL": (Unavailable, "no space left on the disk; free some and try again"),
    "SQLITE_IOERR": (Unavailable, "the disk refused; look at the system's log"),
    "SQLITE_INTERRUPT": (Unavailable, "the app was stopped meanwhile; start it and ask again"),
    "SQLITE_READONLY": (Unavailable, "the file or its folder is read-only; make both writable"),
    "SQLITE_CANTOPEN": (Misuse, "check that the folder exists and may be written"),
    "SQLITE_PERM": (Misuse, "check the permissions of the file"),
    "SQLITE_CORRUPT": (Corrupt, "stop the service, keep the file, restore a backup"),
    "SQLITE_NOTADB": (Corrupt, "name a SQLite database, or a path where there is no file yet"),
}


def translate(error: sqlite3.Error, path: str) -> DeedlogError:
    """One of our errors for one of SQLite's; unknown ones are Misuse, with SQLite's words."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if isinstance(error, sqlite3.ProgrammingError) and "closed database" in str(error):  # Python's own: it has no code
        return closed(path)
    for prefix, (kind, fix) in _FIXES.items():
        if name.startswith(prefix):
            return kind(f"{path}: {error}", fix=fix, sqlite=name)
    return Misuse(f"{path}: {error}", sqlite=name or type(error).__name__)


def closed(path: str) -> DeedlogError:
    """For who comes after the store was closed."""
    return Unavailable(f"{path}: the store is closed", fix="start the app again")


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raises ours where SQLite raises its own."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error
