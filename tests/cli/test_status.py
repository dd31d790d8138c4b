"""`deedlog projections status`, `pause` and `resume`, `workers list`: who is where, and who moves what."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import BROKEN, CHANGED, SPEC, Fill, Program, Run, status


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
        "live_generation",
        "parked",
        "leased_by",
        "leased_until",
        "paused",
        "audited",
    ]
    assert (only["state"], only["position"], only["head"], only["events"]) == ("current", 4, 4, 4)
    assert (only["behind_events"], only["behind_seconds"], only["generation"]) == (0, 0.0, 1)


@pytest.mark.parametrize(("options", "expected"), [([], 0), (["--max-lag", "2"], 0), (["--max-lag", "1"], 3)])
def test_a_lag_above_the_threshold_is_exit_code_3(run: Run, fill: Fill, options: list[str], expected: int) -> None:
    fill(1)
    code, only = status(run, *options)
    assert (code, only["state"], only["behind_events"]) == (expected, "behind", 2)


def test_a_changed_definition_is_built_beside_the_old_one_which_stays_live_meanwhile(run: Run, fill: Fill, folder: Path) -> None:
    fill(1, projections=True)
    (folder / "notes.py").write_text(CHANGED, "utf-8")
    init = json.loads(run("db", "init", "--app", SPEC, "--json").stdout)
    assert (init["made_tables"], init["changed_tables"], init["kept_tables"]) == ([], ["note_view"], [])
    code, only = status(run)
    assert (code, only["state"], only["building_to"], only["generation"], only["live_generation"]) == (3, "building", 2, 2, 1)
    assert run("worker", "--once", "--app", SPEC).exit_code == 0
    code, only = status(run)
    assert (code, only["state"], only["generation"], only["live_generation"]) == (0, "current", 2, 2)


def test_init_of_a_definition_that_is_being_built_keeps_what_there_is(run: Run, fill: Fill, folder: Path) -> None:
    fill(1, projections=True)
    (folder / "notes.py").write_text(CHANGED, "utf-8")
    run("db", "init", "--app", SPEC)
    assert json.loads(run("db", "init", "--app", SPEC, "--json").stdout)["kept_tables"] == ["note_view"]


def test_a_projection_of_another_version_of_the_app_is_outdated(run: Run, fill: Fill, folder: Path) -> None:
    fill(1, projections=True)
    (folder / "notes.py").write_text(CHANGED, "utf-8")
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


@pytest.mark.parametrize(("options", "expected"), [([], 0), (["--max-parked", "1"], 0), (["--max-parked", "0"], 3)])
def test_parked_keys_alarm_only_above_the_threshold(
    run: Run, fill: Fill, folder: Path, options: list[str], expected: int
) -> None:
    (folder / "notes.py").write_text(BROKEN, "utf-8")
    fill(1, projections=True)
    code, only = status(run, *options)
    assert (code, only["state"], only["parked"], only["behind_events"]) == (expected, "parked", 1, 0)


def test_a_paused_projection_says_by_whom_and_why_until_it_is_resumed(run: Run, fill: Fill) -> None:
    fill(1, projections=True)
    paused = run("projections", "pause", "NoteView", "--app", SPEC, "--by", "ann", "--why", "looking")
    assert paused.stdout == "NoteView: paused by ann: looking\n"
    code, only = status(run)
    assert (code, only["state"], only["paused"]) == (3, "paused", "ann: looking")
    assert run("projections", "resume", "NoteView", "--app", SPEC).stdout == "NoteView: may move again\n"
    code, only = status(run)
    assert (code, only["state"], only["paused"]) == (0, "current", None)


def test_pausing_a_projection_that_was_never_built_is_refused(run: Run) -> None:
    run("db", "init", "--store", "sqlite:///notes.db")
    result = run("projections", "pause", "NoteView", "--app", SPEC, "--why", "looking")
    assert (result.exit_code, result.stderr.partition("\n")[0]) == (1, "error: there is no projection 'NoteView' in this store")


def leases(run: Run) -> list[dict[str, object]]:
    document = json.loads(run("workers", "list", "--app", SPEC, "--json").stdout)
    found: list[dict[str, object]] = document["workers"]
    return found


def test_who_moves_what_is_seen_while_a_worker_runs(program: Program, run: Run, fill: Fill) -> None:
    fill(1)
    assert leases(run) == []
    with program("worker", "--app", SPEC) as worker:
        assert worker.stderr is not None
        while worker.stderr.readline() != "NoteView: moved by this worker\n":
            assert worker.poll() is None
        (only,) = leases(run)
        assert list(only) == ["worker", "projection", "generation", "epoch", "leased_until", "left_seconds"]
        assert f":{worker.pid}:" in str(only["worker"])
        assert (only["projection"], only["generation"]) == ("NoteView", 1)
        assert 0 < float(str(only["left_seconds"])) <= 10
        assert status(run)[1]["leased_by"] == only["worker"]
        worker.terminate()
        worker.wait()
    assert leases(run) == []
    assert status(run)[1]["leased_by"] is None


def test_a_read_model_that_is_folded_when_it_is_read_has_no_status(run: Run, fill: Fill, folder: Path) -> None:
    fill(1)
    text = (folder / "notes.py").read_text("utf-8")
    (folder / "notes.py").write_text(text.replace('@app.read_model(key="note_id")', LIVE), "utf-8")
    document = json.loads(run("projections", "status", "--app", SPEC, "--json").stdout)
    assert document["projections"] == []
    (only,) = json.loads(run("projections", "list", "--app", SPEC, "--json").stdout)["projections"]
    assert (only["mode"], only["tables"]) == ("live", [])


LIVE = '@app.read_model(key="note_id", mode="live")'
