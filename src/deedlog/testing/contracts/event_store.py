"""The event store's contract."""

from deedlog.testing.contracts.appending import AppendingTests
from deedlog.testing.contracts.reading import ReadingTests


class EventStoreContract(AppendingTests, ReadingTests):
    """Subclass it, say what the store is capable of, and make one: `capabilities` and `make_store`.

    Does not kill the process and does not cut the power: P1 needs a second process (see tests/faults).
    """
