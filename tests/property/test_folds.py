"""Random events give the rows that plain Python gives, on every read store and in batches of any size."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deedlog.projections.runner import Runner
from deedlog.reads.memory import MemoryReadStore
from deedlog.reads.port import ReadStore
from deedlog.reads.sqlite import SqliteReadStore
from deedlog.reads.values import Stored
from deedlog.sqlite.database import Database
from deedlog.store.memory import MemoryEventStore
from deedlog.store.port import EventStore
from deedlog.testing import Scenario, TestClock
from deedlog.testing.contracts.faults import SmallPages
from deedlog.testing.contracts.ledger import (
    Account,
    Closed,
    Deposited,
    Moved,
    Opened,
    Owner,
    OwnerNamed,
    Statement,
    Totals,
    codec,
    definition,
    expected,
    ledger,
    record,
)
from deedlog.testing.contracts.ledger_stores import rows_in, stored_in

accounts = st.sampled_from(["a1", "a2", "b1", "a1\0", "é"])
owners = st.none() | st.sampled_from(["ann", "bob", "", "ann\0"])
EVENTS: st.SearchStrategy[list[Any]] = st.lists(
    st.builds(Opened, accounts, owners)
    | st.builds(Deposited, accounts, st.integers(-100, 100))
    | st.builds(OwnerNamed, owners, st.sampled_from(["Ann", "Bob"]))
    | st.builds(Moved, accounts, owners)
    | st.builds(Closed, accounts),
    max_size=25,
)
SCENARIO = Scenario(ledger)
Rows = dict[str, list[Any]]


async def folded(
    store: EventStore, reads: ReadStore, events: Sequence[Any], size: int
) -> tuple[Rows, dict[tuple[str, Any], Stored]]:
    """The rows after `events`, and the same as they are stored, folded `size` at a time."""
    await store.open()
    await reads.open()
    try:
        if events:
            await record(store, *events)
        stored: dict[tuple[str, Any], Stored] = {}
        for projection in definition.projections:
            await reads.prepare(projection.projected, 0)
            await Runner(projection, SmallPages(store, size), reads, codec).catch_up()
            stored |= await stored_in(reads, projection)
        return await rows_in(reads), stored
    finally:
        await reads.close()
        await store.close()


@given(EVENTS, st.integers(2, 12))
def test_rows_are_the_same_in_batches_of_any_size_on_every_store(events: list[Any], size: int) -> None:
    wanted, stored = asyncio.run(folded(MemoryEventStore(TestClock()), MemoryReadStore(), events, 1))
    assert wanted == expected(events)
    for batch in (size, 5_000):
        assert asyncio.run(folded(MemoryEventStore(TestClock()), MemoryReadStore(), events, batch)) == (wanted, stored)
        with tempfile.TemporaryDirectory() as folder:
            reads = SqliteReadStore(Database(Path(folder) / "rows.db"))
            assert asyncio.run(folded(MemoryEventStore(TestClock()), reads, events, batch)) == (wanted, stored)


@given(EVENTS)
def test_the_testing_kit_folds_like_production(events: list[Any]) -> None:
    at_once = SCENARIO.fold(*events)
    one_by_one = SCENARIO.fold()
    for event in events:
        one_by_one = one_by_one.fold(event)
    wanted = expected(events)
    for model in (Owner, Account, Statement, Totals):
        assert at_once.rows(model) == one_by_one.rows(model) == wanted[model.__name__]
