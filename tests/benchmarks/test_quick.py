"""Each benchmark runs in seconds with --quick, and its last line is what tools read. No figure is asserted: machines differ."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATHS = ("append", "command", "project", "query", "dispatch", "http", "startup", "import_events")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("path", PATHS)
def test_a_quick_run_ends_with_its_figures(path: str, tmp_path: Path) -> None:
    program = [sys.executable, "-m", f"benchmarks.{path}", "--quick", "--dir", str(tmp_path)]
    run = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
    assert run.returncode == 0, run.stderr
    line = json.loads(run.stdout.splitlines()[-1])
    assert line["benchmark"] == path
    assert line["ratio"] > 0
    assert all(case["ratio"] > 0 and len(case["raw"]) == len(case["ours"]) == 3 for case in line["cases"].values())
    assert line["settings"]["quick"] is True
    assert line["settings"]["sqlite"]
    assert list(tmp_path.iterdir()) == []
