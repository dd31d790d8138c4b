"""Sends a history at concurrency 32: each entity's commands in their order, all others side by side."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from zlib import crc32

import msgspec

from examples.shop.demo.client import Client, Failed, Gone
from examples.shop.demo.source import Step

LANES = 32
LOOK_SECONDS = 0.05
OWN_WRITES = 10
"""Of so many orders, one is asked for at once with the token of its own receipt."""


class Pass(msgspec.Struct):
    """What one sending of the history has shown.

    `unanswered`: commands that were on their way when the service was killed, `killed_after` so many seconds. Latencies are
    in seconds, without the queries between. `behind_…`: the most that was seen.
    """

    receipts: dict[str, dict[str, object]] = {}
    latencies: list[float] = []
    seconds: float = 0.0
    unanswered: int = 0
    killed_after: float = 0.0
    own_writes: int = 0
    behind_events: int = 0
    behind_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.receipts) / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds within which that share of the commands was answered."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class Sender:
    """Sends the steps of a history, each lane on a connection of its own."""

    def __init__(
        self,
        port: int,
        step_done: Callable[[], None],
        *,
        kill_after: int | None = None,
        kill: Callable[[], object] | None = None,
    ) -> None:
        self.result = Pass()
        self._port = port
        self._step_done = step_done
        self._kill_after = kill_after
        self._kill = kill
        self._killed = False
        self._started = 0.0

    async def send(self, steps: Sequence[Step]) -> Pass:
        """Sends all steps; with `kill_after`, until so many are acknowledged: then `kill` is called.

        Raises Gone when the service ends without that, Failed when it refuses a command.
        """
        self._started = time.perf_counter()
        looking = asyncio.create_task(self._look())
        try:
            for phase in sorted({step.phase for step in steps}):
                await self._send_phase([step for step in steps if step.phase == phase])
        finally:
            self.result.seconds = time.perf_counter() - self._started
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
        return self.result

    async def _send_phase(self, steps: Sequence[Step]) -> None:
        lanes: list[list[Step]] = [[] for _ in range(LANES)]
        for step in steps:
            lanes[crc32(step.lane.encode()) % LANES].append(step)
        try:
            async with asyncio.TaskGroup() as group:
                for lane in lanes:
                    group.create_task(self._send_lane(lane))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _send_lane(self, steps: Sequence[Step]) -> None:
        async with Client(self._port) as client:
            for step in steps:
                if self._killed:
                    return
                try:
                    receipt = await self._send_step(client, step)
                    if step.name == "PlaceOrder" and crc32(step.key.encode()) % OWN_WRITES == 0:
                        await self._read_own_write(client, step, str(receipt["token"]))
                except Gone:
                    if not self._killed:
                        raise

    async def _send_step(self, client: Client, step: Step) -> dict[str, object]:
        sent = time.perf_counter()
        try:
            receipt = await client.execute(step)
        except Gone:
            self.result.unanswered += 1
            raise
        self.result.latencies.append(time.perf_counter() - sent)
        self.result.receipts[step.key] = receipt
        self._step_done()
        if self._kill is not None and len(self.result.receipts) == self._kill_after:
            self._killed = True
            self.result.killed_after = time.perf_counter() - self._started
            self._kill()
        return receipt

    async def _read_own_write(self, client: Client, step: Step, token: str) -> None:
        order, _ = await client.ask("GetOrder", {"order_id": step.body["order_id"]}, token)
        if len(order["lines"]) != len(step.body["lines"]):
            raise Failed(f"GetOrder {step.body['order_id']}", 200, order)
        self.result.own_writes += 1

    async def _look(self) -> None:
        """Asks again and again how far the read models are behind, and keeps the worst."""
        async with Client(self._port) as client:
            while True:
                with suppress(Gone):
                    _, fresh = await client.ask("GetTotals", {})
                    self.result.behind_events = max(self.result.behind_events, fresh.behind_events)
                    self.result.behind_seconds = max(self.result.behind_seconds, fresh.behind_seconds)
                await asyncio.sleep(LOOK_SECONDS)
