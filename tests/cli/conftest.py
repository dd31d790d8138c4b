"""A small service in a folder of its own, and ways to run the command line on it: in this process, and as a program."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result

from deedlog.ops.cli import main
from deedlog.ops.find_app import load

NOTES = """
from deedlog import Aggregate, App, Command, Event, Query, Reader, ReadModel, decide, evolve, on, starts

app = App("notes")


class Write(Command):
    note_id: str
    text: str


class Written(Event):
    note_id: str
    text: str


class Rewrite(Command):
    note_id: str
    text: str


class Rewritten(Event):
    note_id: str
    text: str


@app.aggregate(key="note_id")
class Note(Aggregate):
    @decide
    def write(self, command: Write) -> Written:
        return Written(command.note_id, command.text)

    @decide
    def rewrite(self, command: Rewrite) -> Rewritten:
        return Rewritten(command.note_id, command.text)

    @evolve
    def changed(self, event: Written | Rewritten) -> None:
        pass


@app.read_model(key="note_id")
class NoteView(ReadModel):
    note_id: str
    text: str

    @starts
    @classmethod
    def written(cls, event: Written) -> "NoteView":
        return cls(event.note_id, event.text)

    @on
    def rewritten(self, event: Rewritten) -> None:
        self.text = event.text


class GetNote(Query[NoteView]):
    note_id: str


@app.query
async def get_note(query: GetNote, notes: Reader[NoteView]) -> NoteView:
    return await notes.get(query.note_id)
"""

BROKEN = NOTES.replace("self.text = event.text", 'self.text = {}["gone"]')
"""Rewritten fails, so that it parks its note."""
CHANGED = NOTES.replace("    text: str\n\n    @starts", "    text: str | None\n\n    @starts")
"""A read model of another definition."""

SPEC = "notes:app"
STORE = "sqlite:///notes.db"
Run: TypeAlias = Callable[..., Result]
Fill: TypeAlias = Callable[..., None]
Program: TypeAlias = Callable[..., AbstractContextManager["subprocess.Popen[str]"]]


def _forget(folder: Path) -> None:
    """The modules of a test's folder: the next command line imports them anew, as a new process would."""
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{folder}{os.sep}"):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder: notes.py and nothing else."""
    (tmp_path / "notes.py").write_text(NOTES, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("DEEDLOG_APP", "DEEDLOG_STORE"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    _forget(tmp_path)


@pytest.fixture
def run(folder: Path) -> Run:
    """Runs the command line in this process; unexpected exceptions come through."""

    def run(*args: str, input: str | None = None, env: dict[str, str] | None = None) -> Result:
        _forget(folder)
        return CliRunner().invoke(main, args, input=input, env=env, catch_exceptions=False, prog_name="deedlog")

    return run


def status(run: Run, *options: str) -> tuple[int, dict[str, object]]:
    """The exit code of `projections status`, and what it says of the only projection."""
    result = run("projections", "status", "--app", SPEC, "--json", *options)
    document = json.loads(result.stdout)
    assert list(document) == ["head", "projections"]
    (only,) = document["projections"]
    return result.exit_code, only


@pytest.fixture
def fill(folder: Path) -> Fill:
    """Writes `count` notes and rewrites each: two events per note, n0 first."""

    def fill(count: int, *, first: int = 0, projections: bool = False) -> None:
        _forget(folder)
        asyncio.run(_fill(range(first, first + count), projections))

    return fill


async def _fill(numbers: range, projections: bool) -> None:
    app = load(SPEC)
    notes = sys.modules["notes"]
    await app.start(projections=projections)
    try:
        for number in numbers:
            await app.execute(notes.Write(f"n{number}", f"text {number}"))
            await app.execute(notes.Rewrite(f"n{number}", f"new {number}"))
        if projections:
            await app.catch_up()
    finally:
        await app.stop()


@pytest.fixture
def program(folder: Path) -> Program:
    """Starts the command line as a process; it is killed when the `with` ends."""

    @contextmanager
    def program(*args: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE) -> Iterator["subprocess.Popen[str]"]:
        command = [sys.executable, "-P", "-W", "error", "-m", "deedlog.ops.cli", *args]
        with subprocess.Popen(command, cwd=folder, text=True, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr) as process:
            try:
                yield process
            finally:
                process.kill()

    return program
