"""The read store's contract."""

from deedlog.testing.contracts.builds import BuildTests
from deedlog.testing.contracts.rows import RowTests


class ReadStoreContract(RowTests, BuildTests):
    """Subclass it, say what the store is capable of, and make one: `capabilities` and `make_store`."""
