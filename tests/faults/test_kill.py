"""`kill -9` under load, again and again on one file: P1, P2, P4, P5, P6."""

import random
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.bank import bank_app, command_of

ROUNDS = 6
BANK = Path(__file__).with_name("bank.py")
Acknowledged = dict[str, tuple[str, int, int]]


def kill_under_load(path: Path, seed: str, after: int) -> Acknowledged:
    """Runs the child until it has acknowledged `after` commands, kills it, and returns all that it acknowledged."""
    child = subprocess.Popen([sys.executable, BANK, path, seed], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = []
    for line in child.stdout:
        lines.append(line)
        if len(lines) == after:
            child.kill()
    child.stdout.close()
    child.wait()
    assert len(lines) >= after, "the child ended by itself"
    words = [line.split() for line in lines if line.endswith("\n")]
    return {id: (stream, int(version), int(position)) for id, stream, version, position in words}


def rows_of(path: Path) -> list[Any]:
    with sqlite3.connect(path) as connection:
        rows = [connection.execute(f"select * from {name} order by 1").fetchall() for name in ("balance", "owner_total")]
    connection.close()
    return rows


@pytest.mark.timeout(180)
async def test_nothing_acknowledged_is_lost_and_nothing_happens_twice(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    dice = random.Random(20261124)
    acknowledged: Acknowledged = {}
    for number in range(ROUNDS):
        acknowledged |= kill_under_load(path, f"r{number}", dice.randrange(1, 900))

    connection = sqlite3.connect(path)
    log = connection.execute("select position, stream, version from deedlog_events order by position").fetchall()
    connection.close()
    assert [position for position, _, _ in log] == list(range(1, len(log) + 1))
    heads: dict[str, int] = {}
    for _, stream, version in log:
        assert version == heads.get(stream, 0) + 1
        heads[stream] = version
    stored = {(stream, version) for _, stream, version in log}
    assert all((stream, version) in stored for stream, version, _ in acknowledged.values() if version)

    async with bank_app(f"sqlite:///{path}") as app:
        for id, (stream, version, position) in acknowledged.items():
            receipt = await app.execute(command_of(id)[1], id=id)
            assert (receipt.stream, receipt.version, receipt.position) == (stream, version, position)
        assert await app.running.store.head() == len(log)
        await app.catch_up()
        live = rows_of(path)
        assert live[0]
        assert live[1]
        for name in ("Balance", "OwnerTotal"):
            await app.rebuild(name)
        assert rows_of(path) == live
