"""`make demo`: the shop's trial from start to end."""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from examples.shop.demo.chinook import chinook_steps, open_chinook
from examples.shop.demo.client import Client, Failed, Gone
from examples.shop.demo.generated import generate
from examples.shop.demo.lanes import Pass, Sender
from examples.shop.demo.progress import progress
from examples.shop.demo.service import Service, ServiceDied
from examples.shop.demo.source import BadSource, Source, Step
from examples.shop.demo.totals import counts, differences

SHOWN = 20
GRACE_SECONDS = 2.0


class Broken(Exception):
    """A promise does not hold; the message says which and how."""


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, _end)
    console = Console(highlight=False)
    try:
        with _folder(options.keep) as folder, _history(options, folder) as (source, steps):
            return asyncio.run(Trial(console, folder, source, steps).run())
    except (BadSource, Broken, Failed, Gone, ServiceDied) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the service is stopped", file=sys.stderr)
        return 130


def _end(number: int, frame: FrameType | None) -> None:
    """Leaves every context, so that the service and the folder do not stay behind."""
    sys.exit(128 + number)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.shop.demo", description=__doc__)
    parser.add_argument("--data", type=Path, metavar="FILE", help="a Chinook SQLite file, in place of a generated history")
    parser.add_argument("--seed", type=int, default=1, help="of the generated history (default: %(default)s)")
    parser.add_argument("--products", type=int, default=3000, help="how many to generate (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the database and the service's log in this folder")
    options = parser.parse_args()
    if options.products < 1:
        parser.error("--products takes a number of 1 or more")
    return options


@contextmanager
def _folder(keep: Path | None) -> Generator[Path, None, None]:
    """Where the database is made: a folder that goes away, or the one to keep, which must have no shop yet."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="deedlog-shop-") as name:
            yield Path(name)
        return
    keep.mkdir(parents=True, exist_ok=True)
    for name in ("shop.db", "source.db"):
        if (keep / name).exists():
            raise BadSource(f"{keep / name} is there already; the demo starts on an empty file")
    yield keep


@contextmanager
def _history(options: argparse.Namespace, folder: Path) -> Generator[tuple[Source, list[Step]], None, None]:
    if options.data is not None:
        with open_chinook(options.data) as source:
            yield source, chinook_steps(source)
        return
    steps = generate(folder / "source.db", seed=options.seed, products=options.products)
    with Source(folder / "source.db") as source:
        yield source, steps


class Trial:
    """One run: send, kill, start, send again, ask, compare."""

    def __init__(self, console: Console, folder: Path, source: Source, steps: Sequence[Step]) -> None:
        self.console = console
        self.source = source
        self.steps = steps
        self.service = Service(folder / "shop.db", folder / "service.log")

    def say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, markup=False)

    async def run(self) -> int:
        """The exit code: 0 when all totals agree, 1 when one does not. Raises Broken for a promise that does not hold."""
        self.say(f"history: {len(self.steps)} commands for {counts(self.source)}, from {self.source.path.name}")
        with self.service:
            try:
                return await self._run()
            except Gone:
                self.service.require_alive(GRACE_SECONDS)
                raise

    async def _run(self) -> int:
        ready = await self.service.start()
        self.say(f"service: pid {self.service.pid} on port {self.service.port}, an empty file, ready after {ready:.2f} s")
        first = await self.send_and_kill()
        second = await self.send_again(first)
        token, caught_up = await self.newest(second)
        self.measured(first, second, caught_up)
        return await self.compare(token)

    async def send_and_kill(self) -> Pass:
        pid = self.service.pid
        with progress(self.console, "first pass", len(self.steps)) as step_done:
            half = max(1, len(self.steps) // 2)
            sender = Sender(self.service.port, step_done, kill_after=half, kill=self.service.kill)
            first = await sender.send(self.steps)
        self.say(
            f"kill -9 of pid {pid} after {first.killed_after:.2f} s: {len(first.receipts)} commands acknowledged, "
            f"{first.unanswered} in flight"
        )
        return first

    async def send_again(self, first: Pass) -> Pass:
        """The whole history from its start, with the same ids, on the file as the kill has left it."""
        ready = await self.service.start()
        async with Client(self.service.port) as client:
            _, fresh = await client.ask("GetTotals", {})
        stored, sent = fresh.head, len(first.receipts) + first.unanswered
        self.say(f"started again: pid {self.service.pid}, ready after {ready:.2f} s, {stored} events in the log")
        if not len(first.receipts) <= stored <= sent:
            raise Broken(f"{len(first.receipts)} commands were acknowledged and {sent} sent, but {stored} events are stored")
        with progress(self.console, "second pass", len(self.steps)) as step_done:
            second = await Sender(self.service.port, step_done).send(self.steps)
        self.check_receipts(first, second)
        return second

    def check_receipts(self, first: Pass, second: Pass) -> None:
        """Each command of the history stores one event: nothing is lost when all receipts are, nothing is twice when
        their positions are 1, 2, 3 … without a hole."""
        for key, receipt in first.receipts.items():
            if second.receipts[key] != receipt:
                raise Broken(f"command {key} was acknowledged with {receipt}, sent again it gave {second.receipts[key]}")
        positions = sorted(_position(receipt) for receipt in second.receipts.values())
        if positions != list(range(1, len(self.steps) + 1)):
            raise Broken(f"{len(self.steps)} commands did not give the positions 1 to {len(self.steps)}: {positions[-3:]} …")
        self.say(f"nothing lost: {len(first.receipts)} commands acknowledged before the kill gave the identical receipt again")

    async def newest(self, second: Pass) -> tuple[str, float]:
        """The token of the last write, and the seconds until all read models had it. Raises Broken for events too many."""
        token = str(max(second.receipts.values(), key=_position)["token"])
        started = time.perf_counter()
        async with Client(self.service.port) as client:
            _, fresh = await client.ask("GetTotals", {}, token)
        if fresh.head != len(self.steps):
            raise Broken(f"{len(self.steps)} commands, but {fresh.head} events in the log")
        self.say(f"nothing twice: {len(self.steps)} commands, {fresh.head} events")
        return token, time.perf_counter() - started

    def measured(self, first: Pass, second: Pass, caught_up: float) -> None:
        for what, seen in (("first pass", first), ("second pass", second)):
            speed = f"{seen.per_second:.0f} commands/s, p50 {seen.percentile(0.5):.1f} ms, p99 {seen.percentile(0.99):.1f} ms"
            self.say(f"{what}: {speed}, lag at most {seen.behind_events} events, {seen.behind_seconds:.3f} s")
        own = first.own_writes + second.own_writes
        self.say(f"own writes: {own} orders read at once with the token of their receipt, each was there")
        self.say(f"caught up {caught_up * 1000:.1f} ms after the last command")

    async def compare(self, token: str) -> int:
        async with Client(self.service.port) as client:

            async def ask(query: str, fields: dict[str, Any]) -> Any:
                return (await client.ask(query, fields, token))[0]

            found = await differences(self.source, ask)
        for difference in found[:SHOWN]:
            print(f"totals disagree: {difference}", file=sys.stderr)
        if found:
            print(f"totals disagree: {len(found)} in all", file=sys.stderr)
            return 1
        self.say(f"totals agree: {counts(self.source)}")
        return 0


def _position(receipt: dict[str, Any]) -> int:
    position: int = receipt["position"]
    return position


if __name__ == "__main__":
    sys.exit(main())
