"""The README's program: one file in an empty folder, run by hand."""

import subprocess
import sys
from pathlib import Path

from tests.docs.pages import README, blocks_of, output_below, program_of

PROGRAM = program_of(README)
BLOCK = next(block for block in blocks_of(README) if block.language == "python")


def test_the_program_is_the_only_code() -> None:
    assert [block.language for block in blocks_of(README)].count("python") == 1


def test_the_service_has_less_than_forty_lines() -> None:
    service, call, _ = PROGRAM.partition("async def main()")
    assert call
    assert len(service.rstrip().splitlines()) < 40


def test_the_program_with_its_calls_has_at_most_forty_lines_of_code() -> None:
    assert len([line for line in PROGRAM.splitlines() if line.strip()]) <= 40


def test_the_readme_has_less_than_two_hundred_lines() -> None:
    assert len(README.read_text("utf-8").splitlines()) < 200


def test_the_program_prints_what_the_readme_shows_and_again_the_second_time(tmp_path: Path) -> None:
    file = tmp_path / "box_office.py"
    file.write_text(PROGRAM, "utf-8")
    shown = output_below(README, BLOCK)
    assert shown
    for _ in range(2):
        command = [sys.executable, "-W", "error", file.name]
        ran = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=30)
        assert ran.stderr == ""
        assert ran.stdout == shown
