"""Three readers: a terminal, a pipe, a program."""

import os
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deedlog.errors import ConditionFailed, DeadlineExceeded, DeedlogError, StreamClosed, Unavailable
from deedlog.ops.exits import Usage, exit_code, say
from deedlog.ops.output import on_terminal, safe, text_of
from tests.cli.conftest import SPEC, STORE, Fill, Program, Run


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (1.23456, "1.235"),
        ([], "-"),
        (True, "yes"),
        (False, "no"),
        (["a", "b"], "a, b"),
        (datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), "2026-01-02T03:04:05.678Z"),
        ("größer → 1", "größer → 1"),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert text_of(value) == text


def test_control_characters_are_shown_not_sent() -> None:
    assert safe("a\tb\nc\x1b[31md\x9b") == "a\\tb\\nc\\x1b[31md\\x9b"


def test_a_missing_stdout_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert not on_terminal()


@pytest.mark.skipif(sys.platform == "win32", reason="no pty there")
class TestTerminal:
    """With a real terminal at the other end."""

    def seen(self, program: Program, *args: str) -> str:
        import pty

        master, slave = pty.openpty()
        with program(*args, stdout=slave, stderr=slave) as process:
            os.close(slave)
            said = bytearray()
            while True:
                try:
                    part = os.read(master, 65536)
                except OSError:  # how Linux says that the other end is closed
                    break
                if not part:
                    break
                said += part
            process.wait()
        os.close(master)
        return said.decode()

    def test_rows_come_as_a_table_with_a_heading(self, program: Program, fill: Fill) -> None:
        fill(1)
        seen = self.seen(program, "events", "read", "--store", STORE)
        assert "position" in seen
        assert "Written" in seen
        assert "\t" not in seen

    def test_what_is_left_is_mentioned(self, program: Program, fill: Fill) -> None:
        fill(1)
        assert "more: --after 1" in self.seen(program, "events", "read", "--store", STORE, "--limit", "1")

    def test_a_rebuild_has_a_bar(self, program: Program, fill: Fill) -> None:
        fill(1)
        seen = self.seen(program, "projections", "rebuild", "NoteView", "--yes", "--app", SPEC)
        assert "2/2" in seen
        assert "generation 2 is live" in seen

    def test_a_followed_log_is_cut_to_the_width(self, program: Program, fill: Fill) -> None:
        fill(1)
        seen = self.seen(program, "events", "tail", "--from-start", "--limit", "2", "--store", STORE)
        assert "Rewritten" in seen
        assert f"following {STORE} behind position 0" in seen

    def test_rows_that_differ_come_with_the_events_that_made_them(self, program: Program, fill: Fill, folder: Path) -> None:
        fill(1, projections=True)
        with sqlite3.connect(folder / "notes.db") as connection:
            (table,) = connection.execute("select name from sqlite_schema where type = 'table' and name like 'note_view%'")
            connection.execute(f"update {table[0]} set text = 'wrong'")
        connection.close()
        seen = self.seen(program, "projections", "verify", "NoteView", "--app", SPEC)
        assert "NoteView n0 is made by" in seen
        assert "NoteView at position 2: 0 rows are as the log makes them, 1 differs" in seen

    def test_who_paused_a_projection_is_said_below_the_table(self, program: Program, run: Run, fill: Fill) -> None:
        fill(1, projections=True)
        run("projections", "pause", "NoteView", "--app", SPEC, "--by", "ann", "--why", "looking")
        assert "NoteView is paused by ann: looking" in self.seen(program, "projections", "status", "--app", SPEC)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StreamClosed("a-1", "Ann", "moved", datetime(2026, 1, 1, tzinfo=UTC)), 1),
        (ConditionFailed("email:a@b.c", 1, 2), 1),
        (DeadlineExceeded(1.0, 1.5, stored=None), 4),
        (Unavailable("Sales is paused: ann: looking", fix="`deedlog projections resume`"), 4),
        (Usage("no such thing", fix="another"), 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_two_lines_and_an_exit_code(error: DeedlogError, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    say(error)
    assert capsys.readouterr().err == f"error: {error.message}\nfix: {error.fix}\n"
    assert exit_code(error) == code
