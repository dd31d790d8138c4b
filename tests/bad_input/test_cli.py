"""Bad input on the command line: an exit code, `error:` and `fix:` (or how to use it), no traceback, and nothing stored (P10)."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result

from deedlog.ops.cli import main
from tests.bad_input.boxes import BAD_KEYS, GOOD_KEYS, Fill, open_boxes, stored

Run: TypeAlias = Callable[..., Result]


async def _fill(path: Path) -> None:
    async with open_boxes(path) as app:
        for name, key in GOOD_KEYS.items():
            await app.execute(Fill(key, name))
        await app.catch_up()


@pytest.fixture
def run(path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line on a file with the good boxes; checks that it is left as it was."""
    for name in ("DEEDLOG_APP", "DEEDLOG_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(path.parent)
    asyncio.run(_fill(path))
    before = stored(path)

    def run(*args: str, store: str = f"sqlite:///{path}") -> Result:
        result = CliRunner().invoke(main, args, env={"DEEDLOG_STORE": store}, catch_exceptions=False, prog_name="deedlog")
        assert stored(path) == before
        return result

    return run


NUMBERS = ["-1", "x", "", "1.5", "1e3", "9223372036854775808", "9" * 5_000, "\u00b2", "1_0\0", "nan"]
VERBS = {
    "read after": ("events", "read", "--after"),
    "read limit": ("events", "read", "--limit"),
    "tail after": ("events", "tail", "--limit", "1", "--after"),
    "tail limit": ("events", "tail", "--from-start", "--limit"),
    "show": ("events", "show", "--"),
    "list limit": ("streams", "list", "--limit"),
    "stream after": ("streams", "show", "box-a", "--after"),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("number", NUMBERS, ids=[f"number {place}" for place in range(len(NUMBERS))])
def test_a_number_that_is_none_is_wrong_usage(run: Run, verb: str, number: str) -> None:
    result = run(*VERBS[verb], number)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is not a whole number" in result.stderr


@pytest.mark.parametrize("name", [*BAD_KEYS.values(), "'; --", "%", "_"], ids=[*BAD_KEYS, "SQL", "like", "like one"])
def test_a_stream_that_is_not_there_is_said(run: Run, name: str) -> None:
    result = run("streams", "show", "--", f"other-{name}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert "\nfix: " in result.stderr
    assert all(line.isprintable() for line in result.stderr.splitlines())


@pytest.mark.parametrize(
    "args",
    [
        ("streams", "show", "a\udcff"),
        ("events", "read", "--type", "\udcff"),
        ("--store", "\udcff", "streams", "list"),
        ("\udcff",),
    ],
)
def test_an_argument_that_is_no_text_is_wrong_usage(run: Run, args: tuple[str, ...]) -> None:
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "\\udcff' is not UTF-8" in result.stderr


@pytest.mark.parametrize("case", GOOD_KEYS)
def test_each_stream_is_shown_by_its_own_name(run: Run, case: str) -> None:
    result = run("streams", "show", "--", f"box-{GOOD_KEYS[case]}")
    assert result.exit_code == 0
    assert [f'"text":"{case}"' in line for line in result.stdout.splitlines()] == [True]


@pytest.mark.parametrize("option", ["--stream", "--category", "--type"])
@pytest.mark.parametrize("name", ["\0", "a\nb", "x" * 100_000, "'"], ids=["NUL", "newline", "long", "quote"])
def test_a_filter_that_nothing_can_have_finds_nothing(run: Run, option: str, name: str) -> None:
    result = run("events", "read", option, name)
    assert (result.exit_code, result.stdout) == (0, "")


STORES = {
    "a word": "x",
    "no file": "sqlite://",
    "a host": "sqlite://host/file.db",
    "not there": "sqlite:///nowhere/at/all.db",
    "a folder": "sqlite:////",
    "unknown": "oracle://x",
    "memory": "memory://",
    "NUL": "sqlite:///a%00b.db",
    "brackets": "sqlite://[x/a.db",
    "no database": "sqlite:///text.db",
}


@pytest.mark.parametrize("case", STORES)
def test_a_store_that_is_none_is_refused(run: Run, path: Path, case: str) -> None:
    path.with_name("text.db").write_text("this is no database" * 100, "utf-8")
    result = run("events", "read", "--store", STORES[case])
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith("error: ")
    assert "\nfix: " in result.stderr


@pytest.mark.parametrize(
    "spec", ["x", "x:y", ":", "a:", ":b", "os:path", "../x:app", "x y:z", "json:dumps", "\0:a", "a.b.c:d", "é:ü"]
)
def test_an_app_that_is_none_is_refused(run: Run, spec: str) -> None:
    result = run("check", "--app", spec)
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith("error: ")
    assert "\nfix: " in result.stderr
