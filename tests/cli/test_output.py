"""Three readers: a terminal, a pipe, a program."""

import os
import sys
from datetime import UTC, datetime

import pytest

from deedlog.ops.output import on_terminal, safe, text_of
from tests.cli.conftest import SPEC, STORE, Fill, Program


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (1.23456, "1.235"),
        ([], "-"),
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
