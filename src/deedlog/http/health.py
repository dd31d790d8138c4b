"""Two questions of whoever runs the service: is the process alive, and may traffic be sent to it?"""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from deedlog.app import Running
from deedlog.errors import DeedlogError
from deedlog.http.endpoints import Service
from deedlog.http.wire import Call, Reply
from deedlog.messages.envelope import to_micros
from deedlog.projections.runner import Failure
from deedlog.types import Clock, Position

CHECK_SECONDS = 5.0
_NO_STORE = (b"cache-control", b"no-store")
_encode = msgspec.json.Encoder().encode


class ProjectionHealth(msgspec.Struct, frozen=True):
    """How far a projection is. `behind_seconds` is the age of the oldest event that it lacks."""

    name: str
    position: Position
    behind_events: int
    behind_seconds: float
    building: bool
    failure: Failure | None


class Readiness(msgspec.Struct, frozen=True):
    """`ready`, or what is in the way. `projecting`: whether this process runs the projections."""

    ready: bool
    problems: list[str]
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
        head = await running.store.head()
        projections = [health async for health in _projections(running, self._service.app.clock, head)]
        problems = [words for health in projections if (words := self._problem(running, health))]
        return Readiness(not problems, problems, head, running.projecting, projections)

    def _problem(self, running: Running, health: ProjectionHealth) -> str:
        if health.failure is not None:
            return f"{health.name} stands at {health.position}: {health.failure.error}"
        if running.projecting and health.behind_seconds > self._service.settings.max_behind:
            return f"{health.name} is {health.behind_seconds:.0f} seconds behind"
        return ""


async def _projections(running: Running, clock: Clock, head: Position) -> AsyncIterator[ProjectionHealth]:
    for name, runner in running.runners.items():
        checkpoint = await running.reads.current(runner.projection.projected) or runner.checkpoint
        pending = await running.store.read_all(checkpoint.position, 1) if checkpoint.position < head else ()
        age = max(0.0, (to_micros(clock.now()) - pending[0].recorded_at) / 1e6) if pending else 0.0
        building = checkpoint.position < checkpoint.building_to
        yield ProjectionHealth(name, checkpoint.position, max(0, head - checkpoint.position), age, building, runner.failure)
