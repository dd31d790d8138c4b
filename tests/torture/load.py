"""The child that is killed: `python -m tests.torture.load FILE SEED [TIME]` works on a file until somebody stops it.

Sixteen callers send commands with ids, others ask, rebuild, import, close streams, and forget the commands recorded before
TIME (microseconds). Each acknowledged command or import is a line: `id stream version position count`; a stream that was
closed is `CLOSED stream version`. What must never be is a line that starts with `WRONG`.
"""

import asyncio
import os
import random
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TypeAlias

from deedlog import App, Building, DeedlogError, Misuse, NotFound, Receipt, Refused, Stale
from deedlog.messages.envelope import Metadata
from deedlog.store.port import ImportedEvent
from tests.faults.bank import Deposited, GetBalance, bank_app, command_of, short_leases

CALLERS = 16
BUSY_COMMANDS = 300
"""So many are sent as fast as it goes; then slowly, so that the file stays small."""
SLOW_SECONDS = 0.05

IMPORT, IMPORTED = "import", 3
"""What the id of an import starts with, and how many events it has."""

Worker: TypeAlias = Callable[["Load", random.Random], Awaitable[None]]


def say(line: str) -> None:
    """One write: a line arrives whole or not at all."""
    os.write(1, f"{line}\n".encode())


def id_of(seed: str, caller: int, number: int) -> str:
    """The id of a caller's n-th command; what it is follows from the id."""
    return f"{seed}-{caller}-{number}"


def imported_of(id: str) -> list[Deposited]:
    """The events of an import, by its id."""
    dice = random.Random(id)
    return [Deposited(f"a{dice.randrange(40)}", Decimal(dice.randrange(1, 99))) for _ in range(IMPORTED)]


class Load:
    """What runs beside each other in one process."""

    def __init__(self, app: App, seed: str, forget_before: int) -> None:
        self.app = app
        self.seed = seed
        self.forget_before = forget_before
        self.count = 0
        self.sent = 0
        self.newest: Receipt | None = None

    def imported(self, stream: str, event: Deposited, id: str) -> ImportedEvent:
        codec = self.app.running.codec
        return ImportedEvent(stream, codec.new_event(event, codec.metadata(Metadata(id, id))))

    async def call(self, caller: int) -> None:
        number = 0
        dice = random.Random(f"{self.seed}-{caller}")
        while True:
            number += 1
            self.sent += 1
            id = id_of(self.seed, caller, number)
            times = 2 if dice.random() < 0.1 else 1  # now and then two send the same command at once
            answers = await asyncio.gather(*(self.send(id) for _ in range(times)))
            if times == 2 and answers[0] != answers[1]:
                say(f"WRONG command {id} sent twice gave {answers[0]} and {answers[1]}")
            if self.sent > BUSY_COMMANDS:
                await asyncio.sleep(SLOW_SECONDS)

    async def send(self, id: str) -> tuple[str, int, int, int] | None:
        try:
            receipt = await self.app.execute(command_of(id)[1], id=id)
        except Refused:
            return None
        self.newest = receipt
        say(f"{id} {receipt.stream} {receipt.version} {receipt.position} {len(receipt.events)}")
        return receipt.stream, receipt.version, receipt.position, len(receipt.events)

    async def ask(self) -> None:
        """Reads its own writes, and never anything older than it has read before."""
        seen = 0
        while True:
            await asyncio.sleep(0.005)
            if (receipt := self.newest) is None:
                continue
            try:
                answer = await self.app.ask(GetBalance(receipt.stream.removeprefix("account-")), after=receipt.token)
            except (Stale, Building, NotFound):
                continue
            if answer.freshness.position < receipt.position:
                say(f"WRONG an answer at {answer.freshness.position} for a token of {receipt.position}")
            if answer.freshness.position < seen:
                say(f"WRONG an answer at {answer.freshness.position} after one at {seen}")
            seen = answer.freshness.position

    async def repeat(self, worker: Worker) -> None:
        dice = random.Random(f"{self.seed}-{worker.__name__}")
        while True:
            await asyncio.sleep(dice.uniform(0.01, 0.08))
            try:
                await worker(self, dice)
            except Misuse:
                raise
            except DeedlogError:  # another process does the same
                continue


async def rebuild(load: Load, dice: random.Random) -> None:
    await load.app.rebuild(dice.choice(["Balance", "OwnerTotal"]))


async def import_events(load: Load, dice: random.Random) -> None:
    """A few deposits from elsewhere, behind accounts that commands go to."""
    load.count += 1
    id = f"{IMPORT}-{load.seed}-{load.count}"
    done = await load.app.running.store.import_events([load.imported(f"account-{e.account}", e, id) for e in imported_of(id)])
    say(f"{id} {done.stream} {done.version} {done.position} {done.count}")


async def close(load: Load, dice: random.Random) -> None:
    """Closes a new stream: of an account that no command goes to."""
    load.count += 1
    id = f"{IMPORT}-{load.seed}-{load.count}"
    stream = f"closed-{load.seed}-{load.count}"
    store = load.app.running.store
    await store.import_events([load.imported(stream, event, id) for event in imported_of(id)])
    closing = await store.close_stream(stream, by="torture", why="it is time")
    say(f"CLOSED {stream} {closing.version}")


async def forget(load: Load, dice: random.Random) -> None:
    await load.app.running.store.forget_commands(load.forget_before, dice.randrange(1, 20))


WORKERS: tuple[Worker, ...] = (rebuild, import_events, close, forget)


async def main(url: str, seed: str, forget_before: int) -> None:
    async with bank_app(url) as app:
        load = Load(app, seed, forget_before)
        callers = [load.call(number) for number in range(CALLERS)]
        await asyncio.gather(*callers, load.ask(), *(load.repeat(worker) for worker in WORKERS))


if __name__ == "__main__":
    short_leases()
    asyncio.run(main(f"sqlite:///{sys.argv[1]}", sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0))
