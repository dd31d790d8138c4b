"""`deedlog projections verify`, `repair`, `audit`, `generations` and `rollback`."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import CHANGED, SPEC, Fill, Run, status

VERIFY = ("projections", "verify", "NoteView", "--app", SPEC)
REPAIR = ("projections", "repair", "NoteView", "--app", SPEC)
ROLLBACK = ("projections", "rollback", "NoteView", "--app", SPEC)


@pytest.fixture
def damaged(fill: Fill, folder: Path) -> None:
    """Four notes: n0 is changed, n1 is gone, n7 is too many, n2 and n3 are right."""
    fill(4, projections=True)
    with sqlite3.connect(folder / "notes.db") as connection:
        (table,) = connection.execute("select name from sqlite_schema where type = 'table' and name like 'note_view%'").fetchone()
        connection.execute(f"update {table} set text = 'wrong' where note_id = 'n0'")
        connection.execute(f"update {table} set note_id = 'n7' where note_id = 'n1'")
    connection.close()


def test_rows_that_are_as_the_log_makes_them_are_exit_code_0(run: Run, fill: Fill) -> None:
    fill(2, projections=True)
    result = run(*VERIFY)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "verifying NoteView 100% (4 of 4)\n" in result.stderr


@pytest.mark.usefixtures("damaged")
def test_rows_that_differ_are_shown_field_by_field(run: Run) -> None:
    result = run(*VERIFY)
    assert result.exit_code == 3
    assert result.stdout == (
        'NoteView\tn0\tdiffers\ttext\t"wrong"\t"new 0"\n'
        'NoteView\tn1\tmissing\tnote_id\t-\t"n1"\n'
        'NoteView\tn1\tmissing\ttext\t-\t"new 1"\n'
        'NoteView\tn7\tsurplus\tnote_id\t"n7"\t-\n'
        'NoteView\tn7\tsurplus\ttext\t"new 1"\t-\n'
    )


@pytest.mark.usefixtures("damaged")
def test_a_row_that_differs_comes_with_the_events_that_made_it(run: Run) -> None:
    document = json.loads(run(*VERIFY, "--json").stdout)
    assert list(document) == ["name", "position", "same", "different", "rows"]
    assert (document["position"], document["same"], document["different"]) == (8, 2, 3)
    first = document["rows"][0]
    assert list(first) == ["read_model", "key", "problem", "fields", "events"]
    assert [(event["position"], event["effect"]) for event in first["events"]] == [(1, "starts"), (2, "changes")]


@pytest.mark.usefixtures("damaged")
def test_only_so_many_rows_are_shown_but_all_are_counted(run: Run) -> None:
    document = json.loads(run(*VERIFY, "--json", "--limit", "1").stdout)
    assert (len(document["rows"]), document["different"]) == (1, 3)


@pytest.mark.usefixtures("damaged")
def test_a_repair_mends_exactly_the_rows_that_differ(run: Run) -> None:
    result = run(*REPAIR, input="NoteView\n")
    assert result.exit_code == 0
    assert "this writes 3 of 5 rows of NoteView as the log makes them" in result.stderr
    assert result.stdout == "NoteView\tn0\tdiffers\nNoteView\tn1\tmissing\nNoteView\tn7\tsurplus\n"
    assert run(*VERIFY).exit_code == 0
    assert status(run)[1]["generation"] == 1


@pytest.mark.usefixtures("damaged")
@pytest.mark.parametrize("options", [["--dry-run"], []], ids=["dry run", "not confirmed"])
def test_a_repair_that_is_not_confirmed_writes_nothing(run: Run, options: list[str]) -> None:
    run(*REPAIR, *options, input="no\n")
    assert run(*VERIFY).exit_code == 3


def test_a_repair_with_nothing_to_do_asks_nobody(run: Run, fill: Fill) -> None:
    fill(2, projections=True)
    result = run(*REPAIR)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing to repair, 2 rows are as the log makes them" in result.stderr


def test_a_projection_that_was_never_built_can_not_be_verified(run: Run) -> None:
    run("db", "init", "--store", "sqlite:///notes.db")
    result = run(*VERIFY)
    assert (result.exit_code, "was never built for this version of the app" in result.stderr) == (1, True)


def audited(run: Run, *options: str) -> tuple[int, dict[str, Any]]:
    result = run("projections", "audit", "--app", SPEC, "--json", *options)
    (only,) = json.loads(result.stdout)["audited"]
    assert list(only) == ["name", "agrees", "after", "until", "problem"]
    return result.exit_code, only


def test_the_auditor_agrees_with_what_was_folded(run: Run, fill: Fill) -> None:
    fill(2, projections=True)
    code, only = audited(run)
    assert (code, only["agrees"], only["until"]) == (0, True, 4)


@pytest.mark.parametrize(
    ("damage", "words"),
    [("events = events - 1", "some were skipped"), ("digest = digest + 1", "are not those in the log")],
)
def test_the_auditor_says_where_something_else_was_consumed(run: Run, fill: Fill, folder: Path, damage: str, words: str) -> None:
    fill(2, projections=True)
    with sqlite3.connect(folder / "notes.db") as connection:
        connection.execute(f"update deedlog_projections set {damage}")
    connection.close()
    code, only = audited(run, "NoteView")
    assert (code, only["agrees"], only["until"], words in only["problem"]) == (3, False, 4, True)


def generations(run: Run) -> list[tuple[object, ...]]:
    document = json.loads(run("projections", "generations", "NoteView", "--app", SPEC, "--json").stdout)
    assert list(document) == ["name", "generations"]
    return [(one["generation"], one["own"], one["live"], one["state"]) for one in document["generations"]]


def test_a_rebuild_keeps_the_generation_before(run: Run, fill: Fill) -> None:
    fill(1, projections=True)
    run("projections", "rebuild", "NoteView", "--app", SPEC, "--yes")
    assert generations(run) == [(1, True, False, "retired"), (2, True, True, "current")]


def test_a_rollback_makes_the_generation_before_live_and_it_goes_on(run: Run, fill: Fill) -> None:
    fill(1, projections=True)
    run("projections", "rebuild", "NoteView", "--app", SPEC, "--yes")
    result = run(*ROLLBACK, input="NoteView\n")
    assert (result.exit_code, result.stdout) == (0, "NoteView: generation 1 is live again, at position 2\n")
    assert generations(run) == [(1, True, True, "current"), (2, True, False, "retired")]
    fill(1, first=1, projections=True)
    code, only = status(run)
    assert (code, only["state"], only["position"], only["generation"]) == (0, "rolled back", 4, 1)


def test_a_switch_takes_a_rollback_back(run: Run, fill: Fill) -> None:
    fill(1, projections=True)
    switch = ("projections", "switch", "NoteView", "--app", SPEC)
    assert "no generation of NoteView was rolled back" in run(*switch, "--yes").stderr
    run("projections", "rebuild", "NoteView", "--app", SPEC, "--yes")
    run(*ROLLBACK, "--yes")
    assert "would make NoteView: generation 2 at position 2 live, in place of 1" in run(*switch, "--dry-run").stdout
    assert "nothing was changed" in run(*switch, input="no\n").stderr
    assert run(*switch, "--yes").stdout == "NoteView: generation 2 is live again, at position 2\n"


def test_a_rollback_to_another_definition_warns_that_only_that_version_moves_it(run: Run, fill: Fill, folder: Path) -> None:
    fill(1, projections=True)
    (folder / "notes.py").write_text(CHANGED, "utf-8")
    assert run("worker", "--once", "--app", SPEC).exit_code == 0
    result = run(*ROLLBACK, "--yes")
    assert result.exit_code == 0
    assert "note: generation 1 is of another definition: only a service or worker with that version" in result.stderr
    code, only = status(run)
    assert (code, only["state"], only["generation"], only["live_generation"]) == (3, "retired", 2, 1)


def test_a_rebuild_goes_forward_again_after_a_rollback_to_another_definition(run: Run, fill: Fill, folder: Path) -> None:
    fill(1, projections=True)
    (folder / "notes.py").write_text(CHANGED, "utf-8")
    assert run("worker", "--once", "--app", SPEC).exit_code == 0
    run(*ROLLBACK, "--yes")
    assert run("projections", "rebuild", "NoteView", "--app", SPEC, "--yes").exit_code == 0
    code, only = status(run)
    assert (code, only["state"], only["generation"], only["live_generation"]) == (0, "current", 3, 3)


@pytest.mark.parametrize("options", [["--dry-run"], []], ids=["dry run", "not confirmed"])
def test_a_rollback_that_is_not_confirmed_changes_nothing(run: Run, fill: Fill, options: list[str]) -> None:
    fill(1, projections=True)
    run("projections", "rebuild", "NoteView", "--app", SPEC, "--yes")
    run(*ROLLBACK, *options, input="no\n")
    assert status(run)[1]["live_generation"] == 2


def test_a_rollback_with_nothing_before_is_refused(run: Run, fill: Fill) -> None:
    fill(1, projections=True)
    result = run(*ROLLBACK, "--yes")
    assert (result.exit_code, result.stderr.partition("\n")[0]) == (1, "error: no earlier generation of NoteView is kept")
