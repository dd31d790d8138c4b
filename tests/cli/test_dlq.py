"""`deedlog dlq`: list, show, retry, skip, purge."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import BROKEN, NOTES, SPEC, Fill, Run, status

UNREADABLE = '{"stream": "note-n0", "name": "Written", "name_version": 9, "data": {}}\n'
SKIP = ("--app", SPEC, "--by", "ann", "--why", "of no use", "--yes")


@pytest.fixture
def parked(run: Run, fill: Fill, folder: Path) -> None:
    """Two notes whose second event fails; the fold is mended by writing NOTES."""
    (folder / "notes.py").write_text(BROKEN, "utf-8")
    fill(2, projections=True)


@pytest.fixture
def stream_parked(run: Run, fill: Fill, folder: Path) -> None:
    """Two notes; of the first an event that no class can read."""
    fill(2, projections=True)
    (folder / "lines.jsonl").write_text(UNREADABLE, "utf-8")
    assert run("events", "import", "lines.jsonl", "--keep-undeclared", "--app", SPEC).exit_code == 0
    assert run("worker", "--once", "--app", SPEC).exit_code == 0


def letters(run: Run, *options: str) -> list[dict[str, Any]]:
    document = json.loads(run("dlq", "list", "--app", SPEC, "--json", *options).stdout)
    assert list(document) == ["letters", "more"]
    found: list[dict[str, Any]] = document["letters"]
    return found


@pytest.mark.usefixtures("parked")
def test_letters_name_key_event_and_error(run: Run) -> None:
    first, second = letters(run)
    assert list(first) == ["projection", "read_model", "key", "position", "event", "stream", "attempts", "parked_at", "error"]
    assert [(one["read_model"], one["key"], one["position"]) for one in (first, second)] == [
        ("NoteView", "n0", 2),
        ("NoteView", "n1", 4),
    ]
    assert first["error"] == "NoteView.rewritten: KeyError: 'gone'"


@pytest.mark.usefixtures("parked")
def test_a_page_of_letters_says_that_there_are_more(run: Run) -> None:
    document = json.loads(run("dlq", "list", "--app", SPEC, "--json", "--limit", "1").stdout)
    assert (len(document["letters"]), document["more"]) == (1, True)


@pytest.mark.usefixtures("parked")
def test_what_only_follows_can_be_left_out(run: Run, fill: Fill, folder: Path) -> None:
    (folder / "more.jsonl").write_text(
        '{"stream": "note-n0", "name": "Rewritten", "data": {"note_id": "n0", "text": "more"}}\n', "utf-8"
    )
    assert run("events", "import", "more.jsonl", "--app", SPEC).exit_code == 0
    assert run("worker", "--once", "--app", SPEC).exit_code == 0
    assert [(one["position"], one["error"] is None) for one in letters(run)] == [(2, False), (4, False), (5, True)]
    assert [one["position"] for one in letters(run, "--failed")] == [2, 4]


def test_without_letters_there_are_no_lines(run: Run, fill: Fill) -> None:
    fill(1, projections=True)
    result = run("dlq", "list", "--app", SPEC)
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.usefixtures("parked")
def test_a_key_is_shown_with_the_data_of_its_events(run: Run) -> None:
    document = json.loads(run("dlq", "show", "NoteView", "n0", "--app", SPEC, "--json").stdout)
    assert list(document) == ["read_model", "key", "letters", "skips"]
    (only,) = document["letters"]
    assert (only["position"], only["data"]) == (2, {"note_id": "n0", "text": "new 0"})


@pytest.mark.usefixtures("parked")
@pytest.mark.parametrize("verb", ["show", "retry"])
def test_a_key_that_is_not_parked_is_said(run: Run, verb: str) -> None:
    result = run("dlq", verb, "NoteView", "n9", "--app", SPEC)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: NoteView n9 is not parked")


@pytest.mark.usefixtures("parked")
def test_a_retry_with_the_fold_still_broken_says_what_is_left(run: Run) -> None:
    result = run("dlq", "retry", "NoteView", "--app", SPEC)
    assert result.exit_code == 1
    assert result.stdout == (
        "NoteView\tn0\tparked\t2\tNoteView.rewritten: KeyError: 'gone'\n"
        "NoteView\tn1\tparked\t4\tNoteView.rewritten: KeyError: 'gone'\n"
    )
    assert {one["attempts"] for one in letters(run)} == {2}


def test_a_retry_after_what_the_fold_calls_was_mended_leaves_nothing(run: Run, fill: Fill, folder: Path) -> None:
    text = NOTES.replace("self.text = event.text", "self.text = WORDS[event.text]") + "\n\nWORDS: dict[str, str] = {}\n"
    (folder / "notes.py").write_text(text, "utf-8")
    fill(1, projections=True)
    (folder / "notes.py").write_text(text.replace("= {}", '= {"new 0": "mended"}'), "utf-8")
    result = run("dlq", "retry", "NoteView", "n0", "--app", SPEC)
    assert (result.exit_code, result.stdout) == (0, "NoteView\tn0\tmended\t-\t-\n")
    assert status(run)[1]["state"] == "current"


def test_a_retry_where_nothing_is_parked_is_done(run: Run, fill: Fill) -> None:
    fill(1, projections=True)
    result = run("dlq", "retry", "--app", SPEC)
    assert (result.exit_code, result.stderr) == (0, "nothing is parked\n")


@pytest.mark.usefixtures("parked")
def test_a_skip_is_kept_with_who_and_why(run: Run) -> None:
    result = run("dlq", "skip", "NoteView", "n0", "2", *SKIP)
    assert (result.exit_code, result.stdout) == (0, "NoteView\tn0\tmended\t-\t-\n")
    document = json.loads(run("dlq", "show", "NoteView", "n0", "--app", SPEC, "--json").stdout)
    assert document["letters"] == []
    (only,) = document["skips"]
    assert (only["position"], only["by"], only["why"]) == (2, "ann", "of no use")
    assert [one["key"] for one in letters(run)] == ["n1"]


@pytest.mark.usefixtures("parked")
@pytest.mark.parametrize("options", [["--dry-run"], []], ids=["dry run", "not confirmed"])
def test_a_skip_that_is_not_confirmed_decides_nothing(run: Run, options: list[str]) -> None:
    run("dlq", "skip", "NoteView", "n0", "2", "--app", SPEC, "--why", "of no use", *options, input="no\n")
    assert [one["key"] for one in letters(run)] == ["n0", "n1"]


@pytest.mark.usefixtures("parked")
@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["NoteView", "n0", "3"], 1, "error: no dead letter of NoteView n0 at 3"),
        (["NoteView", "n0", "two"], 2, "error: 'two' is no position"),
        (["NoteView", "2"], 2, "name the key too"),
        (["NoteView", "n0", "x", "2"], 2, "error: too many words"),
        (["Nope", "n0", "2"], 1, "error: there is no read model 'Nope'"),
    ],
)
def test_a_skip_of_something_else_is_refused(run: Run, words: list[str], code: int, error: str) -> None:
    result = run("dlq", "skip", *words, *SKIP)
    assert (result.exit_code, error in result.stderr) == (code, True), result.stderr


@pytest.mark.usefixtures("parked")
def test_a_purge_counts_and_asks_first(run: Run) -> None:
    result = run("dlq", "purge", "--app", SPEC, "--by", "ann", "--why", "of no use", input="2\n")
    assert result.stdout == "NoteView: 2 letters (2 failed, 0 follow) of 2 keys\nNoteView: 2 letters are gone\n"
    assert "this leaves 2 events out of the rows they concern, for ever" in result.stderr
    assert letters(run) == []


@pytest.mark.usefixtures("parked")
@pytest.mark.parametrize("options", [["--dry-run"], []], ids=["dry run", "not confirmed"])
def test_a_purge_that_is_not_confirmed_takes_nothing(run: Run, options: list[str]) -> None:
    run("dlq", "purge", "NoteView", "n0", "--app", SPEC, "--why", "of no use", *options, input="no\n")
    assert [one["key"] for one in letters(run)] == ["n0", "n1"]


@pytest.mark.usefixtures("parked")
def test_a_decision_without_a_reason_is_wrong_usage(run: Run) -> None:
    result = run("dlq", "purge", "--app", SPEC, "--yes")
    assert (result.exit_code, "--why" in result.stderr) == (2, True)


@pytest.mark.usefixtures("stream_parked")
def test_a_parked_stream_is_listed_and_shown_under_one_name(run: Run) -> None:
    (only,) = letters(run)
    assert (only["read_model"], only["key"], only["position"]) == ("stream:note-n0", None, 5)
    assert "Written version 9" in only["error"]
    document = json.loads(run("dlq", "show", "stream:note-n0", "--app", SPEC, "--json").stdout)
    assert (document["read_model"], document["key"], document["letters"][0]["position"]) == ("stream:note-n0", None, 5)


@pytest.mark.usefixtures("stream_parked")
def test_a_parked_stream_is_retried_and_skipped_by_that_name(run: Run) -> None:
    left = run("dlq", "retry", "stream:note-n0", "--app", SPEC)
    assert (left.exit_code, left.stdout.split("\t")[:4]) == (1, ["stream:note-n0", "-", "parked", "5"])
    result = run("dlq", "skip", "stream:note-n0", "5", *SKIP)
    assert (result.exit_code, result.stdout) == (0, "stream:note-n0\t-\tmended\t-\t-\n")
    assert letters(run) == []
