"""What a service says where it may not write: `python -m tests.faults.read_only FOLDER NAME MODE…`.

Makes a store in the folder, gives each named file its mode (octal; `.` is the folder), and then uses it, not as root.
Prints the answer of a query and of a command, each as one line: its value, or the class and text of its error.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from deedlog import DeedlogError
from tests.faults.bank import GetBalance, Open, bank_app

NOBODY = 65534


async def make(file: Path) -> None:
    async with bank_app(f"sqlite:///{file}") as app:
        await app.execute(Open("a", "Ann"))
        await app.catch_up()
        await app.ask(GetBalance("a"))


async def use(file: Path) -> None:
    app = bank_app(f"sqlite:///{file}")
    await say(app.ask(GetBalance("a")))
    await say(app.execute(Open("b", "Bob")))
    await app.stop()


async def say(call: Awaitable[Any]) -> None:
    try:
        await call
        print("done")
    except DeedlogError as error:
        print(type(error).__name__, error)


def give_up_root(folder: Path) -> None:
    """Root may write everywhere, so the rest is done as somebody else."""
    if os.geteuid() != 0:
        return
    for path in (folder, *folder.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    os.setuid(NOBODY)


def main(folder: Path, modes: list[str]) -> None:
    file = folder / "bank.db"
    asyncio.run(make(file))  # also imports all that is needed: nobody may not read the installation
    give_up_root(folder)
    for name, mode in zip(modes[::2], modes[1::2], strict=True):
        (folder / name).chmod(int(mode, 8))
    asyncio.run(use(file))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
