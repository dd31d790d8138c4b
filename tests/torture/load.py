"""What a child does to the file, and says: callers that send commands with ids, and others that ask.

Each acknowledged command or import is a line: `id stream version position count`; a stream that was closed is `CLOSED stream
version`. What must never be is a line that starts with `WRONG`.
"""

import asyncio
import os
import random
from decimal import Decimal

import msgspec

from deedlog import App, Building, Command, Conflict, NotFound, Receipt, Refused, Stale
from deedlog.messages.envelope import Metadata
from deedlog.store.port import ImportedEvent
from tests.faults.bank import Deposited, GetBalance
from tests.torture.service import ACCOUNTS, TINS, Claim, GetContent, GetLedger, Save, Transfer, command_of

CALLERS = 16
BUSY_COMMANDS = 300
"""So many are sent as fast as it goes; then slowly, so that the file stays small."""
SLOW_SECONDS = 0.05

IMPORT, IMPORTED = "import", 3
"""What the id of an import starts with, and how many events it has."""


class Options(msgspec.Struct, frozen=True):
    """How a child lives.

    `unfoldable`: accounts whose deposits its folds fail at. `calm`: it does nothing that leaves an inline model behind, and
    `settled`: nobody did since all was checked. `calls`: it sends commands; others only project, and do what operators do.
    Commands recorded before `forget_before` (microseconds) are forgotten.
    """

    unfoldable: tuple[str, ...] = ()
    calm: bool = False
    settled: bool = False
    calls: bool = True
    forget_before: int = 0


def say(line: str) -> None:
    """One write: a line arrives whole or not at all."""
    os.write(1, f"{line}\n".encode())


def id_of(seed: str, caller: int, number: int) -> str:
    """The id of a caller's n-th command; what it is follows from the id."""
    return f"{seed}-{caller}-{number}"


def imported_of(id: str) -> list[Deposited]:
    """The events of an import, by its id."""
    dice = random.Random(id)
    return [Deposited(f"a{dice.randrange(ACCOUNTS)}", Decimal(dice.randrange(1, 99))) for _ in range(IMPORTED)]


def several(command: Command) -> bool:
    """Whether it is decided on several streams: of two sent at once one may be refused, and the other then done."""
    return isinstance(command, Transfer | Save | Claim)


class Load:
    """Those who call and ask in one process, and what the others there must know."""

    def __init__(self, app: App, seed: str, options: Options) -> None:
        self.app = app
        self.seed = seed
        self.options = options
        self.count = 0
        self.sent = 0
        self.newest: Receipt | None = None

    @property
    def forget_before(self) -> int:
        return self.options.forget_before

    def next_import(self) -> str:
        """The id of the next import."""
        self.count += 1
        return f"{IMPORT}-{self.seed}-{self.count}"

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
            if len(given := set(answers) - {None}) > 1 or (given and None in answers and not several(command_of(id))):
                say(f"WRONG command {id} sent twice gave {answers[0]} and {answers[1]}")
            if self.sent > BUSY_COMMANDS:
                await asyncio.sleep(SLOW_SECONDS)

    async def send(self, id: str) -> tuple[str, int, int, int] | None:
        try:
            receipt = await self.app.execute(command_of(id), id=id)
        except (Refused, Conflict):  # a conflict: other processes were faster, so often that it was given up
            return None
        self.newest = receipt
        say(f"{id} {receipt.stream} {receipt.version} {receipt.position} {len(receipt.events)}")
        return receipt.stream, receipt.version, receipt.position, len(receipt.events)

    async def ask(self) -> None:
        """Reads its own writes; in a settled file never anything older than it has read before."""
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
            if self.options.settled and answer.freshness.position < seen:
                say(f"WRONG an answer at {answer.freshness.position} after one at {seen}")
            seen = answer.freshness.position

    async def ask_other_modes(self) -> None:
        """What is inline or live is never behind, though nobody demands it."""
        while True:
            await asyncio.sleep(0.02)
            if (receipt := self.newest) is None:
                continue
            content = await self.app.ask(GetContent(f"t{receipt.position % TINS}"))
            if content.freshness.position < receipt.position:
                say(f"WRONG a live answer at {content.freshness.position} after a receipt of {receipt.position}")
            try:
                ledger = await self.app.ask(GetLedger(receipt.stream.removeprefix("account-")))
            except (Building, NotFound):
                continue
            if self.options.settled and ledger.freshness.position < receipt.position:
                say(f"WRONG an inline answer at {ledger.freshness.position} after a receipt of {receipt.position}")

    async def work(self) -> None:
        """For ever: all callers, and those who ask."""
        callers = (self.call(number) for number in range(CALLERS if self.options.calls else 0))
        await asyncio.gather(*callers, self.ask(), self.ask_other_modes())
