"""Generations when something goes wrong between their steps, and versions of an app that run beside each other."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import cast

import msgspec
import pytest

from deedlog.errors import Building, Conflict, DeedlogError, Unavailable
from deedlog.projections.projection import Projection
from deedlog.projections.rebuild import rebuild, verify
from deedlog.projections.runner import Runner
from deedlog.reads.port import ReadStore
from deedlog.store.port import EventStore
from deedlog.testing.contracts.faults import SmallPages
from deedlog.testing.contracts.ledger import codec, expected, history, totals
from deedlog.testing.contracts.ledger_stores import LedgerTests, catch_up, only, rows_in
from tests.unit.ledgers import LEDGERS

HISTORY = history(60, seed=7)
SECONDS = 10


@pytest.fixture(params=LEDGERS)
def ledger(request: pytest.FixtureRequest) -> LedgerTests:
    return LEDGERS[request.param]


def version_of(projection: Projection, definition: str, shape: str | None = None) -> Projection:
    """The same folds, declared as another version of the app would."""
    other = Projection(projection.folds)
    changed = msgspec.structs.replace(projection.projected, definition=definition)
    other.projected = changed if shape is None else msgspec.structs.replace(changed, shape=shape)
    other.names = projection.names
    return other


NEWER = version_of(totals, "newer", "other columns")


def runner_of(projection: Projection, store: EventStore, reads: ReadStore) -> Runner:
    return Runner(projection, store, reads, codec)


async def test_what_was_built_when_its_process_died_goes_live_though_nothing_happens_any_more(
    tmp_path: Path, ledger: LedgerTests
) -> None:
    """Killed between the last write and the switch, and started again."""
    async with ledger.opened(tmp_path, HISTORY) as (store, reads):
        await catch_up(store, reads)
        await reads.prepare(NEWER.projected, len(HISTORY))
        dying = runner_of(NEWER, store, cast(ReadStore, NoSwitch(reads)))
        with suppress(Died):
            await dying.catch_up()
        at = await reads.prepare(NEWER.projected, len(HISTORY))
        assert (at.position, at.live) == (len(HISTORY), False)
        await runner_of(NEWER, store, reads).catch_up()
        async with reads.snapshot([NEWER.projected], by_name=True) as snapshot:
            assert await snapshot.count(NEWER.projected.models[0], ()) == len(expected(HISTORY)["Totals"])


class Died(BaseException):
    pass


class NoSwitch:
    """The process dies where it would have switched."""

    def __init__(self, inner: ReadStore) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def go_live(self, *_: object) -> None:
        raise Died


async def test_a_model_that_changes_its_projection_is_not_shown_half_built(tmp_path: Path, ledger: LedgerTests) -> None:
    grouped = version_of(totals, "grouped")
    grouped.projected = msgspec.structs.replace(grouped.projected, name="Totals+Others")
    grouped.name = "Totals+Others"
    async with ledger.opened(tmp_path, HISTORY) as (store, reads):
        await catch_up(store, reads)
        await reads.prepare(grouped.projected, len(HISTORY))
        async with reads.snapshot([totals.projected], by_name=True) as snapshot:
            assert await snapshot.count(totals.projected.models[0], ()) == 3
        with pytest.raises(Building):
            async with reads.snapshot([grouped.projected], by_name=True):
                pass
        await runner_of(grouped, store, reads).catch_up()
        async with reads.snapshot([grouped.projected], by_name=True) as snapshot:
            assert await snapshot.count(totals.projected.models[0], ()) == 3


async def test_going_live_when_another_version_has_dropped_the_build_is_a_conflict(tmp_path: Path, ledger: LedgerTests) -> None:
    async with ledger.opened(tmp_path, HISTORY) as (store, reads):
        await catch_up(store, reads)
        built = await reads.begin_rebuild(totals.projected)
        await reads.discard(totals.projected, built)
        with pytest.raises(Conflict):
            await asyncio.wait_for(reads.go_live(totals.projected, built), SECONDS)
        await reads.discard(totals.projected, built)
        async with reads.snapshot([totals.projected], by_name=True) as snapshot:
            assert await snapshot.count(totals.projected.models[0], ()) == 3


async def test_a_verify_whose_rows_another_rebuild_has_dropped_says_so(tmp_path: Path, ledger: LedgerTests) -> None:
    async with ledger.opened(tmp_path, HISTORY) as (store, reads):
        await catch_up(store, reads)
        begun = asyncio.Event()

        async def meanwhile() -> None:
            await begun.wait()
            await reads.begin_rebuild(totals.projected)

        runner = Runner(totals, SmallPages(store, 5), reads, codec)
        verifying = asyncio.create_task(verify(runner, reads, store, lambda *_: begun.set()))
        await meanwhile()
        with pytest.raises(DeedlogError, match="another rebuild replaced this one"):
            await asyncio.wait_for(verifying, SECONDS)


async def test_a_rebuild_by_the_version_before_leaves_the_new_ones_rows(tmp_path: Path, ledger: LedgerTests) -> None:
    async with ledger.opened(tmp_path, HISTORY) as (store, reads):
        await catch_up(store, reads)
        await reads.prepare(NEWER.projected, len(HISTORY))
        newer = Runner(NEWER, SmallPages(store, 5), reads, codec)
        await newer.step()
        await rebuild(runner_of(totals, store, reads), reads, store)
        await newer.catch_up()
        async with reads.snapshot([NEWER.projected]) as snapshot:
            assert await snapshot.count(NEWER.projected.models[0], ()) == 3
        assert await rows_in(reads, totals) == only(totals, expected(HISTORY))


async def test_a_version_that_was_rolled_back_says_so_instead_of_being_built(tmp_path: Path, ledger: LedgerTests) -> None:
    async with ledger.opened(tmp_path, HISTORY) as (store, reads):
        await catch_up(store, reads)
        await reads.prepare(NEWER.projected, len(HISTORY))
        await runner_of(NEWER, store, reads).catch_up()
        await reads.rollback(totals.name)
        with pytest.raises(Unavailable, match="was rolled back"):
            async with reads.snapshot([NEWER.projected]):
                pass
        assert await rows_in(reads, totals) == only(totals, expected(HISTORY))


async def test_sql_of_a_version_whose_tables_are_not_shown_any_more_says_so(tmp_path: Path, ledger: LedgerTests) -> None:
    async with ledger.opened(tmp_path, HISTORY) as (store, reads):
        await catch_up(store, reads)
        await reads.prepare(NEWER.projected, len(HISTORY))
        await runner_of(NEWER, store, reads).catch_up()
        with pytest.raises(Unavailable, match="another version's rows"):
            async with reads.snapshot([totals.projected], by_name=True):
                pass


async def test_who_wants_a_position_does_not_wait_for_what_comes_behind_it(tmp_path: Path, ledger: LedgerTests) -> None:
    """Else a strong query beside a busy writer would be answered when its time is up."""
    async with ledger.opened(tmp_path, HISTORY) as (store, reads):
        runner = Runner(totals, SmallPages(store, 5), reads, codec)
        assert await runner.catch_up(8) == 10
        assert await runner.catch_up() == len(HISTORY) - 10
