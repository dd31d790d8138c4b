"""The suites that every adapter passes. An adapter's test file is a subclass and a factory:

    class TestMyEventStore(EventStoreContract):
        capabilities = frozenset({"reopen"})

        async def make_store(self, folder, clock, max_waiting):
            return MyEventStore(folder / "events", clock, max_waiting=max_waiting)

The tests are plain `async def` methods: pytest's plug-in of anyio or asyncio runs them, in its auto mode or with
`pytestmark = pytest.mark.anyio` (or `.asyncio`) in the file. They use pytest's own `tmp_path` and no other fixture.
"""

import pytest

_OF_EVENTS = ("event_store", "appending", "conditions", "closings", "reading", "times", "keeping", "imports", "event_samples")
_OF_ROWS = ("read_store", "rows", "builds", "checkpoint")
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in (*_OF_EVENTS, *_OF_ROWS)))

from deedlog.testing.contracts.checkpoint import CheckpointContract  # noqa: E402  # asserts are rewritten at import
from deedlog.testing.contracts.event_store import EventStoreContract  # noqa: E402
from deedlog.testing.contracts.read_store import ReadStoreContract  # noqa: E402

__all__ = ["CheckpointContract", "EventStoreContract", "ReadStoreContract"]
