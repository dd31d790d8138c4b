"""The contract of a checkpoint: each event changes each row once, whatever crashes (P5); a rebuild equals the live rows (P6)."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from deedlog.projections.rebuild import rebuild
from deedlog.projections.runner import Runner
from deedlog.store.port import StreamWrite
from deedlog.testing.contracts.dead_letters import DeadLetterTests
from deedlog.testing.contracts.faults import MOMENTS, Crash, CrashingReads, Moment, SmallPages
from deedlog.testing.contracts.ledger import (
    Closed,
    Deposited,
    Moved,
    Opened,
    OwnerNamed,
    codec,
    definition,
    expected,
    history,
    record,
    together,
    totals,
)
from deedlog.testing.contracts.ledger_stores import catch_up, checkpoint_of, only, rows_in, stored_in
from deedlog.types import Any as AnyVersion

HISTORY = history(150, seed=11)


class CheckpointContract(DeadLetterTests):
    """Subclass it, say what the stores are capable of, and make them: `capabilities` and `make_stores`.

    Does not kill the process: crashes are raised where it could have died (see tests/faults for the real thing).
    """

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 5_000])
    async def test_any_batch_size_gives_the_same_rows(self, tmp_path: Path, size: int) -> None:
        async with self.opened(tmp_path, HISTORY) as (store, reads):
            await catch_up(SmallPages(store, size), reads)
            assert await rows_in(reads) == expected(HISTORY)

    async def test_a_checkpoint_counts_every_event(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, HISTORY) as (store, reads):
            await catch_up(SmallPages(store, 40), reads)
            for projection in definition.projections:
                checkpoint = await reads.checkpoint(projection.name)
                assert checkpoint is not None
                assert (checkpoint.position, checkpoint.events) == (150, 150)
                assert checkpoint.updated_at == (await store.read_all(149))[0].recorded_at

    async def test_a_row_knows_the_last_event_that_changed_it(self, tmp_path: Path) -> None:
        events = [Opened("a1", "ann"), Opened("a2", None), Deposited("a1", 5), OwnerNamed("ann", "Ann"), Moved("a9", "bob")]
        async with self.opened(tmp_path, events) as (store, reads):
            await catch_up(store, reads)
            stored = await stored_in(reads, together)
            assert {key: one.position for (name, key), one in stored.items() if name == "Account"} == {"a1": 4, "a2": 2}

    @pytest.mark.parametrize("moment", MOMENTS)
    @pytest.mark.parametrize(("number", "size"), [(1, 5_000), (1, 10), (3, 20), (5, 1)])
    async def test_a_crash_between_append_and_checkpoint_repeats_never_loses(
        self, tmp_path: Path, moment: Moment, number: int, size: int
    ) -> None:
        async with self.opened(tmp_path, HISTORY) as (store, reads):
            pages = SmallPages(store, size)
            with pytest.raises(Crash):
                await catch_up(pages, CrashingReads(reads, moment, number))
            await catch_up(pages, reads)
            assert await rows_in(reads) == expected(HISTORY)

    async def test_an_event_is_applied_once_although_its_batch_is_folded_again_and_again(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, HISTORY) as (store, reads):
            for size in (150, 90, 10):  # each time the rows are written and the checkpoint is not
                with pytest.raises(Crash):
                    await catch_up(SmallPages(store, size), CrashingReads(reads, "between rows and checkpoint", 1))
            await catch_up(SmallPages(store, 4), reads)
            assert await rows_in(reads) == expected(HISTORY)

    async def test_a_rebuild_equals_the_live_rows_row_by_row(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, HISTORY) as (store, reads):
            await catch_up(SmallPages(store, 9), reads)
            for projection in definition.projections:
                live = await stored_in(reads, projection)
                reports: list[tuple[int, int]] = []
                runner = Runner(projection, SmallPages(store, 60), reads, codec)

                def report(position: int, head: int, to: list[tuple[int, int]] = reports) -> None:
                    to.append((position, head))

                built = await rebuild(runner, reads, store, report)
                assert reports == [(60, 150), (120, 150), (150, 150)]
                assert (built.position, built.events) == (150, 150)
                assert await reads.checkpoint(projection.name) == built
                assert await stored_in(reads, projection) == live
            assert await rows_in(reads) == expected(HISTORY)

    async def test_a_rebuild_beside_writers_and_a_running_projection_loses_nothing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as (store, reads):
            runners = [Runner(projection, SmallPages(store, 5), reads, codec) for projection in definition.projections]
            running = [asyncio.ensure_future(runner.run()) for runner in runners]

            async def write() -> None:
                for event in HISTORY:
                    await record(store, event)

            async def build() -> None:
                for _ in range(3):
                    for projection in definition.projections:
                        await rebuild(Runner(projection, SmallPages(store, 7), reads, codec), reads, store)

            try:
                await asyncio.gather(write(), build())
                for runner in runners:
                    while (await checkpoint_of(reads, runner.projection)) < len(HISTORY):
                        await runner.moved.wait(0.05)
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
            assert await rows_in(reads) == expected(HISTORY)

    async def test_events_that_a_projection_does_not_know_are_passed_over(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, HISTORY) as (store, reads):
            strange = msgspec.structs.replace(codec.new_event(Closed("a1"), "{}"), name="Strange", data="[]")
            await store.append((StreamWrite("strange-1", (strange,), AnyVersion()),))
            await catch_up(store, reads)
            assert await checkpoint_of(reads, together) == 151
            assert await rows_in(reads) == expected(HISTORY)

    async def test_many_runners_on_one_projection_apply_each_event_once(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as (store, reads):

            async def write() -> None:
                for event in HISTORY:
                    await record(store, event)

            async def move(size: int) -> None:
                runner = Runner(together, SmallPages(store, size), reads, codec)
                while await checkpoint_of(reads, together) < len(HISTORY):
                    await runner.catch_up()
                    await asyncio.sleep(0)

            await asyncio.gather(write(), move(1), move(3), move(8), move(50))
            assert await rows_in(reads, together) == only(together, expected(HISTORY))

    async def test_runners_of_two_stores_on_one_database_apply_each_event_once(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, HISTORY) as first, self.opened(tmp_path) as second:
            if "shared" not in self.capabilities:
                assert await second[0].head() == 0
                return
            runners = [Runner(together, SmallPages(store, 2), reads, codec) for store, reads in (first, second)]
            await asyncio.gather(*(runner.catch_up() for runner in runners))
            assert await rows_in(second[1], together) == only(together, expected(HISTORY))

    async def test_a_projection_that_runs_keeps_up(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as (store, reads):
            runner = Runner(totals, store, reads, codec)
            running = asyncio.ensure_future(runner.run())
            try:
                for count in range(1, 6):
                    await record(store, Deposited("a1", 1))
                    while await checkpoint_of(reads, totals) < count:
                        await runner.moved.wait(0.05)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            assert await rows_in(reads, totals) == only(totals, expected([Deposited("a1", 1)] * 5))

    async def test_two_versions_of_a_projection_move_tables_of_their_own(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, HISTORY) as (store, reads):
            newer = msgspec.structs.replace(totals.projected, definition="newer")
            other = await reads.prepare(newer, 150)
            await Runner(totals, store, reads, codec).catch_up()
            assert await rows_in(reads, totals) == only(totals, expected(HISTORY))
            assert await reads.current(newer) == other
