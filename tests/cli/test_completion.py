"""`deedlog completion`, and what completes."""

import os
from pathlib import Path

import pytest

from tests.cli.conftest import SPEC, Program, Run


@pytest.mark.parametrize("shell", ["zsh", "fish", "bash"])
def test_the_script_of_a_shell_is_printed(run: Run, shell: str) -> None:
    result = run("completion", shell)
    assert (result.exit_code, f"_DEEDLOG_COMPLETE={shell}_complete" in result.stdout) == (0, True)


def test_another_shell_is_wrong_usage(run: Run) -> None:
    assert run("completion", "cmd").exit_code == 2


def completed(program: Program, monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    monkeypatch.setenv("_DEEDLOG_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    with program() as process:
        said, errors = process.communicate()
    assert errors == "", os.environ["COMP_WORDS"]
    return [item.partition(",")[2] for item in said.splitlines() if item]


@pytest.mark.parametrize(
    "line",
    [
        "deedlog projections verify ",
        "deedlog projections audit N",
        "deedlog dlq show Not",
        "deedlog dlq list --projection ",
        "deedlog explain ",
    ],
)
def test_names_complete_from_the_app(program: Program, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setenv("DEEDLOG_APP", SPEC)
    assert completed(program, monkeypatch, line) == ["NoteView"]


def test_verbs_complete_without_an_app(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed(program, monkeypatch, "deedlog dlq p") == ["purge"]


def test_an_app_that_does_not_load_completes_nothing(program: Program, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "notes.py").write_text("this is no Python", "utf-8")
    monkeypatch.setenv("DEEDLOG_APP", SPEC)
    assert completed(program, monkeypatch, "deedlog explain ") == []
