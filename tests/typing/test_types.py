"""What users write passes mypy and pyright, both strict, without an ignore; and what they get wrong does not."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.docs.pages import README, ROOT, program_of
from tests.typing import surface

HERE = Path(__file__).parent
Places: TypeAlias = set[tuple[str, int]]
Checker: TypeAlias = Callable[[Path], Places]


def mypy(folder: Path) -> Places:
    """File and line of each error, by mypy as a user has it: in a folder of its own, strict, no plug-in, no other setting."""
    arguments = ["--strict", "--output=json", "--config-file=", f"--cache-dir={folder / '.mypy_cache'}", "."]
    ran = _run("mypy", arguments, folder)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    found = [json.loads(line) for line in ran.stdout.splitlines() if line]
    return {(Path(error["file"]).as_posix(), error["line"]) for error in found if error["severity"] == "error"}


def pyright(folder: Path) -> Places:
    """The same by pyright, in its strict mode."""
    settings = {"typeCheckingMode": "strict", "pythonVersion": "3.11", "include": ["."]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    ran = _run("pyright", ["--outputjson", "--pythonpath", sys.executable, "--project", str(folder)], folder)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    found: list[dict[str, Any]] = json.loads(ran.stdout)["generalDiagnostics"]
    errors = [error for error in found if error["severity"] == "error"]
    return {(Path(e["file"]).relative_to(folder.resolve()).as_posix(), e["range"]["start"]["line"] + 1) for e in errors}


def _run(module: str, arguments: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=50)


@pytest.fixture(params=[mypy, pyright], ids=["mypy", "pyright"])
def checker(request: pytest.FixtureRequest) -> Checker:
    found: Checker = request.param
    return found


def test_what_users_write_passes_without_an_ignore(checker: Checker, tmp_path: Path) -> None:
    (tmp_path / "box_office.py").write_text(program_of(README), "utf-8")
    shutil.copy(HERE / "surface.py", tmp_path)
    shutil.copytree(
        ROOT / "examples" / "shop", tmp_path / "examples" / "shop", ignore=shutil.ignore_patterns("__pycache__", "demo")
    )
    (tmp_path / "examples" / "__init__.py").touch()
    for file in tmp_path.rglob("*.py"):
        assert not re.search(r"#\s*(type:\s*ignore|pyright:)|\bcast\(", file.read_text("utf-8")), file
    assert checker(tmp_path) == set()


def test_mistakes_are_seen_before_the_program_runs(checker: Checker, tmp_path: Path) -> None:
    text = (HERE / "wrong.txt").read_text("utf-8")
    (tmp_path / "wrong.py").write_text(text, "utf-8")
    marked = {("wrong.py", number) for number, line in enumerate(text.splitlines(), 1) if "  # wrong:" in line}
    found = checker(tmp_path)
    missed, unmarked = sorted(marked - found), sorted(found - marked)
    assert not missed, "no error where one must be"
    assert not unmarked, "an error where none should be"


async def test_the_surface_also_runs() -> None:
    await surface.use()


def test_the_blocking_surface_also_runs() -> None:
    surface.use_blocking()
