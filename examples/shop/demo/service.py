"""The shop as a process of its own, on a SQLite file; started, killed and started again."""

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from examples.shop.demo.client import Client

ROOT = Path(__file__).parents[3]
START_SECONDS = 60.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.02


class ServiceDied(Exception):
    """The service ended, or did not get ready. The message has the end of its log."""


class Service:
    """`deedlog serve` on a free port of this machine. Leaving the context ends the process, whatever has happened."""

    def __init__(self, database: Path, log: Path) -> None:
        self.database = database
        self.port = _free_port()
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._running().pid

    async def start(self) -> float:
        """Starts the process; after how many seconds it was ready. Raises ServiceDied."""
        started = time.perf_counter()
        self._spawn()
        async with Client(self.port) as client:
            while not await client.is_ready():
                self.require_alive()
                if time.perf_counter() - started > START_SECONDS:
                    raise ServiceDied(f"the service was not ready after {START_SECONDS:.0f} s\n{self.log_tail()}")
                await asyncio.sleep(POLL_SECONDS)
        self.require_alive()  # not that somebody else answers on this port
        return time.perf_counter() - started

    def _spawn(self) -> None:
        command = [_deedlog(), "serve", "--app", "examples.shop.app:app", "--host", "127.0.0.1", "--port", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--store", f"sqlite:///{quote(str(self.database.resolve()))}"],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def require_alive(self, grace: float = 0.0) -> None:
        """Raises ServiceDied when the process has ended, or does so within `grace` seconds."""
        with suppress(subprocess.TimeoutExpired):
            code = self._running().wait(grace)
            raise ServiceDied(f"the service has ended with exit code {code}\n{self.log_tail()}")

    def kill(self) -> int:
        """`kill -9`, at once and with no warning; the pid that it had."""
        process = self._running()
        process.kill()
        process.wait()
        self._process = None
        return process.pid

    def stop(self) -> None:
        """Asks the process to end, and makes it when it does not."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except BaseException:  # also a second Ctrl-C: nothing may be left running
            process.kill()
            process.wait()
            raise

    def log_tail(self) -> str:
        """The last lines that the process has written."""
        lines = self._log.read_text("utf-8", "replace").splitlines() if self._log.exists() else []
        return "\n".join(f"  | {line}" for line in lines[-40:]) or "  | (its log is empty)"

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise ServiceDied("the service is not started")
        return self._process


def _deedlog() -> str:
    """The command beside this Python."""
    found = shutil.which("deedlog", path=str(Path(sys.executable).parent)) or shutil.which("deedlog")
    if found is None:
        raise ServiceDied("there is no `deedlog` command (pip install -e '.[http]')")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
