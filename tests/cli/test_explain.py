"""`deedlog explain`, and `deedlog commands`: what happened, asked afterwards."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from deedlog.ops.find_app import load
from tests.cli.conftest import BROKEN, NOTES, SPEC, STORE, Fill, Run

EXPLAIN = ("explain", "NoteView", "n1", "--app", SPEC)
FORGET = ("commands", "forget", "--store", STORE)


def test_each_event_of_a_row_says_what_it_changed(run: Run, fill: Fill) -> None:
    fill(2)
    lines = [line.split("\t") for line in run(*EXPLAIN).stdout.splitlines()]
    assert [(line[0], line[2], *line[4:5], *line[6:]) for line in lines] == [
        ("3", "Written", "NoteView.written", "note_id", "-", '"n1"'),
        ("3", "Written", "NoteView.written", "text", "-", '"text 1"'),
        ("4", "Rewritten", "NoteView.rewritten", "text", '"text 1"', '"new 1"'),
    ]
    assert lines[2][5].startswith("notes.py:")


def test_json_has_the_row_and_stable_keys(run: Run, fill: Fill) -> None:
    fill(2)
    document = json.loads(run(*EXPLAIN, "--json").stdout)
    assert list(document) == ["read_model", "key", "at", "events", "row", "parked_at"]
    assert (document["at"], document["row"], document["parked_at"]) == (4, {"note_id": "n1", "text": "new 1"}, None)
    first = document["events"][0]
    assert list(first) == [
        "position",
        "recorded_at",
        "stream",
        "version",
        "name",
        "handler",
        "place",
        "effect",
        "fields",
    ]
    assert document["events"][1]["fields"] == {"text": {"before": "text 1", "after": "new 1"}}


def test_a_row_is_explained_as_of_a_position(run: Run, fill: Fill) -> None:
    fill(2)
    document = json.loads(run(*EXPLAIN, "--at", "3", "--json").stdout)
    assert (document["at"], document["row"]["text"]) == (3, "text 1")


def test_a_row_that_no_event_made_is_an_error(run: Run, fill: Fill) -> None:
    fill(2)
    result = run(*EXPLAIN, "--at", "2")
    assert result.exit_code == 1
    assert result.stderr == "error: no event up to 2 concerns NoteView 'n1'\nfix: look at the key, and at a later position\n"


def test_a_parked_row_says_where_it_waits(run: Run, fill: Fill, folder: Path) -> None:
    (folder / "notes.py").write_text(BROKEN, "utf-8")
    fill(2, projections=True)
    result = run(*EXPLAIN)
    assert "note: parked since Rewritten at 4: `deedlog dlq show NoteView n1`" in result.stderr
    assert json.loads(run(*EXPLAIN, "--json").stdout)["parked_at"] == 4


def test_a_read_model_that_is_folded_when_it_is_read_is_explained_too(run: Run, fill: Fill, folder: Path) -> None:
    (folder / "notes.py").write_text(NOTES.replace('model(key="note_id")', 'model(key="note_id", mode="live")'), "utf-8")
    fill(2)
    assert json.loads(run(*EXPLAIN, "--json").stdout)["row"]["text"] == "new 1"


@pytest.fixture
def done(folder: Path) -> None:
    """A command that was sent with an id."""

    async def send() -> None:
        async with load(SPEC) as app:
            await app.execute(sys.modules["notes"].Write("n1", "hello"), id="order 7")

    asyncio.run(send())


@pytest.mark.usefixtures("done")
def test_a_receipt_comes_with_its_events(run: Run) -> None:
    document = json.loads(run("commands", "show", "order 7", "--store", STORE, "--json").stdout)
    assert list(document) == ["id", "digest", "stream", "version", "position", "count", "events"]
    assert (document["stream"], document["version"], document["position"], document["count"]) == ("note-n1", 1, 1, 1)
    assert document["events"][0]["data"] == {"note_id": "n1", "text": "hello"}


def test_a_command_without_a_receipt_is_said(run: Run, fill: Fill) -> None:
    fill(1)
    result = run("commands", "show", "nope", "--store", STORE)
    assert (result.exit_code, result.stderr.partition("\n")[0]) == (1, "error: no receipt of command 'nope'")


@pytest.mark.usefixtures("done")
def test_old_receipts_are_forgotten_and_young_ones_kept(run: Run) -> None:
    assert run(*FORGET, "--older-than", "1h", "--yes").stdout == "0 receipts are forgotten\n"
    assert run(*FORGET, "--older-than", "0s", input="forget\n").stdout == "1 receipts are forgotten\n"
    assert run("commands", "show", "order 7", "--store", STORE).exit_code == 1


@pytest.mark.usefixtures("done")
@pytest.mark.parametrize("options", [["--dry-run"], []], ids=["dry run", "not confirmed"])
def test_receipts_are_kept_unless_it_is_confirmed(run: Run, options: list[str]) -> None:
    run(*FORGET, "--older-than", "0s", *options, input="no\n")
    assert run("commands", "show", "order 7", "--store", STORE).exit_code == 0


@pytest.mark.usefixtures("done")
@pytest.mark.parametrize("age", ["30", "d", "-1d", "1y", ""])
def test_an_age_that_can_not_be_is_wrong_usage(run: Run, age: str) -> None:
    result = run(*FORGET, "--older-than", age, "--yes")
    assert (result.exit_code, "is no age: write 30d" in result.stderr) == (2, True)
