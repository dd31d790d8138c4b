"""Each SELECT of the SQLite stores finds its rows by an index: no statement reads a whole table to return a few."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deedlog.reads.model import ReadModel, RowType
from deedlog.reads.sqlite import statements as reads
from deedlog.reads.sqlite.columns import register
from deedlog.reads.values import Condition, Find, Order
from deedlog.sqlite.database import Database
from deedlog.store.sqlite import statements as store
from deedlog.store.sqlite.schema import ensure_schema

SMALL = {"deedlog_store", "sqlite_sequence", "sqlite_schema", "deedlog_projections", "tables", "bisection"}
"""Tables of a handful of rows, and the JSON arrays in one: reading them whole is what an index would do too."""


class Book(ReadModel):
    book_id: str
    author: str
    year: int
    title: str | None = None


BOOK = RowType(Book, key="book_id", indexes=["author", ("year", "title")], search=["title"])
TABLE = reads.table_of(BOOK.table, 1)
BY_KEY = (Order("book_id"),)

FIND = {
    "by key": Find((Condition("book_id", "eq", "b"),), BY_KEY),
    "all keys": Find((), BY_KEY),
    "the page after": Find((), BY_KEY, after=("b",)),
    "equal": Find((Condition("author", "eq", "a"),), BY_KEY),
    "one of": Find((Condition("author", "in", ["a", "b"]),), BY_KEY),
    "prefix": Find((Condition("author", "prefix", "a"),), BY_KEY),
    "more than": Find((Condition("year", "gt", 1),), (Order("year"), *BY_KEY)),
    "two columns": Find((Condition("year", "eq", 1), Condition("title", "prefix", "a")), BY_KEY),
    "missing": Find((Condition("year", "eq", 1), Condition("title", "null", True)), BY_KEY),
}


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = Database(tmp_path / "plans.db")
    database.on_connect.append(register)
    writer = database.writer("NORMAL")
    ensure_schema(writer)
    for statement in (*reads.SCHEMA, *reads.create(BOOK, 1), *reads.view(BOOK.table, 1)):
        writer.connection.execute(statement)
    yield writer.connection
    writer.close()


def plan_of(connection: sqlite3.Connection, statement: str, parameters: Any = None) -> list[str]:
    numbered = {int(number) for number in re.findall(r"\?(\d+)", statement)}
    values = [None] * max(numbered, default=statement.count("?")) if parameters is None else parameters
    return [row[3] for row in connection.execute(f"explain query plan {statement}", values)]


def scans_in(plan: list[str]) -> list[str]:
    """The steps that read a large table from one end to the other, by no index."""
    whole = [step for step in plan if step.startswith("SCAN ") and "VIRTUAL TABLE" not in step and "USING" not in step]
    return [step for step in whole if step.split()[1] not in SMALL and not step.startswith(("SCAN CONSTANT", "SCAN newest"))]


def selects_of(module: Any) -> dict[str, str]:
    texts = {name: value.strip() for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}
    return {name: text for name, text in texts.items() if text.startswith("select")}


@pytest.mark.parametrize("name", sorted(selects_of(store)))
def test_the_event_store_reads_by_an_index(connection: sqlite3.Connection, name: str) -> None:
    plan = plan_of(connection, selects_of(store)[name])
    one_row = ["SCAN deedlog_closings"] if name == "VERSIONS" else []  # whether there is any
    assert scans_in(plan) == one_row, plan
    if name != "STREAMS":  # sorts the one page that it has found
        assert not any("TEMP B-TREE" in step for step in plan), plan


def test_every_statement_of_the_event_store_is_looked_at() -> None:
    assert {"HEAD", "VERSIONS", "COMMANDS", "READ_STREAM", "READ_ALL", "READ_CATEGORY", "READ_NAME", "STREAMS"} <= set(
        selects_of(store)
    )
    assert {"MATCHED_TAGS", "MATCHED_NAMES", "READ_TAGS", "POSITION_AT", "VERSION_AT", "CLOSINGS", "STATE"} <= set(
        selects_of(store)
    )


@pytest.mark.parametrize("name", ["MATCHED_TAGS", "READ_TAGS"])
def test_a_condition_looks_at_one_tag_behind_a_position(connection: sqlite3.Connection, name: str) -> None:
    plan = plan_of(connection, selects_of(store)[name])
    assert "SEARCH t USING PRIMARY KEY (tag=? AND position>?)" in plan, plan
    assert "SEARCH o USING PRIMARY KEY (tag=? AND position=?)" in plan, plan
    assert "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)" in plan, plan


def test_old_commands_are_found_by_their_time(connection: sqlite3.Connection) -> None:
    plan = plan_of(connection, store.FORGET_COMMANDS)
    assert scans_in(plan) == []
    assert "SEARCH deedlog_commands USING COVERING INDEX deedlog_commands_recorded_at (recorded_at<?)" in plan, plan


def test_a_state_is_kept_and_dropped_by_its_stream(connection: sqlite3.Connection) -> None:
    for statement in (store.SAVE_STATE, store.DROP_STATE):
        plan = plan_of(connection, statement)
        assert scans_in(plan) == [], plan
        assert any("USING INDEX" in step and "(stream=?" in step for step in plan), plan


@pytest.mark.parametrize("name", sorted({*selects_of(reads)} - {"HELD"}))  # asked once, at a start, of all projections
def test_projections_are_found_by_name(connection: sqlite3.Connection, name: str) -> None:
    plan = plan_of(connection, selects_of(reads)[name])
    assert scans_in(plan) == [], plan
    if name not in ("NEWEST", "HAS_LOG"):
        assert any(re.match(r"SEARCH deedlog_\w+ USING", step) for step in plan), plan


@pytest.mark.parametrize("column", ["book_id", "author", "year"])
def test_a_batch_loads_its_rows_by_an_index(connection: sqlite3.Connection, column: str) -> None:
    for values in ([1, 2], ["a\0b"], ["a", "a\0b"]):
        statement, parameters = reads.select_in(BOOK, 1, column, values)
        plan = plan_of(connection, statement, parameters)
        assert scans_in(plan) == [], plan
        assert any(f"SEARCH {TABLE} USING" in step for step in plan), plan


def test_a_row_is_read_and_removed_by_its_key(connection: sqlite3.Connection) -> None:
    for statement in (reads.select_by_key(BOOK, 1), reads.delete(BOOK, 1)):
        plan = plan_of(connection, statement)
        assert any(f"SEARCH {TABLE} USING" in step and "book_id=?" in step for step in plan), plan


@pytest.mark.parametrize("name", sorted(FIND))
def test_a_reader_finds_by_declared_indexes(connection: sqlite3.Connection, name: str) -> None:
    plan = plan_of(connection, *reads.find(BOOK, 1, FIND[name]))
    assert scans_in(plan) == [], plan
    if name != "all keys":
        assert any(f"SEARCH {TABLE} USING" in step for step in plan), plan
    if name in ("by key", "all keys", "the page after"):
        assert not any("TEMP B-TREE" in step for step in plan), plan


def test_counting_uses_a_declared_index(connection: sqlite3.Connection) -> None:
    plan = plan_of(connection, *reads.count(BOOK, 1, FIND["equal"].where))
    assert any(f"SEARCH {TABLE} USING" in step for step in plan), plan


def test_search_reads_the_rows_that_its_index_names(connection: sqlite3.Connection) -> None:
    plan = plan_of(connection, reads.search(BOOK, 1))
    assert any("SEARCH t USING INTEGER PRIMARY KEY" in step for step in plan), plan


def test_a_statement_without_an_index_is_noticed(connection: sqlite3.Connection) -> None:
    plan = plan_of(connection, "select * from deedlog_events where data = ?")
    assert scans_in(plan) == ["SCAN deedlog_events"]
