"""Torn and cut files: what is intact is there, from position 1 without a gap, or the service says Corrupt."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from deedlog import Corrupt
from tests.faults.bank import Deposit, GetBalance, Open, bank_app

IN_FILE, IN_WAL = 40, 60
OFFSETS = 40
SEED = 20261125
WAL_HEADER = 32


class Made(NamedTuple):
    """A store whose last commits are only in the WAL. `ends[n]` is the size of the WAL after the n-th of them."""

    file: bytes
    wal: bytes
    ends: list[int]
    log: list[Any]

    def intact(self, size: int) -> int:
        """How many events there are when only so many bytes of the WAL are good."""
        return IN_FILE + sum(end <= size for end in self.ends)


def read_log(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("select * from deedlog_events order by position").fetchall()


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (rows,) = connection.execute(f"select count(*) from {table}").fetchone()
    return int(rows)


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    path = tmp_path_factory.mktemp("made") / "bank.db"
    app = bank_app(f"sqlite:///{path}")
    async with app:  # the last connection to close moves the WAL into the file
        await app.execute(Open("a", "Ann"))
        for _ in range(IN_FILE - 1):
            await app.execute(Deposit("a", Decimal(1)))
        await app.catch_up()
    file, wal = path.read_bytes(), path.with_name("bank.db-wal")
    await app.start(projections=False)
    ends = []
    for number in range(IN_WAL):
        await app.execute(Open(f"b{number}", "Bob"))  # one event each: no snapshot of them is saved
        ends.append(wal.stat().st_size)
    assert path.read_bytes() == file
    made = Made(file, wal.read_bytes(), ends, read_log(path))
    await app.stop()
    return made


def offsets(made: Made) -> Iterator[int]:
    """Around the end of commits, inside the header, and anywhere."""
    dice = random.Random(SEED)
    yield from (0, 1, WAL_HEADER - 1, WAL_HEADER, WAL_HEADER + 1, made.ends[0] - 1, made.ends[0], made.ends[-1] - 1)
    for _ in range(OFFSETS):
        end = dice.choice(made.ends)
        yield dice.choice([end - 1, end, end + 1, end + 24, dice.randrange(len(made.wal))])


async def check(folder: Path, made: Made, wal: bytes, intact: int, how: str) -> None:
    """The log is what was intact, the read models are those of that log, and it takes the next command."""
    path = folder / "bank.db"
    path.write_bytes(made.file)
    path.with_name("bank.db-wal").write_bytes(wal)
    async with bank_app(f"sqlite:///{path}") as app:
        assert read_log(path) == made.log[:intact], how
        answer = await app.ask(GetBalance("a"), max_staleness=0)
        assert answer.value.deposits == IN_FILE - 1, how
        assert count(path, "balance") == 1 + intact - IN_FILE, how
        receipt = await app.execute(Deposit("a", Decimal(1)))
        assert (receipt.position, receipt.version) == (intact + 1, IN_FILE + 1), how


async def test_a_wal_that_was_cut_gives_what_was_whole(made: Made, tmp_path_factory: pytest.TempPathFactory) -> None:
    for size in {*offsets(made)} - {len(made.wal) + 1}:
        folder = tmp_path_factory.mktemp("cut")
        await check(folder, made, made.wal[:size], made.intact(min(size, len(made.wal))), f"cut after {size} bytes")


async def test_a_wal_with_a_wrong_byte_gives_what_comes_before(made: Made, tmp_path_factory: pytest.TempPathFactory) -> None:
    for place in {offset for offset in offsets(made) if offset < made.ends[-1]}:
        wal = bytearray(made.wal)
        wal[place] ^= 0x55
        folder = tmp_path_factory.mktemp("torn")
        intact = made.intact(place) if place >= WAL_HEADER else IN_FILE
        await check(folder, made, bytes(wal), intact, f"byte {place} is wrong")


async def test_zeros_after_the_wal_are_nothing(made: Made, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As after a power cut, when the file has grown and its content was not written."""
    for size in (made.ends[10], made.ends[10] + 2_000):
        folder = tmp_path_factory.mktemp("zeros")
        wal = made.wal[:size] + bytes(3 * 4096)
        await check(folder, made, wal, made.intact(size), f"zeros from {size} on")


def lengths(made: Made) -> Iterator[int]:
    """At the ends of pages, inside the header and the last page, and anywhere."""
    dice, whole = random.Random(SEED), len(made.file)
    yield from (2, 15, 16, 99, 100, 511, 4095, 4096, 8192, whole - 4096, whole - 4095, whole - 2, whole - 1)
    yield from (dice.randrange(1, whole) for _ in range(OFFSETS))


async def test_a_database_file_that_was_cut_is_corrupt_and_stays_as_it_is(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    for size in lengths(made):
        path.write_bytes(made.file[:size])
        with pytest.raises(Corrupt):
            await bank_app(f"sqlite:///{path}").start()
        assert path.read_bytes() == made.file[:size], f"cut after {size} bytes"


async def test_a_file_that_was_cut_while_a_wal_has_the_rest_is_whole(made: Made, tmp_path: Path) -> None:
    """As after a power cut while SQLite moved the WAL into the file: the pages that it was writing are still in the WAL."""
    whole = tmp_path / "whole.db"
    whole.write_bytes(made.file)
    whole.with_name("whole.db-wal").write_bytes(made.wal)
    with closing(sqlite3.connect(whole)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    grown = whole.read_bytes()
    assert len(grown) > len(made.file)
    path = tmp_path / "bank.db"
    path.write_bytes(grown[: len(made.file) + 1000])
    path.with_name("bank.db-wal").write_bytes(made.wal)
    async with bank_app(f"sqlite:///{path}"):
        assert read_log(path) == made.log
