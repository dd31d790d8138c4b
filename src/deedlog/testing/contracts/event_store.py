"""The event store's contract."""

from deedlog.testing.contracts.appending import AppendingTests
from deedlog.testing.contracts.closings import ClosingTests
from deedlog.testing.contracts.conditions import ConditionTests
from deedlog.testing.contracts.imports import ImportTests
from deedlog.testing.contracts.keeping import KeepingTests
from deedlog.testing.contracts.reading import ReadingTests
from deedlog.testing.contracts.times import TimeTests


class EventStoreContract(AppendingTests, ConditionTests, ClosingTests, ReadingTests, TimeTests, KeepingTests, ImportTests):
    """Subclass it, say what the store is capable of, and make one: `capabilities` and `make_store`.

    Does not kill the process and does not cut the power: P1 needs a second process (see tests/faults).
    """
