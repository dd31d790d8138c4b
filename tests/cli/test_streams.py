"""`deedlog streams`: list and show."""

import json
from typing import Any

import pytest

from tests.cli.conftest import STORE, Fill, Run


def test_a_pipe_gets_one_line_per_stream(run: Run, fill: Fill) -> None:
    fill(2)
    lines = [line.split("\t") for line in run("streams", "list", "--store", STORE).stdout.splitlines()]
    assert [line[:3] for line in lines] == [["note-n0", "2", "2"], ["note-n1", "2", "4"]]


def test_json_pages_by_name(run: Run, fill: Fill) -> None:
    fill(3)
    first = json.loads(run("streams", "list", "--store", STORE, "--limit", "2", "--json").stdout)
    assert [stream["stream"] for stream in first["streams"]] == ["note-n0", "note-n1"]
    assert list(first["streams"][0]) == ["stream", "version", "last_position", "recorded_at"]
    last = json.loads(run("streams", "list", "--store", STORE, "--after", first["next_after"], "--json").stdout)
    assert [stream["stream"] for stream in last["streams"]] == ["note-n2"]
    assert last["next_after"] is None


def test_a_prefix_keeps_what_starts_with_it(run: Run, fill: Fill) -> None:
    fill(3)
    assert run("streams", "list", "--store", STORE, "--prefix", "note-n1").stdout.startswith("note-n1\t")
    assert run("streams", "list", "--store", STORE, "--prefix", "order").stdout == ""


def test_show_pages_by_version(run: Run, fill: Fill) -> None:
    fill(2)
    first = json.loads(run("streams", "show", "note-n1", "--store", STORE, "--limit", "1", "--json").stdout)
    assert list(first) == ["stream", "version", "events", "next_after", "closed"]
    assert (first["stream"], first["version"], first["next_after"]) == ("note-n1", 2, 1)
    last = json.loads(run("streams", "show", "note-n1", "--store", STORE, "--after", "1", "--json").stdout)
    assert [event["name"] for event in last["events"]] == ["Rewritten"]
    assert last["next_after"] is None


def test_show_in_a_pipe_has_the_lines_of_events_read(run: Run, fill: Fill) -> None:
    fill(2)
    assert (
        run("streams", "show", "note-n1", "--store", STORE).stdout
        == run("events", "read", "--stream", "note-n1", "--store", STORE).stdout
    )


def test_an_unknown_stream_names_those_near_it(run: Run, fill: Fill) -> None:
    fill(2)
    result = run("streams", "show", "note-1", "--store", STORE)
    assert result.exit_code == 1
    assert result.stderr == "error: there is no stream 'note-1'\nfix: near it: note-n0, note-n1\n"
    assert "`deedlog streams list` shows all" in run("streams", "show", "zzz", "--store", STORE).stderr


def shown(run: Run, *options: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run("streams", "show", "note-n1", "--store", STORE, "--json", *options).stdout)
    return document


def names(document: dict[str, Any]) -> list[str]:
    return [event["name"] for event in document["events"]]


def test_a_stream_is_shown_as_it_was_at_a_version(run: Run, fill: Fill) -> None:
    fill(2)
    document = shown(run, "--version", "1")
    assert (document["version"], names(document)) == (1, ["Written"])


def test_a_stream_is_shown_as_it_was_at_a_position_of_the_log(run: Run, fill: Fill) -> None:
    fill(2)
    assert [shown(run, "--at", at)["version"] for at in ("2", "3", "4", "99")] == [0, 1, 2, 2]


def test_a_stream_is_shown_as_it_was_at_a_time(run: Run, fill: Fill) -> None:
    fill(2)
    first = shown(run)["events"][0]["recorded_at"]
    assert names(shown(run, "--at", first)) == ["Written"]
    assert names(shown(run, "--at", "2020-01-01T00:00:00Z")) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--at", "2026-01-31T09:30:00"], "has no time zone: write 2026-01-31T09:30:00Z"),
        (["--at", "yesterday"], "is neither a position nor a time"),
        (["--at", "1", "--version", "1"], "exclude each other"),
        (["--version", "0"], "'0' is not a whole number from 1 on"),
    ],
)
def test_a_moment_that_can_not_be_is_wrong_usage(run: Run, fill: Fill, options: list[str], words: str) -> None:
    fill(2)
    result = run("streams", "show", "note-n1", "--store", STORE, *options)
    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr


def test_a_version_that_the_stream_never_had_is_said(run: Run, fill: Fill) -> None:
    fill(2)
    result = run("streams", "show", "note-n1", "--store", STORE, "--version", "3")
    assert (result.exit_code, result.stderr) == (1, "error: stream 'note-n1' has 2 events, not 3\nfix: --version 1 to 2\n")


CLOSE = ("streams", "close", "note-n1", "--store", STORE, "--by", "ann", "--why", "moved")


def test_a_closed_stream_says_by_whom_and_why_and_keeps_its_events(run: Run, fill: Fill) -> None:
    fill(2)
    result = run(*CLOSE, input="note-n1\n")
    assert result.exit_code == 0
    assert result.stdout.startswith("note-n1 is closed at version 2, by ann at 2")
    assert result.stdout.endswith(": moved\n")
    document = shown(run)
    assert list(document["closed"]) == ["version", "by", "why", "at"]
    assert (document["closed"]["by"], document["closed"]["why"], len(document["events"])) == ("ann", "moved", 2)


def test_closing_twice_says_who_was_first(run: Run, fill: Fill) -> None:
    fill(2)
    assert run(*CLOSE, "--yes").exit_code == 0
    again = run("streams", "close", "note-n1", "--store", STORE, "--by", "bob", "--why", "again")
    assert (again.exit_code, "by ann at" in again.stdout) == (0, True)


@pytest.mark.parametrize("options", [["--dry-run"], []], ids=["dry run", "not confirmed"])
def test_a_stream_that_is_not_confirmed_stays_open(run: Run, fill: Fill, options: list[str]) -> None:
    fill(2)
    run(*CLOSE, *options, input="no\n")
    assert shown(run)["closed"] is None


def test_a_stream_that_is_not_there_is_not_closed(run: Run, fill: Fill) -> None:
    fill(2)
    result = run("streams", "close", "note-1", "--store", STORE, "--why", "moved", "--yes")
    assert (result.exit_code, result.stderr.partition("\n")[0]) == (1, "error: there is no stream 'note-1'")
