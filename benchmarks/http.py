"""A command by HTTP POST, stored durably, against a bare Starlette POST that reads and answers JSON and stores nothing.

Both are server processes on loopback; the same client, in a process of its own, sends to one and then to the other.
"""

import asyncio
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import starlette
import uvicorn

from benchmarks.harness import ROOT, Case, Options, compare, options, report, workspace

CONNECTIONS = 32


async def main(asked: Options, folder: Path) -> None:
    requests = asked.pick(6_400, 320)
    path, apart = str(folder / "parcels.db"), str(folder / "apart.db")
    async with server("bare") as bare, server("deedlog", path) as ours, server("commands-only", apart) as commands:
        results = await compare(
            asked,
            [
                Case("POST a command", loaded(bare, requests), loaded(ours, requests), 0.7),
                Case("POST a command, no projection", loaded(bare, requests), loaded(commands, requests)),
            ],
        )
    settings = {
        "connections": CONNECTIONS,
        "requests_per_round": requests,
        "workers": 1,
        "server": f"uvicorn {uvicorn.__version__}, httptools, uvloop; starlette {starlette.__version__}",
        "commands": "each starts an aggregate; in the first case the server also moves a projection",
        "synchronous": "FULL",
    }
    report("http", "requests/s", asked, results, settings)


@asynccontextmanager
async def server(*words: str) -> AsyncIterator[int]:
    """The port of a server process, ended afterwards."""
    running = await _python("benchmarks.servers", *words)
    try:
        yield int(await _line(running))
    finally:
        if running.returncode is None:
            running.terminate()
        await running.wait()


def loaded(port: int, requests: int) -> Callable[[], Awaitable[float]]:
    runs = count(1)

    async def measure() -> float:
        client = await _python("benchmarks.load", str(port), str(CONNECTIONS), str(requests), str(next(runs)))
        rate = float(await _line(client))
        await client.wait()
        return rate

    return measure


async def _python(module: str, *words: str) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", module, *words, cwd=ROOT, stdout=subprocess.PIPE)


async def _line(process: Process) -> str:
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode().strip()
    if not line:
        raise RuntimeError(f"a process of the benchmark ended with {await process.wait()}")
    return line


if __name__ == "__main__":
    given = options(__doc__)
    with workspace(given) as data:
        asyncio.run(main(given, data))
