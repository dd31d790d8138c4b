"""What a read store promises about its builds: preparing, rebuilding beside the live rows, switching."""

from pathlib import Path

import pytest

from deedlog.errors import Conflict, Misuse, Unavailable
from deedlog.reads.values import Projected
from deedlog.testing.contracts.row_samples import (
    CHANGED,
    OTHER,
    PROJECTED,
    REFOLDED,
    SAMPLE,
    Other,
    ReadStoreTests,
    Sample,
    moved,
    put,
    reading,
    rows_in,
)

OLD, NEW = Sample("a", "old"), Sample("a", "new")
ALONE = Projected("Sample", (SAMPLE,), "alone")


class BuildTests(ReadStoreTests):
    async def test_preparing_twice_changes_nothing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            assert await store.checkpoint(PROJECTED.name) is None
            first = await store.prepare(PROJECTED, 0)
            assert await store.prepare(PROJECTED, 99) == first
            after = await put(store, first, [OLD])
            assert await store.prepare(PROJECTED, 99) == after
            assert await rows_in(store) == [OLD]

    async def test_a_snapshot_of_what_was_never_prepared_is_misuse(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            with pytest.raises(Misuse):
                async with store.snapshot([PROJECTED]):
                    pass

    async def test_live_rows_are_read_and_moved_while_a_rebuild_goes_on(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            built = await store.begin_rebuild(PROJECTED)
            assert (built.position, built.events) == (0, 0)
            assert await rows_in(store) == [OLD]
            built = await put(store, built, [NEW])
            assert await rows_in(store) == [OLD]
            live = await store.checkpoint(PROJECTED.name)
            assert live is not None
            assert live.generation != built.generation
            await put(store, live, [Sample("b")])
            assert await rows_in(store) == [OLD, Sample("b")]

    async def test_a_switch_is_one_step(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD, Other(1)) as store:
            built = await put(store, await store.begin_rebuild(PROJECTED), [NEW])
            async with reading(store) as before:
                await store.switch(PROJECTED, built)
                assert await before.get("a") == OLD
            assert await rows_in(store) == [NEW]
            async with store.snapshot([PROJECTED]) as snapshot:
                assert await snapshot.get(OTHER, 1) is None
            live = await store.checkpoint(PROJECTED.name)
            assert live is not None
            assert (live.generation, live.position, live.live, live.state) == (built.generation, built.position, True, "current")
            await put(store, live, [Sample("b")])
            assert await rows_in(store) == [NEW, Sample("b")]

    async def test_a_rebuild_that_was_outrun_is_not_switched_to(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            built = await put(store, await store.begin_rebuild(PROJECTED), [NEW])
            live = await store.checkpoint(PROJECTED.name)
            assert live is not None
            await put(store, live, [Sample("b")])
            with pytest.raises(Conflict):
                await store.switch(PROJECTED, built)
            assert await rows_in(store) == [OLD, Sample("b")]
            built = await put(store, built, [Sample("b")])
            await store.switch(PROJECTED, built)
            assert await rows_in(store) == [NEW, Sample("b")]

    async def test_the_writer_of_the_build_before_writes_nothing_any_more(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            stale = await store.checkpoint(PROJECTED.name)
            assert stale is not None
            await store.switch(PROJECTED, await put(store, await store.begin_rebuild(PROJECTED), [NEW]))
            with pytest.raises(Conflict):
                await put(store, stale, [OLD])
            assert await rows_in(store) == [NEW]

    async def test_of_two_rebuilds_at_once_the_first_is_given_up(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            first = await put(store, await store.begin_rebuild(PROJECTED), [Sample("a", "first")])
            second = await store.begin_rebuild(PROJECTED)
            with pytest.raises(Conflict):
                await store.switch(PROJECTED, first)
            with pytest.raises(Conflict):
                await put(store, first, [Sample("b", "first")])
            assert await rows_in(store) == [OLD], "nothing half built is live"
            second = await put(store, second, [NEW])
            with pytest.raises(Conflict):
                await store.switch(PROJECTED, first)
            await store.switch(PROJECTED, second)
            assert await rows_in(store) == [NEW]

    async def test_a_rebuild_is_not_switched_to_twice(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            built = await put(store, await store.begin_rebuild(PROJECTED), [NEW])
            await store.switch(PROJECTED, built)
            with pytest.raises(Conflict):
                await store.switch(PROJECTED, built)
            assert await rows_in(store) == [NEW]

    async def test_a_changed_definition_is_not_read_before_it_is_built(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            before = await store.checkpoint(PROJECTED.name)
            assert before is not None
            fresh = await store.prepare(CHANGED, 2)
            assert (fresh.position, fresh.building_to) == (0, 2)
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await rows_in(store, CHANGED)
                fresh = await put(store, fresh, [NEW], projected=CHANGED)
            assert await rows_in(store, CHANGED) == [NEW]
            assert await store.prepare(CHANGED, 99) == fresh

    async def test_the_version_before_goes_on_beside_a_changed_definition(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            before = await store.checkpoint(PROJECTED.name)
            assert before is not None
            fresh = await put(store, await store.prepare(CHANGED, 1), [NEW], projected=CHANGED)
            live = await store.go_live(CHANGED, fresh)
            assert (live.live, live.building_to) == (True, 0)
            await put(store, before, [Sample("b")])
            assert await rows_in(store, PROJECTED) == [OLD, Sample("b")]
            assert await rows_in(store, CHANGED) == [NEW]

    async def test_a_change_that_leaves_the_rows_shape_answers_from_the_live_rows_while_it_is_built(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            fresh = await store.prepare(REFOLDED, 2)
            assert await rows_in(store, REFOLDED) == [OLD]
            fresh = await put(
                store, await put(store, fresh, [Sample("a", "half")], projected=REFOLDED), [NEW], projected=REFOLDED
            )
            assert await rows_in(store, REFOLDED) == [NEW]
            assert await rows_in(store, PROJECTED) == [OLD]

    async def test_by_its_plain_name_only_the_live_generation_is_read(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            fresh = await put(store, await store.prepare(CHANGED, 1), [NEW], projected=CHANGED)
            async with store.snapshot([PROJECTED], by_name=True) as snapshot:
                assert await snapshot.get(SAMPLE, "a") == OLD
            await store.go_live(CHANGED, fresh)
            with pytest.raises(Unavailable):
                async with store.snapshot([PROJECTED], by_name=True):
                    pass

    async def test_a_rollback_is_one_step_and_loses_no_row(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            await store.switch(PROJECTED, await put(store, await store.begin_rebuild(PROJECTED), [NEW]))
            back = await store.rollback(PROJECTED.name)
            assert (back.live, back.state) == (True, "current")
            assert await rows_in(store) == [OLD]
            await put(store, back, [Sample("b")])
            assert await rows_in(store) == [OLD, Sample("b")]
            with pytest.raises(Misuse, match="no earlier generation"):
                await store.rollback(PROJECTED.name)

    async def test_a_rollback_is_taken_back_in_one_step(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            with pytest.raises(Misuse, match="was rolled back"):
                await store.reinstate(PROJECTED.name)
            await store.switch(PROJECTED, await put(store, await store.begin_rebuild(PROJECTED), [NEW]))
            await store.rollback(PROJECTED.name)
            again = await store.reinstate(PROJECTED.name)
            assert (again.live, again.state, again.generation) == (True, "current", 2)
            assert await rows_in(store) == [NEW]
            assert [c.state for c in await store.generations(PROJECTED.name)] == ["retired", "current"]

    async def test_a_version_that_is_started_again_is_live_again(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            fresh = await put(store, await store.prepare(CHANGED, 1), [NEW], projected=CHANGED)
            await store.go_live(CHANGED, fresh)
            assert (await store.prepare(PROJECTED, 5)).live
            assert [c.live for c in await store.generations(PROJECTED.name)] == [True, False]

    async def test_a_comparison_names_the_rows_that_differ(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD, Sample("b"), Sample("c")) as store:
            live = await store.checkpoint(PROJECTED.name)
            assert live is not None
            built = await put(store, await store.begin_rebuild(PROJECTED), [NEW, Sample("b"), Sample("d")])
            found = await store.compare(PROJECTED, live, built)
            assert (found.same, found.different) == (1, 3)
            assert [(one.key, one.mine, one.other) for one in found.examples] == [
                ("a", OLD, NEW),
                ("c", Sample("c"), None),
                ("d", None, Sample("d")),
            ]
            assert len((await store.compare(PROJECTED, live, built, 2)).examples) == 2
            await put(store, live, [Sample("e")])
            with pytest.raises(Conflict):
                await store.compare(PROJECTED, live, built)

    async def test_a_lease_is_one_workers_and_the_next_gets_another_epoch(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            live = await store.checkpoint(PROJECTED.name)
            assert live is not None
            first = await store.lease(PROJECTED, live, "one", 100, 200)
            assert first is not None
            assert (first.owner, first.leased_until) == ("one", 200)
            assert await store.lease(PROJECTED, first, "two", 150, 250) is None
            again = await store.lease(PROJECTED, first, "one", 150, 250)
            assert again is not None
            assert again.epoch == first.epoch
            second = await store.lease(PROJECTED, again, "two", 250, 350)
            assert second is not None
            assert second.epoch == first.epoch + 1
            with pytest.raises(Conflict):  # it woke up, and writes as if it still had the lease
                await put(store, again, [NEW])
            assert await rows_in(store) == [OLD]
            await store.release("two")
            assert await store.lease(PROJECTED, (await store.generations(PROJECTED.name))[0], "one", 260, 360) is not None

    async def test_a_lease_that_ends_later_than_any_could_is_over(self, tmp_path: Path) -> None:
        """The clock was set back by ten minutes: nobody waits that long."""
        async with self.holding(tmp_path, OLD) as store:
            live = await store.checkpoint(PROJECTED.name)
            assert live is not None
            held = await store.lease(PROJECTED, live, "one", 1_000, 1_100)
            assert held is not None
            assert await store.lease(PROJECTED, held, "two", 400, 500) is not None

    async def test_a_pause_is_kept_until_it_is_ended(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            await store.pause(PROJECTED.name, "ann: looking")
            paused = await store.current(PROJECTED)
            assert paused is not None
            assert paused.paused == "ann: looking"
            with pytest.raises(Conflict):  # who was in the middle of a page does not finish it
                await put(store, paused, [NEW])
            await store.pause(PROJECTED.name, "")
            with pytest.raises(Misuse):
                await store.pause("Nothing", "ann: looking")

    async def test_a_read_model_that_changes_its_projection_is_built_anew(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await put(store, await store.prepare(ALONE, 0), [OLD], projected=ALONE)
            together = await store.prepare(PROJECTED, 1)
            assert (together.position, together.building_to) == (0, 1)
            with pytest.raises(Unavailable):
                await rows_in(store)
            await put(store, together, [NEW, Other(1)])
            assert await rows_in(store) == [NEW]
            assert (await store.prepare(ALONE, 1)).live, "the version before, started again, has its own rows"
            assert await rows_in(store, ALONE) == [OLD]
            assert await store.checkpoint(PROJECTED.name) is None

    async def test_what_was_written_is_there_after_reopening(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, OLD) as store:
            checkpoint = await store.checkpoint(PROJECTED.name)
            await put(store, await store.begin_rebuild(PROJECTED), [NEW])
        async with self.opened(tmp_path) as store:
            if "reopen" not in self.capabilities:
                assert await store.checkpoint(PROJECTED.name) is None
                return
            assert await store.prepare(PROJECTED, 1) == checkpoint
            assert await rows_in(store) == [OLD]
            again = await store.begin_rebuild(PROJECTED)  # the one that was broken off is forgotten
            assert again.position == 0
            await store.switch(PROJECTED, await put(store, again, [NEW]))
            assert await rows_in(store) == [NEW]

    async def test_of_two_stores_on_one_database_one_moves_a_checkpoint(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as one, self.opened(tmp_path) as two:
            if "shared" not in self.capabilities:
                await one.prepare(PROJECTED, 0)
                assert await two.checkpoint(PROJECTED.name) is None
                return
            before = await one.prepare(PROJECTED, 0)
            assert await two.prepare(PROJECTED, 0) == before
            await put(one, before, [OLD])
            with pytest.raises(Conflict):
                await put(two, before, [NEW])
            await put(two, moved(before), [NEW])
            built = await put(one, await one.begin_rebuild(PROJECTED), [OLD])
            with pytest.raises(Conflict):
                await two.switch(PROJECTED, built)
