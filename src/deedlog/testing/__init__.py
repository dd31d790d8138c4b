"""The testing kit: given/when/then for aggregates and read models, an app in memory, a clock that waits for nobody.

`deedlog.testing.contracts` holds the suites that an adapter passes; only they need pytest.
"""

from deedlog.testing.app import MemoryApp, memory_app
from deedlog.testing.clock import TestClock, counting_ids
from deedlog.testing.decisions import Decision, History
from deedlog.testing.rows import Rows
from deedlog.testing.scenario import Scenario

__all__ = ["Decision", "History", "MemoryApp", "Rows", "Scenario", "TestClock", "counting_ids", "memory_app"]
