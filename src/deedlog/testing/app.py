"""A service in memory, for tests that send commands and ask queries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from deedlog.app import App
from deedlog.ids import IdSource, new_id
from deedlog.module import Module
from deedlog.testing.clock import START, TestClock


class MemoryApp(App):
    """An app whose stores are this process's memory and whose clock is the test's."""

    clock: TestClock

    def __init__(self, *modules: Module, clock: TestClock, ids: IdSource) -> None:
        super().__init__("test", store="memory://", clock=clock, ids=ids)
        self.include(*modules)

    async def __aenter__(self) -> "MemoryApp":
        await self.start()
        return self


def memory_app(*modules: Module, start: datetime = START, ids: IdSource = new_id, services: Sequence[Any] = ()) -> MemoryApp:
    """An app of the declarations of `modules`, not started yet: `async with memory_app(shop) as app:`.

    A module-level `App("shop")` is a module like any other; neither its store nor its services come along, so that no test
    writes to a real one. `services` are provided by their class; use `app.provide(fake, as_type=Real)` for a stand-in.
    `app.clock` stands at `start`. Call `await app.catch_up()` where a test would sleep for a read model.
    """
    app = MemoryApp(*modules, clock=TestClock(start), ids=ids)
    for service in services:
        app.provide(service)
    return app
