"""The projections of a started app: who moves them, and everything that can be asked of them or done to them."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from deedlog.definition import Definition
from deedlog.errors import DeedlogError, Misuse, NotSupported, Unavailable
from deedlog.messages.codec import Codec
from deedlog.messages.envelope import to_micros
from deedlog.projections.aside import Change, explain
from deedlog.projections.auditor import Alert, audit
from deedlog.projections.free import FreeLetters, FreeProjection, FreeRunner
from deedlog.projections.inline import InlineFolds
from deedlog.projections.letters import DeadLetters, Letters
from deedlog.projections.projection import Projection
from deedlog.projections.rebuild import Report, Verified, rebuild, verify
from deedlog.projections.runner import LEASE, Runner
from deedlog.projections.worker import Worker
from deedlog.reads.model import Key, RowType
from deedlog.reads.port import ReadStore
from deedlog.reads.values import STREAM, Checkpoint, Place
from deedlog.store.port import EventStore
from deedlog.types import Clock, Position

logger = logging.getLogger("deedlog.projections")

AUDIT_SECONDS = 60.0
POLL_SECONDS = 0.02
ALL_DIFFERENCES = 100_000


class Projecting:
    """Runs the projections of one app, under one worker's name."""

    def __init__(self, definition: Definition, store: EventStore, reads: ReadStore, codec: Codec, clock: Clock) -> None:
        self._store = store
        self._reads = reads
        self._codec = codec
        self._clock = clock
        self._models = [fold.model for fold in definition.folds]
        self.worker = Worker(clock)
        stored = [projection for projection in definition.projections if projection.mode != "live"]
        self.live = [projection for projection in definition.projections if projection.mode == "live"]
        self.runners = {p.name: _runner_class(p)(p, store, reads, codec, self.worker) for p in stored}
        if inline := [projection for projection in stored if projection.mode == "inline"]:
            store.inline = InlineFolds(inline, reads, codec)
        self.alerts: dict[str, Alert] = {}
        self.running = False
        self.since = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def prepare(self) -> None:
        """Makes the tables where they are missing."""
        head = await self._store.head()
        for runner in self.runners.values():
            runner.checkpoint = await self._reads.prepare(runner.projection.projected, head)
            if isinstance(runner, FreeRunner):
                await runner.set_up()

    def start(self) -> None:
        """Lets the runners run, each in a task of its own; another keeps the leases, and one audits."""
        self.running = True
        self.since = to_micros(self._clock.now())
        for name, runner in self.runners.items():
            self._tasks.append(asyncio.create_task(runner.run(), name=f"deedlog {name}"))
        if self.runners:
            self._tasks.append(asyncio.create_task(self._every(LEASE / 3e6, self._renew), name="deedlog leases"))
            self._tasks.append(asyncio.create_task(self._every(AUDIT_SECONDS, self.audit), name="deedlog auditor"))

    async def stop(self) -> None:
        """Ends the runners and gives up their leases, so that another worker need not wait for them to run out."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if any(runner.holds for runner in self.runners.values()):
            try:
                await self._reads.release(self.worker.name)
            except DeedlogError as error:  # the file is gone, or the disk is full: the leases run out by themselves
                logger.warning("leases were not given up: %s", error)

    def cancel(self) -> None:
        """Ends the runners, and waits for nothing."""
        self.worker.end()
        for task in self._tasks:
            task.cancel()

    def ended(self) -> dict[str, str]:
        """What runs no longer although it should, by its name (a projection's, `leases`, `auditor`), with what ended it."""
        return {task.get_name().removeprefix("deedlog "): _end_of(task) for task in self._tasks if task.done()}

    def moves(self, projection: str) -> bool:
        """Whether this process moves a projection now: it has the lease, nobody paused it, and its runner lives."""
        at = self.runners[projection].checkpoint
        mine = at.owner == self.worker.name and not at.paused and at.state == "current"
        return self.running and mine and projection not in self.ended()

    @staticmethod
    async def _every(seconds: float, work: Callable[[], Any]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except DeedlogError as error:
                logger.warning("%s; it is tried again", error)
            except Exception:  # whatever it is, the leases must be prolonged next time
                logger.exception("failed; it is tried again")

    async def _renew(self) -> None:
        if any(runner.checkpoint.owner == self.worker.name for runner in self.runners.values()):
            await self._reads.renew(self.worker.name, to_micros(self._clock.now()) + LEASE)

    async def audit(self, *, whole: bool = False) -> list[Alert]:
        """What the auditor has to say against the projections that this worker moves; `whole` looks at all, from the start."""
        for name, runner in self.runners.items():
            current = await self._reads.current(runner.projection.projected)
            if current is None or (not whole and current.owner != self.worker.name):
                continue
            alert = await audit(runner.projection.projected, current, self._store, self._reads, whole=whole)
            if alert is None:
                self.alerts.pop(name, None)
            elif self.alerts.get(name) != alert:
                self.alerts[name] = alert
                logger.error("auditor: %s", alert)
        return list(self.alerts.values())

    async def catch_up(self) -> None:
        """Returns when every projection has folded all that is in the log now, here or by another worker."""
        head = await self._store.head()
        for runner in self.runners.values():
            await self._reach(runner, head)

    @staticmethod
    async def _reach(runner: Runner, head: Position) -> None:
        await runner.catch_up(head)
        while (at := runner.checkpoint).position < head:
            if at.state == "retired":
                raise Unavailable(f"{runner.projection.name} was rolled back", fix="`deedlog projections switch`, or rebuild it")
            if at.paused:
                raise Unavailable(
                    f"{runner.projection.name} is paused: {at.paused}",
                    fix=f"`deedlog projections resume {runner.projection.name}`",
                )
            await runner.moved.wait(POLL_SECONDS)
            await runner.catch_up(head)

    async def rebuild(self, read_model: str, report: Report | None = None) -> Checkpoint:
        """Builds a fold anew beside the live one and switches; empties a free-form projection and calls it from the start."""
        runner = self.runner_of(read_model)
        if isinstance(runner, FreeRunner):
            head = await self._store.head()
            restarted = await runner.restart(head)
            if not restarted.paused:  # else it is called again when somebody resumes it
                await self._reach(runner, head)
            return await self._reads.current(runner.projection.projected) or restarted
        return await rebuild(self._aside(read_model), self._reads, self._store, report)

    async def verify(self, read_model: str, report: Report | None = None, *, limit: int = 100) -> Verified:
        return await verify(self._aside(read_model), self._reads, self._store, report, limit=limit)

    async def repair(self, read_model: str, report: Report | None = None) -> Verified:
        """Verifies, and writes exactly the rows that differ as the log makes them."""
        found = await self.verify(read_model, report, limit=ALL_DIFFERENCES)
        places = [(difference.model, difference.key) for difference in found.comparison.examples]
        await self.letters_of(read_model).mend(places)
        return found

    def _aside(self, read_model: str) -> Runner:
        runner = self.runner_of(read_model)
        if isinstance(runner, FreeRunner):
            raise NotSupported(f"{runner.projection.name} is free-form: there are no rows to compare", fix="rebuild it")
        return Runner(runner.projection, self._store, self._reads, self._codec)

    def letters_of(self, read_model: str) -> Letters:
        """The dead letters of a projection, by its name or that of one of its read models."""
        runner = self.runner_of(read_model)
        kind = FreeLetters if isinstance(runner, FreeRunner) else DeadLetters
        return kind(runner.projection, self._store, self._reads, self._codec, self._clock)

    async def explain(self, read_model: str, key: Key, until: Position | None = None) -> list[Change]:
        """Every event that changed one row, in order, up to a position; with the row before and after each."""
        projection, model = self.model_of(read_model)
        skips = await self._reads.skips(projection.projected)
        head = await self._store.head() if until is None else until
        return await explain(projection, self._store, self._codec, (model.name, key), head, skips)

    async def pause(self, read_model: str, *, by: str, why: str) -> None:
        """Stops what moves a projection, in every process, until `resume`."""
        await self._reads.pause(self.runner_of(read_model).projection.name, f"{by}: {why}")

    async def resume(self, read_model: str) -> None:
        runner = self.runner_of(read_model)
        await self._reads.pause(runner.projection.name, "")
        runner.hurry()

    async def rollback(self, read_model: str) -> Checkpoint:
        """Makes the generation before the live one live again, at once."""
        return await self._reads.rollback(self.runner_of(read_model).projection.name)

    async def switch(self, read_model: str) -> Checkpoint:
        """Takes a rollback back, at once."""
        return await self._reads.reinstate(self.runner_of(read_model).projection.name)

    def runner_of(self, read_model: str) -> Runner:
        """The runner that moves a read model. Raises Misuse with the names there are."""
        for runner in self.runners.values():
            if runner.projection.is_called(read_model):
                return runner
        if any(projection.is_called(read_model) for projection in self.live):
            raise Misuse(
                f"{read_model} is folded when it is read: nothing of it is stored", fix="mode='async' keeps rows and letters"
            )
        known = sorted({name for runner in self.runners.values() for name in _names_of(runner.projection)})
        raise Misuse(f"there is no read model '{read_model}' in a store", fix=f"one of {', '.join(known) or 'none'}")

    def model_of(self, read_model: str) -> tuple[Projection, RowType]:
        """The projection and the row type of a read model's name. Raises Misuse with the names there are."""
        for projection in (*(runner.projection for runner in self.runners.values()), *self.live):
            for fold in projection.folds:
                if fold.model.name == read_model:
                    return projection, fold.model
        names = ", ".join(sorted(model.name for model in self._models))
        raise Misuse(f"there is no read model '{read_model}'", fix=f"one of {names or 'none'}")

    def place_of(self, read_model: str, key: str) -> Place:
        """Where a key, given as text, stands in the dead letters. Raises Misuse for one that is of another type."""
        if read_model == STREAM or isinstance(self.runners.get(read_model), FreeRunner):
            return (read_model, key)
        return (read_model, self.model_of(read_model)[1].key_from(key))


def _runner_class(projection: Projection) -> type[Runner]:
    return FreeRunner if isinstance(projection, FreeProjection) else Runner


def _names_of(projection: Projection) -> list[str]:
    return [fold.model.name for fold in projection.folds] or [projection.name]


def _end_of(task: asyncio.Task[None]) -> str:
    if task.cancelled():
        return "it was cancelled"
    return repr(task.exception() or "it returned")
