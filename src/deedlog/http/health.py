"""Two questions of whoever runs the service: is the process alive, and may traffic be sent to it?

Not ready is what makes this process's answers wrong, old or none: a dead or failing runner, a lease that nobody holds, lag, a
read model that is being built, the auditor's word. What somebody wants so, or what concerns single keys, is a note.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

import msgspec

from deedlog.errors import Building, DeedlogError
from deedlog.http.endpoints import Service
from deedlog.http.wire import Call, Reply
from deedlog.messages.envelope import to_micros
from deedlog.projections.runner import LEASE, Failure, Runner
from deedlog.reads.port import readable
from deedlog.reads.values import Checkpoint
from deedlog.running import Running
from deedlog.types import Position

CHECK_SECONDS = 5.0
_NO_STORE = (b"cache-control", b"no-store")
_encode = msgspec.json.Encoder().encode


class ProjectionHealth(msgspec.Struct, frozen=True):
    """How far the rows are that queries get.

    `behind_seconds` is the age of the oldest event that they lack. `owner` is the worker that has the lease, "" for none.
    `parked` counts keys in the dead letters. `building`: there are no complete rows to answer from. `paused` says by whom and
    why, "" when nobody did; `rolled_back`: this version's rows were put aside, they are those of the version before.
    """

    name: str
    position: Position
    behind_events: int
    behind_seconds: float
    building: bool
    failure: Failure | None
    owner: str = ""
    parked: int = 0
    paused: str = ""
    rolled_back: bool = False


class Readiness(msgspec.Struct, frozen=True):
    """`ready`, or the `problems` in the way. `notes` are no reason to send no traffic. `projecting`: projections run here."""

    ready: bool
    problems: list[str]
    notes: list[str] = []
    head: Position | None = None
    projecting: bool = False
    projections: list[ProjectionHealth] = []


class Liveness(msgspec.Struct, frozen=True):
    """The process answers."""

    live: bool = True


class Health:
    """The health endpoints of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def live(self, call: Call) -> Reply:
        """200 whenever the event loop turns; a restart is no cure for anything else."""
        return Reply(_encode(Liveness()), (_NO_STORE,))

    async def ready(self, call: Call) -> Reply:
        """200, or 503 with what is in the way. Starts the app, so that one that is mounted gets ready at all."""
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                found = await self._look()
        except TimeoutError:
            found = Readiness(False, [f"the store has not answered for {CHECK_SECONDS:g} seconds"])
        except DeedlogError as error:
            found = Readiness(False, [error.message])
        return Reply(_encode(found), (_NO_STORE,), 200 if found.ready else 503)

    async def _look(self) -> Readiness:
        running = await self._service.running()
        now = to_micros(self._service.app.clock.now())
        problems = list(_dead(running))
        notes: list[str] = []
        projections: list[ProjectionHealth] = []
        async for health, leased in _projections(running, now):
            projections.append(health)
            problems += self._problems(running, health, leased, now)
            notes += _notes(health)
        head = await running.store.head()
        problems += [_beyond(health, head) for health in projections if health.position > head]
        return Readiness(not problems, problems, notes, head, running.projecting, projections)

    def _problems(self, running: Running, health: ProjectionHealth, leased: Checkpoint, now: int) -> Iterator[str]:
        if health.failure is not None:
            yield f"{health.name} stands at {health.position}: {health.failure.error}"
        if health.building and health.rolled_back:
            yield f"{health.name} was rolled back, and the rows of the version before have another shape: there is no answer"
        elif health.building:
            yield f"{health.name} is being built: event {leased.position} of {leased.building_to}"
        if not running.projecting or health.paused or health.rolled_back:
            return
        if not health.building and health.behind_seconds > self._service.settings.max_behind:
            yield f"{health.name} is {health.behind_seconds:.0f} seconds behind"
        alone = (now - max(leased.leased_until, running.projections.since)) / 1e6
        if alone > LEASE / 1e6:
            yield f"{health.name} has been moved by nobody for {alone:.0f} seconds: its lease is free, and this process runs it"


def _dead(running: Running) -> Iterator[str]:
    """What this process should be running and does not, and what the auditor has against what it runs."""
    for name, end in running.projections.ended().items():
        yield f"{name} has ended: {end}"
    yield from (f"auditor: {alert}" for alert in running.projections.alerts.values())


def _notes(health: ProjectionHealth) -> Iterator[str]:
    if health.paused:
        yield f"{health.name} is paused: {health.paused}"
    if health.rolled_back and not health.building:
        yield f"{health.name} was rolled back: its rows are those of the version before, at {health.position}"
    if health.parked:
        yield f"{health.name}: {health.parked} keys wait in the dead letters"


def _beyond(health: ProjectionHealth, head: Position) -> str:
    return f"{health.name} is at {health.position}, but the log ends at {head}: it is another log"


async def _projections(running: Running, now: int) -> AsyncIterator[tuple[ProjectionHealth, Checkpoint]]:
    """Each with the checkpoint of the generation that this process moves; queries may be reading an older one."""
    for name, runner in running.runners.items():
        moved = await running.reads.current(runner.projection.projected) or runner.checkpoint
        read = await _read(running, runner, moved)
        at = read or moved
        pending = await running.store.read_all(at.position, 1)
        behind = max(0, await running.store.head() - at.position)
        age = max(0.0, (now - pending[0].recorded_at) / 1e6) if pending else 0.0
        rolled_back = moved.state == "retired"
        owner = moved.owner if moved.leased_until > now else ""
        where = (name, at.position, behind, age, read is None, runner.failure)
        yield ProjectionHealth(*where, owner, moved.parked, moved.paused, rolled_back), moved


async def _read(running: Running, runner: Runner, moved: Checkpoint) -> Checkpoint | None:
    """The generation that queries are answered from; None while there is none."""
    if moved.complete and moved.state == "current":
        return moved
    projected = runner.projection.projected
    try:
        return readable(projected, await running.reads.generations(projected.name), by_name=False)
    except Building:
        return None
