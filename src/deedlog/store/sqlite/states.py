"""What the event store keeps beside the log on SQLite: saved states, and how long the receipts of commands are kept."""

import sqlite3

import msgspec

from deedlog.errors import Misuse
from deedlog.sqlite.database import Writer
from deedlog.sqlite.errors import translate, translated
from deedlog.store.port import StoredState
from deedlog.store.sqlite import statements as sql
from deedlog.store.sqlite.appends import REFUSED
from deedlog.types import StreamName


def read_state(connection: sqlite3.Connection, stream: StreamName) -> StoredState | None:
    """The saved state of the stream, if there is one."""
    row = connection.execute(sql.STATE, (stream,)).fetchone()
    return None if row is None else StoredState(*row)


def save_state(writer: Writer, state: StoredState) -> None:
    """Keeps it, unless a newer one is kept or the log has no such event."""
    try:
        with writer.transaction("snapshot") as connection:
            connection.execute(sql.SAVE_STATE, msgspec.structs.astuple(state))
    except REFUSED as error:
        raise Misuse(f"SQLite can't store this state: {error}") from error
    except sqlite3.Error as error:
        raise translate(error, writer.path) from error


def drop_states(writer: Writer, stream: StreamName | None) -> int:
    """Of one stream, or all. How many there were."""
    with translated(writer.path), writer.transaction("snapshot") as connection:
        if stream is None:
            return connection.execute(sql.DROP_STATES).rowcount
        return connection.execute(sql.DROP_STATE, (stream,)).rowcount


def forget_commands(writer: Writer, before: int, limit: int) -> int:
    """The oldest recorded before `before`, at most `limit`. How many."""
    with translated(writer.path), writer.transaction("forget") as connection:
        return connection.execute(sql.FORGET_COMMANDS, (before, limit)).rowcount
