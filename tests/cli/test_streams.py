"""`deedlog streams`: list and show."""

import json

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
    assert list(first) == ["stream", "version", "events", "next_after"]
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
