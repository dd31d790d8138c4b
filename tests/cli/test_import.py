"""`deedlog events import` and `export`."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from deedlog.commands.importing import CHUNK
from deedlog.ops import importing
from deedlog.ops.source import reading
from deedlog.store.port import Matching
from tests.cli.conftest import NOTES, SPEC, STORE, Fill, Program, Run

COPY = "sqlite:///copy.db"
GOOD = '{"stream": "note-a", "name": "Written", "data": {"note_id": "a", "text": "hello"}}'


def log(run: Run, store: str) -> str:
    return run("events", "read", "--store", store, "--json").stdout


@pytest.fixture
def lines(folder: Path) -> Path:
    return folder / "lines.jsonl"


@pytest.fixture
def empty(run: Run) -> None:
    """An event store with nothing in it."""
    run("db", "init", "--store", STORE)


def test_an_export_imported_makes_an_equal_log(run: Run, fill: Fill) -> None:
    fill(3)
    run("db", "init", "--store", COPY)
    exported = run("events", "export", "--store", STORE)
    assert [list(json.loads(line)) for line in exported.stdout.splitlines()] == 6 * [
        ["stream", "name", "name_version", "data", "metadata", "recorded_at", "id"]
    ]
    result = run("events", "import", "-", "--app", SPEC, "--store", COPY, input=exported.stdout)
    assert (result.exit_code, result.stdout) == (0, "6 events are imported; the log ends at 6\n")
    assert log(run, COPY) == log(run, STORE)


def test_an_export_can_start_behind_a_position(run: Run, fill: Fill) -> None:
    fill(2)
    assert len(run("events", "export", "--store", STORE, "--after", "3").stdout.splitlines()) == 1


def test_tags_come_from_the_class_of_the_event(run: Run, folder: Path, lines: Path) -> None:
    tagged = NOTES.replace("class Written(Event):", '@message(tags=["note_id"])\nclass Written(Event):').replace(
        "evolve, on", "evolve, message, on"
    )
    (folder / "notes.py").write_text(tagged, "utf-8")
    lines.write_text(GOOD, "utf-8")
    run("db", "init", "--app", SPEC)
    assert run("events", "import", str(lines), "--app", SPEC).exit_code == 0
    assert asyncio.run(matching("note_id:a")) == [1]


async def matching(tag: str) -> list[int]:
    async with reading(STORE) as (store, _):
        return [event.position for event in await store.read_matching([Matching((tag,))])]


@pytest.mark.usefixtures("empty")
def test_a_line_needs_only_stream_name_and_data(run: Run, lines: Path) -> None:
    lines.write_text(f"{GOOD}\n\n{GOOD}\n", "utf-8")
    assert run("events", "import", str(lines), "--app", SPEC).stdout == "2 events are imported; the log ends at 2\n"
    first, second = json.loads(log(run, STORE))["events"]
    assert (first["version"], second["version"], first["name_version"]) == (1, 2, 1)
    assert first["id"] != second["id"]
    assert first["metadata"]["correlation_id"] == second["metadata"]["correlation_id"]


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("nonsense", "line 2: not valid JSON"),
        ("[]", "line 2: Expected object, got array"),
        ('{"name": "Written", "data": {}}', "line 2: stream: Object missing required field stream"),
        (GOOD.replace("}}", '}, "extra": 1}'), "line 2: extra: Object contains unknown field extra"),
        (GOOD.replace("note-a", "note"), "line 2: stream: 'note': it is not of the form category-id"),
        (GOOD.replace("Written", "Nope"), "line 2: name: the app has no event Nope of version 1"),
        (GOOD.replace('"hello"', "7"), "line 2: data.text: Expected str, got int"),
        (GOOD.replace(', "text": "hello"', ""), "line 2: data.text: Object missing required field text"),
        (GOOD.replace("}}", '}, "metadata": {}}'), "line 2: metadata.correlation_id: Object missing"),
        (GOOD.replace("}}", '}, "recorded_at": "2026-01-01T00:00:00"}'), "line 2: recorded_at: 2026-01-01T00:00:00 has no"),
        (GOOD.replace("}}", '}, "recorded_at": "yesterday"}'), "line 2: recorded_at: Invalid RFC3339"),
        (GOOD.replace("}}", '}, "id": ""}'), "line 2: id: '' is no id"),
        (GOOD.replace("}}", '}, "name_version": 2}'), "line 2: name: the app has no event Written of version 2"),
    ],
)
@pytest.mark.parametrize("options", [["--dry-run"], []], ids=["dry run", "import"])
def test_a_bad_line_is_named_with_its_field_and_nothing_of_its_chunk_is_stored(
    run: Run, lines: Path, line: str, error: str, options: list[str]
) -> None:
    lines.write_text(f"{GOOD}\n{line}\n", "utf-8")
    result = run("events", "import", str(lines), "--app", SPEC, *options)
    assert result.exit_code == 1
    assert f"error: {error}" in result.stderr
    assert json.loads(log(run, STORE))["events"] == []


@pytest.mark.usefixtures("empty")
def test_a_dry_run_of_good_lines_stores_nothing(run: Run, lines: Path) -> None:
    lines.write_text(f"{GOOD}\n{GOOD}\n", "utf-8")
    result = run("events", "import", str(lines), "--app", SPEC, "--dry-run")
    assert (result.exit_code, result.stdout) == (0, "2 events can be imported\n")
    assert json.loads(log(run, STORE))["events"] == []


@pytest.mark.usefixtures("empty")
def test_an_import_that_ends_early_says_how_to_go_on(run: Run, lines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "CHUNK", 2)
    lines.write_text(f"{GOOD}\n{GOOD}\n{GOOD}\nnonsense", "utf-8")
    result = run("events", "import", str(lines), "--app", SPEC)
    assert result.exit_code == 1
    options = "--after-line 2 --expect-head 2"
    assert f"2 events are stored, up to line 2. To go on: {options}\n" in result.stderr
    lines.write_text(f"{GOOD}\n{GOOD}\n{GOOD}\n{GOOD}", "utf-8")
    again = run("events", "import", str(lines), "--app", SPEC, *options.split())
    assert again.stdout == "2 events are imported; the log ends at 4\n"


@pytest.mark.usefixtures("empty")
def test_a_chunk_that_was_stored_already_is_refused(run: Run, lines: Path) -> None:
    lines.write_text(f"{GOOD}\n", "utf-8")
    run("events", "import", str(lines), "--app", SPEC, "--expect-head", "0")
    again = run("events", "import", str(lines), "--app", SPEC, "--expect-head", "0")
    assert (again.exit_code, again.stderr.splitlines()[-2]) == (1, "error: the store's head is 1, expected 0")


def test_a_closed_stream_takes_no_import(run: Run, fill: Fill, lines: Path) -> None:
    fill(1)
    run("streams", "close", "note-n0", "--store", STORE, "--by", "ann", "--why", "moved", "--yes")
    lines.write_text(GOOD.replace("note-a", "note-n0"), "utf-8")
    result = run("events", "import", str(lines), "--app", SPEC)
    assert result.exit_code == 1
    assert "error: stream 'note-n0' was closed by ann at" in result.stderr
    assert "fix: start another stream" in result.stderr


@pytest.mark.usefixtures("empty")
def test_events_without_a_class_can_be_kept(run: Run, lines: Path) -> None:
    lines.write_text('{"stream": "old-1", "name": "Gone", "data": {"a": 1}}\n', "utf-8")
    assert run("events", "import", str(lines), "--app", SPEC, "--keep-undeclared").exit_code == 0
    (only,) = json.loads(log(run, STORE))["events"]
    assert (only["name"], only["data"]) == ("Gone", {"a": 1})


def test_a_store_that_is_not_there_is_not_made(run: Run, lines: Path, folder: Path) -> None:
    lines.write_text(GOOD, "utf-8")
    assert run("events", "import", str(lines), "--app", SPEC).exit_code == 1
    assert not list(folder.glob("*.db*"))


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes there")
@pytest.mark.usefixtures("empty")
def test_ctrl_c_while_it_waits_for_lines_says_how_to_go_on(program: Program, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with program("events", "import", "pipe", "--app", SPEC) as process, (folder / "pipe").open("wb", buffering=0) as pipe:
        assert process.stderr is not None
        pipe.write(f"{GOOD}\n".encode() * CHUNK)
        assert process.stderr.readline().startswith("importing 100%")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        assert process.returncode == 1
    assert f"{CHUNK} events are stored, up to line {CHUNK}. To go on: --after-line" in errors
    assert errors.endswith("error: stopped half-way\nfix: go on as said above, or start anew if nothing is stored\n")
