"""Each benchmark runs in seconds with --quick, and its last line is what tools read. No figure is asserted: machines differ."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import NAMES, rows_of

ROOT = Path(__file__).resolve().parents[2]
RATIOS = ("append", "command", "project", "query", "dispatch", "http", "startup", "import_events", "growth")
LIMITS = ("visible", "rebuild")


def quick(path: str, folder: Path) -> dict[str, Any]:
    """What the last line of a quick run says."""
    program = [sys.executable, "-m", f"benchmarks.{path}", "--quick", "--dir", str(folder)]
    run = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
    assert run.returncode == 0, run.stderr
    line: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    assert line["benchmark"] == path
    assert line["settings"]["quick"] is True
    assert line["settings"]["sqlite"]
    assert list(folder.iterdir()) == []
    return line


@pytest.mark.timeout(60)
@pytest.mark.parametrize("path", RATIOS)
def test_a_quick_run_ends_with_its_ratios(path: str, tmp_path: Path) -> None:
    line = quick(path, tmp_path)
    assert line["ratio"] > 0
    assert all(case["ratio"] > 0 and len(case["raw"]) == len(case["ours"]) == 3 for case in line["cases"].values())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("path", LIMITS)
def test_a_quick_run_ends_with_what_it_measured(path: str, tmp_path: Path) -> None:
    line = quick(path, tmp_path)
    assert all(limit["value"] > 0 and len(limit["rounds"]) == 3 for limit in line["limits"].values())


def test_every_benchmark_is_in_the_table_and_here() -> None:
    assert sorted(NAMES) == sorted((*RATIOS, *LIMITS))


def test_the_table_says_what_was_missed() -> None:
    case = {"ratio": 0.5, "min": 0.4, "max": 0.6, "target": 0.6, "met": False, "raw": [2.0], "ours": [1.0]}
    limit = {"value": 3.0, "most": 5.0, "met": True, "rounds": [3.0]}
    ratios, limits = {"benchmark": "a", "cases": {"x": case}}, {"benchmark": "b", "limits": {"y": limit}}
    assert [row[-2:] for line in (ratios, limits) for row in rows_of(line)] == [("≥ 0.6", "MISSED"), ("≤ 5", "met")]
