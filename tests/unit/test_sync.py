"""`app.sync`: from scripts, from threads, beside a running loop; interrupted, forked, stopped and started again."""

import asyncio
import inspect
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deedlog import App, Command, Misuse, Query, Refused, Unavailable, WrongExpectedVersion
from deedlog.sync import Sync
from tests.docs.pages import ROOT
from tests.faults.bank import Deposit, GetBalance, Open, bank_app

WAIT = 10.0
THREADS = 32


@pytest.fixture
def app(tmp_path: Path) -> App:
    return bank_app(f"sqlite:///{tmp_path / 'bank.db'}")


def rows_of(app: App, statement: str) -> list[Any]:
    with closing(sqlite3.connect(app.url.removeprefix("sqlite:///"))) as connection:
        return connection.execute(statement).fetchall()


def portals() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "deedlog bank"]


def script(text: str, path: Path) -> "subprocess.CompletedProcess[str]":
    """Runs a program of its own, with `app` on the file `path`."""
    head = "import sys\nfrom tests.faults.bank import *\napp = bank_app(f'sqlite:///{sys.argv[1]}')\n"
    command = [sys.executable, "-W", "error", "-c", head + text, str(path)]
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=30)


def test_a_command_and_a_query_without_an_event_loop(app: App) -> None:
    with app.sync as bank:
        receipt = bank.execute(Open("a", "Ann"), id="c1", actor="ann")
        assert bank.execute(Open("a", "Ann"), id="c1") == receipt
        assert bank.ask(GetBalance("a"), after=receipt.token).value.owner == "Ann"
    assert rows_of(app, "select count(*) from deedlog_events") == [(1,)]


def test_a_with_block_ends_with_the_app_stopped_and_its_loop_gone(app: App) -> None:
    with app.sync:
        assert len(portals()) == 1
    assert portals() == []
    with pytest.raises(Unavailable, match="not started"):
        app.running  # noqa: B018


def test_after_a_stop_it_starts_again(app: App) -> None:
    app.sync.execute(Open("a", "Ann"))
    app.sync.stop()
    app.sync.stop()
    assert app.sync.execute(Deposit("a", Decimal(1))).version == 2
    app.sync.stop()


def test_a_stop_before_any_use_starts_nothing(app: App) -> None:
    app.sync.stop()
    assert portals() == []


def test_catch_up_and_rebuild(app: App) -> None:
    seen: list[tuple[int, int]] = []
    with app.sync:
        app.sync.execute(Open("a", "Ann"))
        app.sync.catch_up()
        assert app.sync.ask(GetBalance("a")).freshness.behind_events == 0
        built = app.sync.rebuild("Balance", lambda position, head: seen.append((position, head)))
    assert (built.position, seen) == (1, [(1, 1)])


def test_started_without_projections_it_moves_no_read_model(app: App) -> None:
    app.sync.start(projections=False)
    assert not app.running.projecting
    app.sync.stop()


def test_threads_share_one_loop_and_their_commands_share_commits(app: App) -> None:
    all_there = threading.Barrier(THREADS)

    def caller(number: int) -> None:
        all_there.wait(WAIT)
        app.sync.execute(Open(f"a{number}", "Ann"))
        for _ in range(9):
            app.sync.execute(Deposit(f"a{number}", Decimal(1)))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(caller, range(THREADS)))
    assert len(portals()) == 1
    app.sync.stop()
    ((events, commits),) = rows_of(app, "select count(*), count(distinct recorded_at) from deedlog_events")
    assert events == THREADS * 10
    assert commits <= events / 4


def test_a_stop_while_threads_send_commands_loses_none_that_was_answered(app: App) -> None:
    """Each thread sends until the stop; a call then either has its receipt, or says that it does not know."""
    app.sync.start()
    enough = threading.Barrier(9)

    def caller(number: int) -> list[str]:
        done: list[str] = []
        while len(done) < 2_000:
            try:
                done.append(app.sync.execute(Open(f"a{number}-{len(done)}", "Ann")).command_id)
            except Unavailable:
                break
            if len(done) == 20:
                enough.wait(WAIT)
            if len(done) > 20 and stopped.is_set():
                break
        return done

    stopped = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(caller, number) for number in range(8)]
        enough.wait(WAIT)
        app.sync.stop()
        stopped.set()
        answered = [id for call in calls for id in call.result(WAIT)]
    app.sync.stop()  # a call after the stop has started it again
    stored = {id for (id,) in rows_of(app, "select json_extract(metadata, '$.causation_id') from deedlog_events")}
    assert set(answered) <= stored


async def test_from_threads_while_the_app_runs_on_somebodys_loop(app: App) -> None:
    async with app:
        receipts = await asyncio.gather(*(asyncio.to_thread(app.sync.execute, Open(f"a{n}", "Ann")) for n in range(8)))
        assert portals() == []
        answer = await app.ask(GetBalance("a7"), after=max(receipts, key=lambda receipt: receipt.position).token)
        assert answer.value.owner == "Ann"


async def test_a_stop_from_a_thread_stops_what_runs_on_somebodys_loop(app: App) -> None:
    await app.start()
    await asyncio.to_thread(app.sync.stop)
    with pytest.raises(Unavailable, match="not started"):
        app.running  # noqa: B018


async def test_a_plain_command_handler_may_send_further_commands(app: App) -> None:
    class OpenBoth(Command):
        accounts: list[str]

    @app.command_handler
    def open_both(command: OpenBoth) -> None:
        for account in command.accounts:
            app.sync.execute(Open(account, "Ann"))

    async with app:
        await app.execute(OpenBoth(["a", "b"]))
        assert await app.running.store.head() == 2


async def test_in_a_running_loop_it_refuses_and_says_what_to_write(app: App) -> None:
    with pytest.raises(Misuse, match=r"await app\.execute\(…\)` here"):
        app.sync.execute(Open("a", "Ann"))
    with pytest.raises(Misuse, match=r"await app\.stop\(…\)` here"):
        app.sync.stop()
    assert portals() == []


def test_a_loop_that_stands_still_is_refused(app: App) -> None:
    with asyncio.Runner() as runner:
        runner.run(app.start())
        with pytest.raises(Misuse, match="does not run now"):
            app.sync.execute(Open("a", "Ann"))
        runner.run(app.stop())


async def _never(at: threading.Event) -> None:
    at.set()
    await asyncio.get_running_loop().create_future()


class Wait(Query[None]):
    pass


def waiting(app: App) -> tuple[Callable[[], Any], threading.Event]:
    """A call that waits for ever, and an event for when it does."""
    inside = threading.Event()

    @app.query
    async def wait(query: Wait) -> None:
        await _never(inside)

    return lambda: app.sync.ask(Wait()), inside


def test_a_loop_that_ends_during_a_call_ends_the_call(app: App) -> None:
    call, inside = waiting(app)

    async def until_it_waits() -> None:
        await app.start()
        started.set()
        await asyncio.to_thread(inside.wait, WAIT)

    started = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: (started.wait(WAIT), call()))
        asyncio.run(until_it_waits())
        with pytest.raises(Unavailable, match="stopped during the call"):
            running.result(WAIT)


def test_a_stop_ends_a_call_that_waits(app: App) -> None:
    call, inside = waiting(app)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(call)
        inside.wait(WAIT)
        app.sync.stop()
        with pytest.raises(Unavailable, match="stopped during the call"):
            running.result(WAIT)


def test_an_interrupted_call_is_cancelled_and_does_not_hang(app: App) -> None:
    cancelled, inside = threading.Event(), threading.Event()

    @app.query
    async def wait(query: Wait) -> None:
        try:
            await _never(inside)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def interrupt() -> None:
        inside.wait(WAIT)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            app.sync.ask(Wait())
    assert cancelled.wait(WAIT)
    assert app.sync.execute(Open("a", "Ann")).version == 1
    app.sync.stop()


def test_errors_keep_type_and_data_and_show_the_way_from_caller_to_rule(app: App) -> None:
    with app.sync:
        app.sync.execute(Open("a", "Ann"))
        with pytest.raises(Refused) as caught:
            app.sync.execute(Open("a", "Bob"))
    assert caught.value.code == "account_open"
    names = [frame.name for frame in traceback.extract_tb(caught.tb)]
    assert names[0] == "test_errors_keep_type_and_data_and_show_the_way_from_caller_to_rule"
    assert "open" in names
    files = {Path(frame.filename).name for frame in traceback.extract_tb(caught.tb)}
    assert not files & {"_base.py", "futures.py"}, "frames of the machinery between"


def test_errors_keep_their_attributes(app: App) -> None:
    @app.query
    async def wait(query: Wait) -> None:
        raise WrongExpectedVersion("account-a", "1", 2)

    with app.sync, pytest.raises(WrongExpectedVersion) as caught:
        app.sync.ask(Wait())
    assert (caught.value.stream, caught.value.expected, caught.value.actual) == ("account-a", "1", 2)


def test_a_script_that_ends_without_a_stop_has_stored_and_stopped(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    ran = script("app.sync.execute(Open('a', 'Ann'))\nprint(app.sync.ask(GetBalance('a'), max_staleness=0).value.owner)", path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "Ann\n", "")
    assert not path.with_name("bank.db-wal").exists(), "the last connection was not closed"


def test_a_script_that_ends_with_an_error_has_stored_and_stopped(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    ran = script("app.sync.execute(Open('a', 'Ann'))\nraise SystemExit(3)", path)
    assert (ran.returncode, ran.stderr) == (3, "")
    assert not path.with_name("bank.db-wal").exists()


FORK = """
import os

def child():
    try:
        print(app.sync.execute(Deposit("a", Decimal(1))).version, flush=True)
    except Exception as error:
        print(error, flush=True)

app.sync.execute(Open("a", "Ann"))
{between}
pid = os.fork()
if pid == 0:
    child()
    sys.exit(0)
os.waitpid(pid, 0)
print(app.sync.execute(Deposit("a", Decimal(1))).version)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_forked_while_the_app_runs_is_told_what_to_do(tmp_path: Path) -> None:
    ran = script(FORK.format(between=""), tmp_path / "bank.db")
    assert (ran.returncode, ran.stderr) == (0, "")
    said, parent = ran.stdout.splitlines()
    assert "stop it before the fork" in said
    assert parent == "2"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_forked_after_a_stop_has_a_loop_of_its_own(tmp_path: Path) -> None:
    ran = script(FORK.format(between="app.sync.stop()"), tmp_path / "bank.db")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "2\n3\n", "")


def test_every_method_that_is_awaited_has_its_blocking_twin() -> None:
    """Same name, same parameters: add a method to Sync when you add one to App."""
    awaited = {
        name: function
        for name, function in vars(App).items()
        if inspect.iscoroutinefunction(function) and not name.startswith("_")
    }
    for name, function in awaited.items():
        twin = getattr(Sync, name, None)
        assert twin is not None, f"App.{name} has no twin: add it to src/deedlog/sync.py"
        assert inspect.signature(twin).parameters == inspect.signature(function).parameters, name
