"""A full disk: commands are refused with the fix, nothing acknowledged is lost, reads go on, and then all goes on."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deedlog import App, Unavailable
from tests.docs.pages import ROOT
from tests.faults.bank import Open, bank_app
from tests.faults.space import full_and_then_not

UNLIMITED = 1_000_000_000


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on files there")
def test_where_no_file_may_grow(tmp_path: Path) -> None:
    """In a process of its own, which lives under a limit."""
    command = [sys.executable, "-m", "tests.faults.space", str(tmp_path / "bank.db")]
    ran = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert ran.returncode == 0, ran.stderr


def most_pages(app: App, more: int) -> None:
    for part in (app.running.store, app.running.reads):
        connection = part._writer.connection  # type: ignore[union-attr]
        (pages,) = connection.execute("pragma page_count").fetchone()
        connection.execute(f"pragma max_page_count = {pages + more}")


async def test_where_the_database_may_take_no_more_pages(tmp_path: Path) -> None:
    await full_and_then_not(str(tmp_path / "bank.db"), lambda app: most_pages(app, 10), lambda app: most_pages(app, UNLIMITED))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte. Only root may mount it: the two tests above stand in elsewhere."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_on_a_disk_that_is_full(small_disk: Path) -> None:
    filler = small_disk / "filler"

    def take(app: App) -> None:
        with filler.open("wb", buffering=0) as file:
            file.write(b"\0" * (shutil.disk_usage(small_disk).free - 100_000))

    await full_and_then_not(str(small_disk / "bank.db"), take, lambda app: filler.unlink())


async def test_started_on_a_disk_that_is_full_it_says_so_and_later_starts(small_disk: Path) -> None:
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        file.write(b"\0" * shutil.disk_usage(small_disk).free)
    app = bank_app(f"sqlite:///{small_disk / 'bank.db'}")
    with pytest.raises(Unavailable, match="no space left"):
        await app.start()
    filler.unlink()
    async with app:
        assert (await app.execute(Open("a", "Ann"))).position == 1
