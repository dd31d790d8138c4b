"""What the pages show of a terminal is what a terminal shows: `deedlog …` and `curl …`, on the README's program."""

import os
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.pages import README, ROOT, blocks_of, name_of, program_of

HTTP, CLI = ROOT / "docs" / "http.md", ROOT / "docs" / "cli.md"
HOW_TOS = [ROOT / "docs" / "how-to" / f"{name}.md" for name in ("dead-letters", "rebuild-verify-repair")]
NAMED = r'App\("(\w+)"'
DEEDLOG = [sys.executable, "-m", "deedlog.ops.cli"]
_VARYING = (
    (re.compile(r"\bd1\.[0-9a-f]{8}\b"), "d1.<store>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"(127\.0\.0\.1|localhost):\d+"), "<server>"),
    (re.compile(r"\s+"), " "),
)


def same(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    return text.strip()


def console_of(page: Path) -> Iterator[tuple[str, str]]:
    """Each command of the page's `console` blocks, with what is shown below it."""
    for block in blocks_of(page):
        if block.language == "console":
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, _, shown = part.partition("\n")
                yield command, shown


def environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DEEDLOG_")}
    return clean | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}", "PYTHONWARNINGS": "error"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "box_office.py").write_text(program_of(README), "utf-8")
    return tmp_path


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, str]]:
    """The greeting and the address of a service on a free port."""
    command = [*DEEDLOG, "serve", "--app", "box_office:app", "--port", "0"]
    server = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        greeting = server.stdout.readline()
        found = re.search(r"http://(127\.0\.0\.1:\d+)", greeting)
        assert found, greeting
        yield greeting, found[1]
    finally:
        server.terminate()
        server.stdout.close()
        server.wait(20)


def curl(command: str, address: str, token: str) -> str:
    """Does what curl would: the body. The page's token is that of another store; `token` is of this one."""
    words = iter(shlex.split(command)[1:])
    url, headers, body = "", {}, None
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value.replace("d1.5f0c2a11", token)
        elif word == "-d":
            body = next(words).encode()
        elif word != "-s":
            url = word
    request = urllib.request.Request("http://" + url.replace("localhost:8000", address), data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return str(error.read().decode())


@pytest.mark.parametrize("page", [README, HTTP], ids=["README.md", "docs/http.md"])
def test_the_service_answers_as_shown(page: Path, folder: Path) -> None:
    if page == README:  # it is run before it is served
        subprocess.run([sys.executable, "box_office.py"], cwd=folder, env=environment(), check=True, capture_output=True)
    commands = list(console_of(page))
    assert sum(command.startswith("curl ") for command, _ in commands) >= 3
    token = ""
    with served(folder) as (greeting, address):
        for command, shown in commands:
            if command.startswith("curl "):
                answer = curl(command, address, token)
                assert same(answer) == same(shown), command
                token = (re.findall(r"d1\.[0-9a-f]+", answer) or [token])[0]
            else:
                assert command == "deedlog serve --app box_office:app"
                assert same(greeting) == same(shown)


@pytest.mark.parametrize("page", [CLI, *HOW_TOS], ids=name_of)
def test_the_command_line_prints_as_shown(page: Path, folder: Path) -> None:
    if page == CLI:
        subprocess.run([sys.executable, "box_office.py"], cwd=folder, env=environment(), check=True, capture_output=True)
    else:  # a program of its own, in a file named like its app
        program = program_of(page)
        (folder / f"{re.findall(NAMED, program)[0]}.py").write_text(program, "utf-8")
    variables = environment()
    for command, shown in console_of(page):
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            variables[name] = value
            continue
        ran = subprocess.run(
            command, check=False, shell=True, cwd=folder, env=variables, capture_output=True, text=True, timeout=30
        )
        assert ran.returncode == 0, ran.stderr
        assert same(ran.stdout) == same(shown), command
