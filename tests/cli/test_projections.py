"""`deedlog projections`: list and rebuild."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deedlog import App
from tests.cli.conftest import BROKEN, SPEC, Fill, Program, Run, status


def test_list_needs_no_store(run: Run, folder: Path) -> None:
    document = json.loads(run("projections", "list", "--app", SPEC, "--json").stdout)
    assert document == {
        "projections": [
            {
                "name": "NoteView",
                "read_models": ["NoteView"],
                "tables": ["note_view"],
                "events": ["Rewritten", "Written"],
                "mode": "async",
            }
        ]
    }
    assert not list(folder.glob("*.db*"))


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


def test_a_rebuild_with_a_fold_that_fails_parks_those_keys_and_says_so(run: Run, fill: Fill, folder: Path) -> None:
    fill(1, projections=True)
    (folder / "notes.py").write_text(BROKEN, "utf-8")
    result = run("projections", "rebuild", "NoteView", "--app", SPEC, "--yes")
    assert result.exit_code == 3
    assert "1 keys are parked, since an event of theirs failed: `deedlog dlq list` says why" in result.stderr
    only = status(run)[1]
    assert (only["state"], only["parked"], only["position"]) == ("parked", 1, 2)


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
