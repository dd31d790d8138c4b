"""A file, a folder or a lock that may not be written: a clear error, and reading goes on as far as SQLite allows."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="other permissions there")


def used(*modes: str) -> tuple[str, str]:
    """What a query and a command say."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.faults.read_only", folder, *modes]
        ran = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=30)
        Path(folder).chmod(0o700)
    assert ran.returncode == 0, ran.stderr
    query, command_said = ran.stdout.splitlines()
    return query, command_said


def test_a_file_that_may_be_written_is_used() -> None:
    assert used("bank.db", "600") == ("done", "done")


def test_a_read_only_file_still_answers_queries_and_refuses_commands() -> None:
    query, command = used("bank.db", "444")
    assert query == "done"
    assert command.startswith("Unavailable")
    assert "read-only; make both writable" in command


@pytest.mark.parametrize("modes", [(".", "555"), ("bank.db", "444", ".", "555")], ids=["folder", "both"])
def test_a_read_only_folder_is_refused(modes: tuple[str, ...]) -> None:
    for said in used(*modes):
        assert said.startswith("Unavailable")
        assert "read-only; make both writable" in said


def test_a_file_that_may_not_be_read_is_refused() -> None:
    for said in used("bank.db", "000"):
        assert said.startswith("Misuse")
        assert "unable to open" in said


def test_a_lock_of_somebody_else_is_refused() -> None:
    """As after `sudo deedlog …`: the lock beside the file belongs to root."""
    for said in used("bank.db-lock", "444"):
        assert said.startswith("Misuse")
        assert "bank.db-lock: Permission denied" in said
        assert "give it the owner of the database" in said
