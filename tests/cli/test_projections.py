"""`deedlog projections`: list, status, rebuild."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from deedlog import App
from tests.cli.conftest import NOTES, SPEC, Fill, Program, Run


def status(run: Run, *options: str) -> tuple[int, dict[str, object]]:
    result = run("projections", "status", "--app", SPEC, "--json", *options)
    document = json.loads(result.stdout)
    assert list(document) == ["head", "projections"]
    (only,) = document["projections"]
    return result.exit_code, only


def test_list_needs_no_store(run: Run, folder: Path) -> None:
    document = json.loads(run("projections", "list", "--app", SPEC, "--json").stdout)
    assert document == {
        "projections": [
            {"name": "NoteView", "read_models": ["NoteView"], "tables": ["note_view"], "events": ["Rewritten", "Written"]}
        ]
    }
    assert not list(folder.glob("*.db*"))


def test_a_projection_that_has_everything_is_current(run: Run, fill: Fill) -> None:
    fill(2, projections=True)
    code, only = status(run, "--max-lag", "0")
    assert code == 0
    assert list(only) == [
        "name",
        "state",
        "position",
        "head",
        "behind_events",
        "behind_seconds",
        "generation",
        "events",
        "building_to",
        "updated_at",
    ]
    assert (only["state"], only["position"], only["head"], only["events"]) == ("current", 4, 4, 4)
    assert (only["behind_events"], only["behind_seconds"], only["generation"]) == (0, 0.0, 1)


@pytest.mark.parametrize(("options", "expected"), [([], 0), (["--max-lag", "2"], 0), (["--max-lag", "1"], 3)])
def test_a_lag_above_the_threshold_is_exit_code_3(run: Run, fill: Fill, options: list[str], expected: int) -> None:
    fill(1)
    code, only = status(run, *options)
    assert (code, only["state"], only["behind_events"]) == (expected, "behind", 2)


def test_a_read_model_whose_definition_changed_is_building_until_it_has_caught_up(run: Run, fill: Fill, folder: Path) -> None:
    fill(1, projections=True)
    (folder / "notes.py").write_text(
        NOTES.replace("    text: str\n\n    @starts", "    text: str | None\n\n    @starts"), "utf-8"
    )
    init = json.loads(run("db", "init", "--app", SPEC, "--json").stdout)
    assert (init["made_tables"], init["changed_tables"], init["kept_tables"]) == ([], ["note_view"], [])
    code, only = status(run)
    assert (code, only["state"], only["building_to"], only["generation"]) == (3, "building", 2, 2)
    assert run("worker", "--once", "--app", SPEC).exit_code == 0
    assert status(run)[0] == 0


def test_a_projection_of_another_version_of_the_app_is_outdated(run: Run, fill: Fill, folder: Path) -> None:
    fill(1, projections=True)
    (folder / "notes.py").write_text(
        NOTES.replace("    text: str\n\n    @starts", "    text: str | None\n\n    @starts"), "utf-8"
    )
    code, only = status(run)
    assert (code, only["state"]) == (3, "outdated")


def test_a_projection_that_was_never_built_is_exit_code_3(run: Run) -> None:
    run("db", "init", "--store", "sqlite:///notes.db")
    code, only = status(run)
    assert (code, only["state"], only["generation"]) == (3, "never built", 0)


def test_a_projection_that_lost_an_event_is_exit_code_3(run: Run, fill: Fill, folder: Path) -> None:
    fill(1, projections=True)
    with sqlite3.connect(folder / "notes.db") as connection:
        connection.execute("update deedlog_projections set events = events - 1")
    connection.close()
    code, only = status(run)
    assert (code, only["state"]) == (3, "skipped")


def test_a_rebuild_that_is_confirmed_is_done(run: Run, fill: Fill) -> None:
    fill(2, projections=True)
    result = run("projections", "rebuild", "NoteView", "--app", SPEC, input="NoteView\n")
    assert result.exit_code == 0
    assert "4 events into new tables for note_view" in result.stderr
    assert result.stdout == "NoteView: generation 2 is live, at position 4\n"


def test_a_rebuild_in_a_pipe_says_its_percentage(run: Run, fill: Fill) -> None:
    fill(2)
    result = run("projections", "rebuild", "NoteView", "--app", SPEC, "--yes")
    assert "rebuilding NoteView 100% (4 of 4)\n" in result.stderr


@pytest.mark.parametrize("typed", ["", "\n", "yes\n", "noteview\n"])
def test_a_rebuild_that_is_not_confirmed_changes_nothing(run: Run, fill: Fill, typed: str) -> None:
    fill(1, projections=True)
    result = run("projections", "rebuild", "NoteView", "--app", SPEC, input=typed)
    assert result.exit_code == 1
    assert "nothing was changed" in result.stderr
    assert "--yes" in result.stderr
    assert status(run)[1]["generation"] == 1


def test_a_dry_run_says_what_would_be_done(run: Run, fill: Fill) -> None:
    fill(1, projections=True)
    result = run("projections", "rebuild", "NoteView", "--app", SPEC, "--dry-run")
    assert result.stdout == "would fold NoteView: 2 events into new tables for note_view; live now: generation 1 at position 2\n"
    assert status(run)[1]["generation"] == 1


def test_a_rebuild_that_is_stopped_half_way_says_that_nothing_changed(
    run: Run, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(self: App, read_model: str, report: Callable[[int, int], None]) -> None:
        report(1, 2)
        raise KeyboardInterrupt

    fill(1, projections=True)
    monkeypatch.setattr(App, "rebuild", interrupted)
    result = run("projections", "rebuild", "NoteView", "--app", SPEC, "--yes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "rebuilding NoteView 50% (1 of 2)\n\nstopped half-way: the live tables are as they were\n" in result.stderr
    assert status(run)[1]["generation"] == 1


def test_an_unknown_projection_names_those_there_are(run: Run, fill: Fill) -> None:
    fill(1)
    result = run("projections", "rebuild", "Nope", "--app", SPEC, "--yes")
    assert result.exit_code == 1
    assert result.stderr == "error: there is no projection 'Nope'\nfix: there are: NoteView\n"


def test_a_rebuild_of_a_store_that_is_not_there_makes_none(run: Run, folder: Path) -> None:
    assert run("projections", "rebuild", "NoteView", "--app", SPEC, "--yes").exit_code == 1
    assert not list(folder.glob("*.db*"))


def test_a_fold_that_fails_is_said_with_its_place_and_changes_nothing(run: Run, fill: Fill, folder: Path) -> None:
    fill(1, projections=True)
    (folder / "notes.py").write_text(NOTES.replace("self.text = event.text", 'self.text = {}["gone"]'), "utf-8")
    result = run("projections", "rebuild", "NoteView", "--app", SPEC, "--yes")
    assert result.exit_code == 1
    assert "error: NoteView.rewritten, Rewritten at position 2: KeyError: 'gone' (" in result.stderr
    assert "notes.py:" in result.stderr
    assert "`deedlog events show 2`" in result.stderr
    assert status(run)[1]["generation"] == 1


def test_a_rebuild_beside_a_running_worker_ends_with_both_in_step(program: Program, run: Run, fill: Fill) -> None:
    fill(2)
    with program("worker", "--app", SPEC) as worker:
        assert worker.stdout is not None
        while worker.stdout.readline() != "NoteView\t4\t4\n":
            assert worker.poll() is None
        assert run("projections", "rebuild", "NoteView", "--app", SPEC, "--yes").exit_code == 0
        fill(1, first=2)
        while worker.stdout.readline() != "NoteView\t6\t6\n":
            assert worker.poll() is None
    assert status(run)[1]["generation"] == 2
