"""Read models as tables in a SQLite file."""

from deedlog.reads.sqlite.store import SqliteReadStore

__all__ = ["SqliteReadStore"]
