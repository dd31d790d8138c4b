"""The reference read store passes the contract."""

from pathlib import Path

from deedlog.reads.memory import MemoryReadStore
from deedlog.reads.port import ReadStore
from deedlog.testing.contracts import ReadStoreContract


class TestMemoryReadStore(ReadStoreContract):
    async def make_store(self, folder: Path) -> ReadStore:
        return MemoryReadStore()
