"""The event store on a SQLite file."""

from deedlog.store.sqlite.store import SqliteEventStore

__all__ = ["SqliteEventStore"]
