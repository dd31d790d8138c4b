"""The tables of the event store, made where there are none, and which file is too old or too new."""

import sqlite3

from deedlog.errors import Corrupt, DeedlogError, Misuse
from deedlog.ids import new_id
from deedlog.sqlite.database import Writer
from deedlog.sqlite.errors import translate
from deedlog.store.sqlite import statements as sql


def ensure_schema(writer: Writer) -> str:
    """The store's id; makes the tables in an empty file. Two processes may do it at once."""
    try:
        with writer.transaction("schema") as connection:
            if connection.execute(sql.HAS_SCHEMA).fetchone() is None:
                if writer.read_only:
                    raise Misuse(
                        f"{writer.path}: there is no event store in it", fix="check the address, or run `deedlog db init`"
                    )
                for statement in sql.SCHEMA:
                    connection.execute(statement)
                connection.execute(sql.WRITE_STORE, (new_id()[-8:], sql.SCHEMA_VERSION))
            row = connection.execute(sql.READ_STORE).fetchone()
    except sqlite3.Error as error:
        raise translate(error, writer.path) from error
    if row is None:
        raise Corrupt(f"{writer.path}: the table deedlog_store is empty", fix="restore a backup")
    store_id, version = row
    if version != sql.SCHEMA_VERSION:
        raise _wrong_schema(writer.path, version)
    return str(store_id)


def _wrong_schema(path: str, version: int) -> DeedlogError:
    if version > sql.SCHEMA_VERSION:
        age, fix = "newer than", "run the deedlog that made the file, or a newer one"
    else:
        age, fix = "older than", "run the deedlog that made the file; this one can't bring it up to date"
    return Misuse(f"{path}: its schema is version {version}, {age} the {sql.SCHEMA_VERSION} of this deedlog", fix=fix)
