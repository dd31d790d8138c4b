"""`deedlog serve` and `deedlog worker`: real processes, a real port."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import SPEC, STORE, Fill, Program, Run


def url_of(process: "subprocess.Popen[str]") -> str:
    """From the line it prints when it listens."""
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line.startswith("notes at http://127.0.0.1:"), line + process.stderr.read()
    return line.split()[2].rstrip(",")


def post(url: str, body: dict[str, Any]) -> dict[str, str]:
    """The headers of the answer."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return dict(answer.headers)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_until_a_signal_and_keeps_what_it_was_told(
    program: Program, run: Run, folder: Path, number: signal.Signals
) -> None:
    with program("serve", "--app", SPEC, "--port", "0") as service:
        url = url_of(service)
        post(f"{url}/commands/Write", {"note_id": "n1", "text": "hello"})
        with urllib.request.urlopen(f"{url}/docs", timeout=20) as page:
            assert page.status == 200
        service.send_signal(number)
        rest, errors = service.communicate()
        assert (service.returncode, rest, errors) == (0, "", "")
    assert run("streams", "list", "--store", STORE).stdout.startswith("note-n1\t1\t1\t")


def test_the_first_line_names_url_docs_and_store(program: Program) -> None:
    with program("serve", "--app", SPEC, "--port", "0", "--no-projections") as service:
        assert service.stdout is not None
        line = service.stdout.readline()
        url = line.split()[2].rstrip(",")
        assert f"{url}/docs" in line
        assert STORE in line
        assert "read models kept by `deedlog worker`" in line


def test_without_its_own_projections_a_worker_keeps_the_read_models(program: Program) -> None:
    with program("serve", "--app", SPEC, "--port", "0", "--no-projections") as service:
        url = url_of(service)
        post(f"{url}/commands/Write", {"note_id": "n1", "text": "hello"})
        with program("worker", "--app", SPEC) as worker:
            assert worker.stdout is not None
            assert worker.stderr is not None
            while worker.stdout.readline() != "NoteView\t1\t1\n":
                assert worker.poll() is None, worker.stderr.read()
            with urllib.request.urlopen(f"{url}/queries/GetNote?note_id=n1", timeout=20) as answer:
                assert "hello" in answer.read().decode()
            worker.send_signal(signal.SIGTERM)
            assert worker.wait() == 0


def test_the_access_log_has_a_line_per_request(program: Program) -> None:
    with program("serve", "--app", SPEC, "--port", "0", "--access-log") as service:
        url = url_of(service)
        post(f"{url}/commands/Write", {"note_id": "n1", "text": "hello"})
        service.terminate()
        _, errors = service.communicate()
        assert "POST /commands/Write" in errors


def test_a_port_in_use_is_an_error_in_one_line(run: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = run("serve", "--app", SPEC, "--port", str(port))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: port {port} on 127.0.0.1 is in use\nfix: ")


def test_an_address_of_another_machine_is_an_error_in_one_line(run: Run) -> None:
    result = run("serve", "--app", SPEC, "--host", "192.0.2.1", "--port", "0")
    assert result.exit_code == 1
    assert "fix: --host takes an address of this machine" in result.stderr


def test_a_wrong_store_is_an_error_in_one_line(run: Run, folder: Path) -> None:
    (folder / "notes.db").write_text("hello, this is no database at all\n", "utf-8")
    result = run("serve", "--app", SPEC, "--port", "0")
    assert result.exit_code == 1
    assert "is not a database" in result.stderr


@pytest.mark.parametrize("missing", ["uvicorn", "starlette"])
def test_without_the_extra_the_pip_line_is_said(run: Run, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "deedlog.http", raising=False)
    result = run("serve", "--app", SPEC, "--port", "0")
    assert result.exit_code == 1
    assert result.stderr == "error: this needs the extra 'http'\nfix: pip install 'deedlog[http]'\n"


def test_whoever_listens_to_strangers_is_told(program: Program) -> None:
    with program("serve", "--app", SPEC, "--host", "0.0.0.0", "--port", "0") as service:
        assert service.stderr is not None
        assert service.stderr.readline().startswith("note: whoever reaches 0.0.0.0 can send commands")


@pytest.mark.parametrize("verb", [("worker",), ("serve", "--no-projections")], ids=" ".join)
def test_memory_cannot_be_shared_between_processes(run: Run, verb: tuple[str, ...]) -> None:
    result = run(*verb, "--app", SPEC, "--store", "memory://")
    assert result.exit_code == 1
    assert "a memory:// store can't be shared" in result.stderr


def test_a_worker_that_runs_once_catches_up_and_ends(run: Run, fill: Fill) -> None:
    fill(3)
    result = run("worker", "--once", "--app", SPEC)
    assert (result.exit_code, result.stdout) == (0, "NoteView\t6\t6\n")


def test_a_worker_says_where_it_is_and_ends_well_on_ctrl_c(program: Program, fill: Fill) -> None:
    fill(1)
    with program("worker", "--app", SPEC) as worker:
        assert worker.stdout is not None
        while worker.stdout.readline() != "NoteView\t2\t2\n":
            assert worker.poll() is None
        worker.send_signal(signal.SIGINT)
        _, errors = worker.communicate()
        assert worker.returncode == 0
        assert errors == f"worker of notes: 1 projections on {STORE}; Ctrl-C ends\nNoteView: moved by this worker\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_of_two_workers_one_stands_by_and_takes_over(program: Program, fill: Fill, number: signal.Signals) -> None:
    fill(1)
    with program("worker", "--app", SPEC) as first:
        assert first.stderr is not None
        while first.stderr.readline() != "NoteView: moved by this worker\n":
            assert first.poll() is None
        with program("worker", "--app", SPEC) as second:
            assert second.stderr is not None
            assert second.stderr.readline().startswith("worker of notes")
            standing_by = second.stderr.readline()
            assert standing_by.startswith("NoteView: moved by ")
            assert standing_by.endswith(", this worker stands by\n")
            first.send_signal(number)
            assert first.wait() in (0, -signal.SIGKILL)
            assert second.stderr.readline() == "NoteView: moved by this worker\n"


def test_a_worker_that_runs_once_says_what_is_paused(run: Run, fill: Fill) -> None:
    fill(1, projections=True)
    assert run("projections", "pause", "NoteView", "--app", SPEC, "--by", "ann", "--why", "looking").exit_code == 0
    fill(1, first=1)
    result = run("worker", "--once", "--app", SPEC)
    assert result.exit_code == 4
    assert result.stderr == "error: NoteView is paused: ann: looking\nfix: `deedlog projections resume NoteView`\n"
