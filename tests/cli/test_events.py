"""`deedlog events`: read, show, tail."""

import json
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import STORE, Fill, Program, Run

KEYS = ["position", "stream", "version", "category", "name", "name_version", "data", "metadata", "recorded_at", "id"]


def test_a_pipe_gets_one_line_per_event(run: Run, fill: Fill) -> None:
    fill(2)
    lines = [line.split("\t") for line in run("events", "read", "--store", STORE).stdout.splitlines()]
    assert [(line[0], *line[2:5]) for line in lines] == [
        ("1", "note-n0", "1", "Written"),
        ("2", "note-n0", "2", "Rewritten"),
        ("3", "note-n1", "1", "Written"),
        ("4", "note-n1", "2", "Rewritten"),
    ]
    assert json.loads(lines[0][5]) == {"note_id": "n0", "text": "text 0"}


def test_json_is_one_document_with_stable_keys(run: Run, fill: Fill) -> None:
    fill(2)
    document = json.loads(run("events", "read", "--store", STORE, "--json", "--limit", "3").stdout)
    assert list(document) == ["events", "next_after", "head"]
    assert (document["next_after"], document["head"]) == (3, 4)
    assert list(document["events"][0]) == KEYS
    assert document["events"][0]["data"] == {"note_id": "n0", "text": "text 0"}
    assert document["events"][0]["recorded_at"].endswith("Z")


def test_the_last_page_has_no_next(run: Run, fill: Fill) -> None:
    fill(2)
    document = json.loads(run("events", "read", "--store", STORE, "--json", "--after", "3").stdout)
    assert [event["position"] for event in document["events"]] == [4]
    assert document["next_after"] is None


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        (["--type", "Written"], [1, 3]),
        (["--type", "Written", "--type", "Rewritten"], [1, 2, 3, 4]),
        (["--category", "note"], [1, 2, 3, 4]),
        (["--category", "nothing"], []),
        (["--stream", "note-n1"], [3, 4]),
        (["--stream", "note-n1", "--after", "3"], [4]),
        (["--stream", "note-n1", "--type", "Written"], [3]),
        (["--stream", "note-n1", "--category", "nothing"], []),
        (["--after", "100"], []),
        (["--limit", "2"], [1, 2]),
    ],
)
def test_filters(run: Run, fill: Fill, options: list[str], positions: list[int]) -> None:
    fill(2)
    document = json.loads(run("events", "read", "--store", STORE, "--json", *options).stdout)
    assert [event["position"] for event in document["events"]] == positions


def test_a_store_is_read_without_an_app(run: Run, fill: Fill, folder: Path) -> None:
    fill(1)
    (folder / "notes.py").unlink()
    assert run("events", "read", "--store", STORE).exit_code == 0


def test_text_that_is_no_json_is_shown_as_text(run: Run, fill: Fill, folder: Path) -> None:
    fill(1)
    with sqlite3.connect(folder / "notes.db") as connection:
        connection.execute("drop trigger deedlog_events_no_update")
        connection.execute("update deedlog_events set data = 'not json' where position = 1")
    connection.close()
    document = json.loads(run("events", "show", "1", "--store", STORE, "--json").stdout)
    assert document["data"] == "not json"


def test_show_has_every_field(run: Run, fill: Fill) -> None:
    fill(1)
    lines = dict(line.split("\t") for line in run("events", "show", "2", "--store", STORE).stdout.splitlines())
    assert list(lines) == KEYS
    assert lines["name"] == "Rewritten"
    assert json.loads(run("events", "show", "2", "--store", STORE, "--json").stdout)["id"] == lines["id"]


def test_a_position_that_is_not_there_says_which_are(run: Run, fill: Fill) -> None:
    fill(1)
    result = run("events", "show", "99", "--store", STORE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: there is no event at position 99\nfix: positions go from 1 to 2\n"


@pytest.mark.parametrize("text", ["0", "x", "-1", "1.5", "9223372036854775808"])
def test_a_position_that_is_no_position_is_a_usage_error(run: Run, fill: Fill, text: str) -> None:
    result = run("events", "show", "--store", STORE, "--", text)
    assert result.exit_code == 2
    assert f"'{text}' is not a whole number from 1 on" in result.stderr


def test_tail_ends_after_its_limit(run: Run, fill: Fill) -> None:
    fill(2)
    result = run("events", "tail", "--store", STORE, "--after", "1", "--limit", "2", "--json")
    assert result.exit_code == 0
    assert [json.loads(line)["position"] for line in result.stdout.splitlines()] == [2, 3]


def test_tail_refuses_two_starts(run: Run, fill: Fill) -> None:
    assert run("events", "tail", "--store", STORE, "--after", "1", "--from-start").exit_code == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_tail_follows_another_process_and_ends_well_on_a_signal(program: Program, fill: Fill, number: signal.Signals) -> None:
    fill(1)
    with program("events", "tail", "--from-start", "--type", "Written", "--store", STORE) as tail:
        assert tail.stdout is not None
        assert tail.stdout.readline().split("\t")[0] == "1"
        fill(1, first=1)
        assert tail.stdout.readline().split("\t")[2] == "note-n1"
        tail.send_signal(number)
        rest, errors = tail.communicate()
        assert (tail.returncode, rest, errors) == (0, "", "")


def test_tail_ends_when_its_reader_is_gone(program: Program, fill: Fill) -> None:
    fill(1)
    with program("events", "tail", "--from-start", "--store", STORE) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        tail.stdout.readline()
        tail.stdout.close()
        assert tail.wait() == 0
        assert tail.stderr.read() == ""


def test_read_ends_well_when_its_reader_is_gone(program: Program, fill: Fill) -> None:
    fill(400)
    with program("events", "read", "--limit", "1000", "--store", STORE) as reading:
        assert reading.stdout is not None
        assert reading.stderr is not None
        reading.stdout.readline()
        reading.stdout.close()
        assert reading.wait() == 0
        assert reading.stderr.read() == ""
