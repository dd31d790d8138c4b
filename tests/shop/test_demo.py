"""`make demo` as its users start it: a process, with a service process of its own."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHINOOK = "../shared/data/chinook/Chinook_Sqlite.sqlite"

pytestmark = pytest.mark.timeout(300)


def demo(tmp_path: Path, *arguments: str) -> "subprocess.Popen[str]":
    """The demo, started; its temporary files go below `tmp_path`."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "examples.shop.demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a whole run."""
    with demo(tmp_path, *arguments) as process:
        out, err = process.communicate()
        return process.returncode, out, err


@pytest.fixture
def chinook() -> str:
    if not (ROOT / CHINOOK).is_file():
        if os.environ.get("CI"):
            pytest.fail(f"{CHINOOK} is missing, and CI runs with it")
        pytest.skip(f"{CHINOOK} is not here")
    return CHINOOK


def test_a_generated_history_survives_the_kill_and_all_totals_agree(tmp_path: Path) -> None:
    code, out, err = run(tmp_path)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert re.fullmatch(r"totals agree: 2850 products, 300 customers, 540 orders, \d+ lines, \d+\.\d\d", lines[-1])
    assert_says(out, r"kill -9 of pid \d+ after [\d.]+ s: \d+ commands acknowledged, \d+ in flight")
    assert_says(out, r"nothing lost: \d+ commands acknowledged before the kill gave the identical receipt again")
    assert_says(out, r"nothing twice: 4650 commands, 4650 events")
    assert_says(out, r"second pass: \d+ commands/s, p50 [\d.]+ ms, p99 [\d.]+ ms, lag at most \d+ events, [\d.]+ s")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_chinook_ends_with_its_known_totals(tmp_path: Path, chinook: str) -> None:
    code, out, err = run(tmp_path, "--data", chinook)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "totals agree: 3503 products, 59 customers, 412 orders, 2240 lines, 2328.60"
    assert_says(out, r"nothing twice: 3974 commands, 3974 events")


def test_a_disagreement_is_named_and_exits_1(tmp_path: Path, chinook: str) -> None:
    """An invoice whose total is not the sum of its lines: the service, which adds up the lines, can't agree."""
    copy = tmp_path / "tampered.sqlite"
    shutil.copyfile(ROOT / chinook, copy)
    with closing(sqlite3.connect(copy)) as db:
        db.execute("update Invoice set Total = Total + 1 where InvoiceId = 7")
        db.commit()
    code, out, err = run(tmp_path, "--data", str(copy))
    assert code == 1
    assert "totals agree" not in out
    assert "totals disagree: revenue: the source says 2329.60, the service 2328.60" in err.splitlines()
    assert_says(err, r"totals disagree: order i7: .*'2\.98'.*'1\.98'")


def test_a_file_that_is_not_chinook_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as db:
        db.execute("create table Track (TrackId, Name, UnitPrice)")
    code, out, err = run(tmp_path, "--data", str(other))
    assert (code, out) == (1, "")
    assert "is not a Chinook database: it has no table Genre, no column Track.GenreId, no table Customer" in err


@pytest.mark.parametrize("content", [None, b"not a database, but long enough to be read as one" * 20])
def test_what_is_no_database_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.sqlite"
    if content is not None:
        path.write_bytes(content)
    code, out, err = run(tmp_path, "--data", str(path))
    assert (code, out) == (1, "")
    assert "there is no such file" in err or "file is not a database" in err


def test_kept_files_stay_and_are_not_overwritten(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    code, _, err = run(tmp_path, "--products", "20", "--keep", str(kept))
    assert (code, err) == (0, "")
    assert {path.name for path in kept.iterdir()} >= {"shop.db", "source.db", "service.log"}
    code, _, err = run(tmp_path / "kept", "--products", "20", "--keep", str(kept))
    assert code == 1
    assert "is there already" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_service_and_no_files(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with demo(tmp_path) as process:
        service = started(process)
        process.send_signal(number)
        process.communicate()
    assert process.returncode == code
    with pytest.raises(ProcessLookupError):
        os.kill(service, 0)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_service_that_dies_by_itself_is_reported_with_its_log(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        os.kill(started(process), signal.SIGKILL)
        _, err = process.communicate()
    assert process.returncode == 1
    assert "the service has ended with exit code -9" in err
    assert "shop at http://127.0.0.1:" in err


def started(process: "subprocess.Popen[str]") -> int:
    """The pid of the service, once the demo has said it."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.match(r"service: pid (\d+) ", line):
            return int(found[1])
    raise AssertionError(f"no service was started: {process.communicate()}")


def assert_says(text: str, pattern: str) -> None:
    assert re.search(pattern, text), text
