"""`deedlog check`, `deedlog db init`, and the program as a whole."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import deedlog
from deedlog.ops.cli import main
from tests.cli.conftest import NOTES, SPEC, STORE, Fill, Run


def test_check_lists_the_declarations_and_touches_no_store(run: Run, folder: Path) -> None:
    result = run("check", "--app", SPEC)
    assert result.exit_code == 0
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines] == [
        ["aggregate", "Note"],
        ["command", "Write"],
        ["command", "Rewrite"],
        ["event", "Written"],
        ["event", "Rewritten"],
        ["query", "GetNote"],
        ["read_model", "NoteView"],
    ]
    assert lines[0][2].startswith("notes.py:")
    assert not list(folder.glob("*.db*"))


def test_check_counts_in_json(run: Run) -> None:
    document = json.loads(run("check", "--app", SPEC, "--json").stdout)
    assert list(document) == ["app", "store", "counts", "declarations"]
    assert (document["app"], document["store"]) == ("notes", STORE)
    assert document["counts"] == {"aggregate": 1, "command": 2, "event": 2, "query": 1, "read_model": 1, "projection": 0}
    assert list(document["declarations"][0]) == ["kind", "name", "place", "details"]


def test_a_declaration_that_cannot_work_is_said_with_file_and_line(run: Run, folder: Path) -> None:
    broken = NOTES.replace('@app.read_model(key="note_id")', '@app.read_model(key="nope")')
    (folder / "notes.py").write_text(broken, "utf-8")
    result = run("check", "--app", SPEC)
    assert result.exit_code == 1
    line = broken.splitlines().index('@app.read_model(key="nope")') + 1
    assert f"notes.py:{line}: NoteView has no field 'nope'" in result.stderr
    assert "fix: its fields: note_id, text" in result.stderr


def test_check_finds_an_index_that_can_not_be(run: Run, folder: Path) -> None:
    text = NOTES.replace('key="note_id")\nclass NoteView', 'key="note_id", indexes=["price"])\nclass NoteView')
    text = "from decimal import Decimal\n" + text.replace(
        "    text: str\n\n    @starts", "    text: str\n    price: Decimal = Decimal(0)\n\n    @starts"
    )
    (folder / "notes.py").write_text(text, "utf-8")
    result = run("check", "--app", SPEC)
    assert result.exit_code == 1
    assert "NoteView.price is stored as decimal and can't be indexed" in result.stderr


def test_init_says_what_it_made_and_twice_is_fine(run: Run) -> None:
    first = run("db", "init", "--app", SPEC)
    assert first.stdout == f"{STORE}: made an event store\nmade tables: note_view\n"
    again = run("db", "init", "--app", SPEC)
    assert again.stdout == f"{STORE}: has an event store, 0 events\nkept tables: note_view\n"
    assert (first.exit_code, again.exit_code) == (0, 0)


def test_init_without_an_app_makes_an_event_store(run: Run) -> None:
    assert run("db", "init", "--store", "sqlite:///new.db").stdout == "sqlite:///new.db: made an event store\n"
    assert run("events", "read", "--store", "sqlite:///new.db").exit_code == 0


def test_init_of_a_folder_that_is_not_there_is_an_error(run: Run) -> None:
    result = run("db", "init", "--store", "sqlite:///no/such/folder.db")
    assert result.exit_code == 1
    assert "fix: check that the folder exists" in result.stderr


READ_VERBS = [
    ("events", "read"),
    ("events", "tail"),
    ("events", "show", "1"),
    ("streams", "list"),
    ("streams", "show", "note-n0"),
]


@pytest.mark.parametrize("verb", [*READ_VERBS, ("projections", "status", "--app", SPEC)], ids=" ".join)
def test_looking_at_a_store_that_is_not_there_makes_none(run: Run, folder: Path, verb: tuple[str, ...]) -> None:
    result = run(*verb, "--store", STORE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: notes.db: there is no such file\nfix: ")
    assert {path.name for path in folder.iterdir()} == {"notes.py"}


def _no_database(path: Path) -> None:
    path.write_text("hello, this is no database at all\n", "utf-8")


def _empty(path: Path) -> None:
    path.touch()


def _somebody_elses(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (a)")
    connection.close()


@pytest.mark.parametrize(
    ("make", "said"),
    [(_no_database, "is not a database"), (_empty, "there is no event store"), (_somebody_elses, "there is no event store")],
)
def test_looking_at_another_file_leaves_it_alone(run: Run, folder: Path, make: object, said: str) -> None:
    path = folder / "other.db"
    assert callable(make)
    make(path)
    before = path.read_bytes()
    result = run("events", "read", "--store", "sqlite:///other.db")
    assert result.exit_code == 1
    assert said in result.stderr
    assert path.read_bytes() == before
    assert {found.name for found in folder.glob("*.db*")} == {"other.db"}


def test_a_damaged_file_is_said_to_be(run: Run, fill: Fill, folder: Path) -> None:
    fill(100)
    path = folder / "notes.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    result = run("events", "read", "--store", STORE)
    assert result.exit_code == 1
    assert "malformed" in result.stderr


def test_a_newer_schema_is_said_to_be(run: Run, fill: Fill, folder: Path) -> None:
    fill(1)
    with sqlite3.connect(folder / "notes.db") as connection:
        connection.execute("update deedlog_store set schema_version = 99")
    connection.close()
    result = run("events", "read", "--store", STORE)
    assert result.exit_code == 1
    assert "schema is version 99" in result.stderr


def test_a_store_that_is_held_by_another_is_exit_code_4(
    run: Run, fill: Fill, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(1)
    monkeypatch.setattr("deedlog.sqlite.database.BUSY_SECONDS", 0.01)
    connection = sqlite3.connect(folder / "notes.db", isolation_level=None)
    try:
        connection.execute("pragma locking_mode = exclusive")
        connection.execute("begin exclusive")
        result = run("events", "read", "--store", STORE)
    finally:
        connection.close()
    assert result.exit_code == 4
    assert "locked" in result.stderr


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("notes.db", 2, "fix: --store sqlite:///notes.db"),
        ("postgres://localhost/notes", 1, "no store for 'postgres://'"),
        ("sqlite://notes.db", 1, "names no file"),
        ("memory://", 1, "fix: use sqlite:///file.db"),
    ],
)
def test_a_wrong_store_says_what_to_write(run: Run, url: str, code: int, said: str) -> None:
    result = run("events", "read", "--store", url)
    assert result.exit_code == code
    assert said in result.stderr


def test_no_store_and_no_app_is_a_usage_error(run: Run) -> None:
    result = run("events", "read")
    assert result.exit_code == 2
    assert "fix: --store sqlite:///file.db, or --app notes:app" in result.stderr


def test_the_version(run: Run) -> None:
    assert run("--version").stdout == f"deedlog {deedlog.__version__}\n"


def verbs(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from verbs(inner, (*path, name))
    else:
        yield path


@pytest.mark.parametrize("verb", list(verbs(main)), ids=" ".join)
def test_every_verb_explains_itself_with_an_example(run: Run, verb: tuple[str, ...]) -> None:
    result = run(*verb, "--help")
    assert result.exit_code == 0
    assert f"Example: deedlog {' '.join(verb)}" in result.stdout


def test_help_tells_exit_codes_and_completion(run: Run) -> None:
    text = run("--help").stdout
    assert "Exit codes" in text
    assert "deedlog completion bash" in text


def test_help_loads_no_table_drawing_and_no_server() -> None:
    program = (
        "import sys, deedlog.ops.cli; print([name for name in ('rich', 'uvicorn', 'starlette', 'uvloop') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout == "[]\n"
