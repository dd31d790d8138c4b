"""Finding the app, and what is said when it is not found."""

from pathlib import Path

import pytest

from tests.cli.conftest import NOTES, Run


@pytest.mark.parametrize("spec", ["notes:app", "notes"])
def test_an_app_is_named_by_module_and_name_or_by_module_when_it_has_one(run: Run, spec: str) -> None:
    result = run("projections", "list", "--app", spec)
    assert result.exit_code == 0
    assert result.stdout == "NoteView\tNoteView\tnote_view\tRewritten, Written\tasync\n"


def test_the_environment_names_the_app(run: Run) -> None:
    assert run("check", env={"DEEDLOG_APP": "notes:app"}).exit_code == 0


def test_pyproject_names_the_app(run: Run, folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.deedlog]\napp = "notes:app"\n', "utf-8")
    assert run("check").exit_code == 0


def test_the_option_may_stand_before_the_verb_and_beats_the_environment(run: Run) -> None:
    assert run("--app", "notes:app", "check", env={"DEEDLOG_APP": "other:app"}).exit_code == 0


@pytest.mark.parametrize(
    ("spec", "error", "fix"),
    [
        ("nope:app", "no module 'nope'", "--app notes:app"),
        ("notes:nope", "notes has no 'nope'", "--app notes:app"),
        ("notes:Write", "notes:Write is a class, not an App", "--app notes:app"),
        ("notes.py:app", "no module 'notes.py'", "--app notes:app"),
        ("./notes.py", "'./notes.py' is not module:name", "--app notes:app"),
        ("a b", "'a b' is not module:name", "--app shop:app"),
    ],
)
def test_a_wrong_app_is_a_usage_error_that_says_what_to_write(run: Run, spec: str, error: str, fix: str) -> None:
    result = run("check", "--app", spec)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {error}")
    assert f"fix: {fix}" in result.stderr


def test_without_a_name_several_apps_are_listed(run: Run, folder: Path) -> None:
    (folder / "two.py").write_text('from deedlog import App\none = App("one")\nother = App("other")\n', "utf-8")
    result = run("check", "--app", "two")
    assert result.exit_code == 2
    assert "two has 2 apps: which one?" in result.stderr
    assert "--app two:one or --app two:other" in result.stderr


def test_a_module_without_an_app_says_how_to_make_one(run: Run, folder: Path) -> None:
    (folder / "empty.py").write_text("", "utf-8")
    result = run("check", "--app", "empty")
    assert result.exit_code == 2
    assert 'write `app = App("…")` in empty' in result.stderr


def test_no_app_at_all_is_a_usage_error_that_names_those_of_the_folder(run: Run) -> None:
    result = run("check")
    assert result.exit_code == 2
    assert result.stderr == "error: no app is named: not by --app, DEEDLOG_APP or pyproject.toml\nfix: --app notes:app\n"


def test_an_empty_folder_gets_an_example(run: Run, folder: Path) -> None:
    (folder / "notes.py").unlink()
    assert "fix: go to the folder of your service and say --app module:name" in run("check").stderr


@pytest.mark.parametrize("text", ["[tool.deedlog]\napp = 3\n", "[tool.deedlog\n"])
def test_a_broken_pyproject_is_a_usage_error(run: Run, folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(text, "utf-8")
    result = run("check")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: pyproject.toml")


def test_what_the_module_itself_lacks_shows_as_a_traceback(run: Run, folder: Path) -> None:
    (folder / "boom.py").write_text("import nothere\n", "utf-8")
    with pytest.raises(ModuleNotFoundError, match="nothere"):
        run("check", "--app", "boom:app")


def test_a_store_on_the_command_line_beats_the_app_and_the_environment(run: Run, folder: Path) -> None:
    run("db", "init", "--app", "notes:app", "--store", "sqlite:///typed.db", env={"DEEDLOG_STORE": "sqlite:///from-env.db"})
    assert {path.name for path in folder.glob("*.db")} == {"typed.db"}


def test_an_apps_own_store_beats_the_environment(run: Run, folder: Path) -> None:
    (folder / "own.py").write_text(NOTES.replace('App("notes")', 'App("notes", store="sqlite:///own.db")'), "utf-8")
    run("db", "init", "--app", "own:app", env={"DEEDLOG_STORE": "sqlite:///from-env.db"})
    assert {path.name for path in folder.glob("*.db")} == {"own.db"}


def test_the_environments_store_serves_where_there_is_no_app(run: Run, folder: Path) -> None:
    run("db", "init", env={"DEEDLOG_STORE": "sqlite:///from-env.db"})
    assert {path.name for path in folder.glob("*.db")} == {"from-env.db"}
