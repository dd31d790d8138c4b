"""Files that are not what they should be: a clear error, and nothing changed."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deedlog import Corrupt, DeedlogError, Misuse
from tests.faults.bank import Open, bank_app


def statement(path: Path, text: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(text)


async def started(path: Path) -> DeedlogError:
    app = bank_app(f"sqlite:///{path}")
    with pytest.raises(DeedlogError) as caught:
        await app.start()
    return caught.value


@pytest.mark.parametrize("version", [0, 99])
async def test_a_database_of_an_unknown_older_or_a_newer_schema_is_refused(tmp_path: Path, version: int) -> None:
    path = tmp_path / "bank.db"
    async with bank_app(f"sqlite:///{path}") as app:
        await app.execute(Open("a", "Ann"))
    statement(path, f"update deedlog_store set schema_version = {version}")
    error = await started(path)
    assert isinstance(error, Misuse)
    assert f"version {version}" in str(error)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary " * 100)
    assert isinstance(await started(path), Corrupt)
    assert path.read_text().startswith("dear diary")


async def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    error = await started(tmp_path / "nowhere" / "bank.db")
    assert "folder" in str(error)


@pytest.mark.parametrize("url", ["sqlite://bank.db", "sqlite:///", "mysql://host/db", "bank.db", "sqlite:///:memory:"])
async def test_an_address_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(Misuse):
        await bank_app(url).start()


async def test_a_damaged_page_is_corrupt_not_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    async with bank_app(f"sqlite:///{path}") as app:
        for number in range(300):
            await app.execute(Open(f"a{number}", "Ann" * 50))
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    error = await started(path)
    assert isinstance(error, Corrupt)


async def test_the_log_refuses_to_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    async with bank_app(f"sqlite:///{path}") as app:
        await app.execute(Open("a", "Ann"))
    for text in ("update deedlog_events set data = '{}'", "delete from deedlog_events"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            statement(path, text)


async def test_a_locked_file_is_waited_for(tmp_path: Path) -> None:
    """Another program writes: the append waits behind it, then is stored."""
    path = tmp_path / "bank.db"
    async with bank_app(f"sqlite:///{path}") as app:
        await app.execute(Open("a", "Ann"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("begin immediate")
        waiting = asyncio.create_task(app.execute(Open("b", "Bob")))
        await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done()
        other.execute("rollback")
        other.close()
        assert (await waiting).position == 2


async def test_a_file_that_was_deleted_under_us_takes_no_more_events(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    async with bank_app(f"sqlite:///{path}") as app:
        await app.execute(Open("a", "Ann"))
        for ending in ("", "-wal", "-shm", "-lock"):
            os.unlink(f"{path}{ending}")  # noqa: PTH108
        with pytest.raises(Corrupt, match="deleted or replaced"):
            await app.execute(Open("b", "Bob"))


async def test_a_file_that_was_replaced_under_us_takes_no_more_events(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    async with bank_app(f"sqlite:///{path}") as app:
        await app.execute(Open("a", "Ann"))
        (tmp_path / "other.db").write_bytes(path.read_bytes())
        (tmp_path / "other.db").replace(path)
        with pytest.raises(Corrupt, match="deleted or replaced"):
            await app.execute(Open("b", "Bob"))
