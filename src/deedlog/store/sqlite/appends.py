"""The write transactions of the log on SQLite: a batch of appends, an import, the closing of a stream. On the writing thread."""

import json
import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from deedlog.errors import DeedlogError, Misuse, WrongExpectedVersion
from deedlog.messages.envelope import to_micros
from deedlog.sqlite.bulk import insert_many
from deedlog.sqlite.database import Writer
from deedlog.sqlite.errors import translate
from deedlog.store.batch import Found, Outcome, asked_by, settle
from deedlog.store.importing import checked_streams, settle_import
from deedlog.store.port import (
    Appended,
    CommandKey,
    ImportedEvent,
    Inline,
    Matching,
    StoredCommand,
    StreamClosing,
    Submission,
)
from deedlog.store.sqlite import statements as sql
from deedlog.types import Clock, ExpectedVersion, Position, StreamName

REFUSED = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.ProgrammingError, OverflowError, UnicodeEncodeError)
"""What SQLite says of a value that it can't store."""


def _encode(values: list[str]) -> str:
    return msgspec.json.encode(values).decode()


class Appends:
    """What is written to the log of one file, each in one transaction."""

    def __init__(self, writer: Writer, clock: Clock, inline: Inline | None = None) -> None:
        self._writer = writer
        self._clock = clock
        self._inline = inline

    def write(self, batch: list[Submission]) -> Sequence[Outcome]:
        """One transaction for the batch. Where SQLite refuses a value, each submission alone, so that one caller fails."""
        try:
            return self._commit(batch)
        except REFUSED as error:
            if len(batch) == 1:
                return [Misuse(f"SQLite can't store this append: {error}")]
            return [self._write_alone(submission) for submission in batch]
        except sqlite3.Error as error:
            raise translate(error, self._writer.path) from error

    def _write_alone(self, submission: Submission) -> Outcome:
        """One caller's answer, whatever becomes of the next."""
        try:
            return self.write([submission])[0]
        except DeedlogError as error:
            return error

    def _commit(self, batch: list[Submission]) -> Sequence[Outcome]:
        with self._writer.transaction("append") as connection:
            asked = asked_by(batch)
            found = _find(connection, asked.streams)
            if asked.tips:
                found.tips = _tips(connection, asked.tips)
            if asked.commands:
                found.done = commands_done(connection, asked.commands)
            if asked.matching:
                found.matched = _matched(connection, asked.matching)
            now = self._now()
            settled = settle(batch, found, now)
            if settled.events:
                insert_many(connection, sql.INSERT_EVENTS, settled.events)
            if settled.tags:
                insert_many(connection, sql.INSERT_TAGS, settled.tags)
            if settled.commands:
                insert_many(connection, sql.INSERT_COMMANDS, [_command_row(done, now) for done in settled.commands])
            if self._inline is not None and settled.events:
                self._inline(connection, settled.recorded())
        return settled.outcomes

    def import_events(self, events: Sequence[ImportedEvent], expected_head: Position | None) -> Appended:
        """All of them or none."""
        streams = checked_streams(events)
        try:
            with self._writer.transaction("import") as connection:
                imported = settle_import(events, expected_head, _find(connection, streams), self._now())
                insert_many(connection, sql.INSERT_EVENTS, imported.events)
                insert_many(connection, sql.INSERT_TAGS, imported.tags)
        except REFUSED as error:
            raise Misuse(f"SQLite can't store this import: {error}") from error
        except sqlite3.Error as error:
            raise translate(error, self._writer.path) from error
        return imported.appended

    def close_stream(self, stream: StreamName, expected: ExpectedVersion, by: str, why: str) -> StreamClosing:
        """The first closing of the stream, made now if there is none."""
        try:
            with self._writer.transaction("close") as connection:
                found = _find(connection, [stream])
                if stream in found.closed:
                    return found.closed[stream]
                version = found.versions.get(stream, 0)
                if not expected.allows(version):
                    raise WrongExpectedVersion(stream, str(expected), version)
                closing = StreamClosing(stream, version, found.head, by, why, self._now())
                connection.execute(sql.INSERT_CLOSING, msgspec.structs.astuple(closing))
        except REFUSED as error:
            raise Misuse(f"SQLite can't store this closing: {error}") from error
        except sqlite3.Error as error:
            raise translate(error, self._writer.path) from error
        return closing

    def _now(self) -> int:
        return to_micros(self._clock.now())


def _find(connection: sqlite3.Connection, streams: list[StreamName]) -> Found:
    *rows, (_, head, _) = connection.execute(sql.VERSIONS, (_encode(streams),)).fetchall()
    versions = {stream: version for stream, version, _ in rows if version is not None}
    closed = [stream for stream, _, closing in rows if closing is not None]
    return Found(head or 0, versions, closings(connection, closed))


def closings(connection: sqlite3.Connection, streams: list[StreamName]) -> dict[StreamName, StreamClosing]:
    """Those of the streams that are closed."""
    if not streams:
        return {}
    return {row[0]: StreamClosing(*row) for row in connection.execute(sql.CLOSINGS, (json.dumps(streams),))}


def commands_done(connection: sqlite3.Connection, ids: list[str]) -> dict[str, StoredCommand]:
    """Those of the commands that are stored, by id."""
    if not ids:
        return {}
    rows = connection.execute(sql.COMMANDS, (json.dumps(ids),))
    return {
        id: StoredCommand(CommandKey(id, digest), Appended(stream, version, position, count))
        for id, digest, stream, version, position, count in rows
    }


def _tips(connection: sqlite3.Connection, streams: list[StreamName]) -> dict[StreamName, str]:
    if not streams:
        return {}
    return {stream: id for stream, id in connection.execute(sql.TIPS, (json.dumps(streams),)) if id is not None}


def _matched(connection: sqlite3.Connection, lowest: dict[Matching, Position]) -> dict[Matching, Position]:
    """The newest position that matches each, where it is behind the one given."""
    if not lowest:
        return {}
    tagged = [matching for matching in lowest if matching.tags]
    named = [matching for matching in lowest if not matching.tags]
    return {
        matching: position
        for statement, some in ((sql.MATCHED_TAGS, tagged), (sql.MATCHED_NAMES, named))
        for matching, position in _newest(connection, statement, some, lowest)
        if position is not None
    }


def _newest(
    connection: sqlite3.Connection, statement: str, some: list[Matching], lowest: dict[Matching, Position]
) -> Iterable[tuple[Matching, Position | None]]:
    if not some:
        return []
    wanted = [{"tags": matching.tags, "names": matching.names, "after": lowest[matching]} for matching in some]
    return [(some[place], position) for place, position in connection.execute(statement, (json.dumps(wanted),))]


def _command_row(done: StoredCommand, now: int) -> tuple[str, str, str, int, int, int, int]:
    appended = done.appended
    return (done.key.id, done.key.digest, appended.stream, appended.version, appended.position, appended.count, now)
