"""What is promised of one bad event: it parks its own key, with what follows it for that key, and nothing else (P8)."""

from pathlib import Path

import msgspec
import pytest

from deedlog.errors import Misuse
from deedlog.messages.codec import Codec
from deedlog.projections.letters import DeadLetters
from deedlog.projections.projection import Projection
from deedlog.projections.rebuild import rebuild, verify
from deedlog.projections.runner import Runner
from deedlog.reads.port import ReadStore
from deedlog.reads.values import STREAM, Changes, Checkpoint, Projected
from deedlog.store.port import EventStore, StreamWrite
from deedlog.testing.clock import TestClock
from deedlog.testing.contracts.faults import MOMENTS, Crash, CrashingReads, Moment, SmallPages, Unreadable
from deedlog.testing.contracts.ledger import (
    TOO_MUCH,
    Closed,
    Deposited,
    Moved,
    Opened,
    OwnerNamed,
    codec,
    expected,
    history,
    record,
    together,
    totals,
)
from deedlog.testing.contracts.ledger_stores import LedgerTests, breaking, catch_up, checkpoint_of, only, rows_in, stored_in
from deedlog.types import Any as AnyVersion

OPENED = [Opened("a1", "ann"), Deposited("a1", 1), Opened("x", "ann")]
EVENTS = [*OPENED, Deposited("x", 2), Deposited("a1", 3), Deposited("x", 4), Closed("x")]
SIZES = [1, 2, 4, 5_000]


def dead_letters(store: EventStore, reads: ReadStore, projection: Projection = together, codec: Codec = codec) -> DeadLetters:
    return DeadLetters(projection, store, reads, codec, TestClock())


async def positions(letters: DeadLetters, *, failed: bool = False) -> list[tuple[str, object, int]]:
    return [(one.model, one.key, one.position) for one in await letters.list(failed=failed)]


class RolledBackOnce(CrashingReads):
    """Somebody rolls back just before the first write, which comes too late then."""

    rolled_back = False

    async def write(self, projected: Projected, changes: Changes, before: Checkpoint, after: Checkpoint) -> None:
        if not self.rolled_back:
            self.rolled_back = True
            await self.rollback(projected.name)
        await super().write(projected, changes, before, after)


class DeadLetterTests(LedgerTests):
    @pytest.mark.parametrize("size", SIZES)
    async def test_a_bad_event_parks_its_key_and_what_follows_for_it(self, tmp_path: Path, size: int) -> None:
        async with self.opened(tmp_path, EVENTS) as (store, reads):
            with breaking("x"):
                await catch_up(SmallPages(store, size), reads)
            letters = dead_letters(store, reads)
            parked = [("Account", "x", 4), ("Statement", "x", 4), ("Account", "x", 6), ("Statement", "x", 6), ("Account", "x", 7)]
            assert await positions(letters) == parked
            assert await positions(letters, failed=True) == parked[:2]
            assert await checkpoint_of(reads, together) == 7
            at = await reads.current(together.projected)
            assert at is not None
            assert at.parked == 2

    @pytest.mark.parametrize("size", SIZES)
    async def test_other_keys_and_other_projections_go_on(self, tmp_path: Path, size: int) -> None:
        async with self.opened(tmp_path, EVENTS) as (store, reads):
            with breaking("x"):
                await catch_up(SmallPages(store, size), reads)
            without = only(together, expected([*OPENED, Deposited("a1", 3)]))
            assert await rows_in(reads, together) == without
            assert await rows_in(reads, totals) == only(totals, expected(EVENTS))

    async def test_a_letter_says_what_went_wrong(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, EVENTS) as (store, reads):
            with breaking("x"):
                await catch_up(store, reads)
            first = (await dead_letters(store, reads).list())[0]
            assert (first.event, first.stream, first.attempts) == ("Deposited", "ledger-x", 1)
            assert first.error is not None
            assert "ZeroDivisionError: the ledger of x is broken" in first.error

    async def test_an_event_that_cannot_be_read_parks_its_stream(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, OPENED) as (store, reads):
            bad = msgspec.structs.replace(codec.new_event(Deposited("a1", 2), "{}"), data='{"account":"a1"}')
            await store.append((StreamWrite("ledger-a1", (bad,), AnyVersion()),))
            await record(store, Deposited("x", 5), Deposited("a1", 7))
            await catch_up(SmallPages(store, 2), reads)
            assert await positions(dead_letters(store, reads)) == [(STREAM, "ledger-a1", 4), (STREAM, "ledger-a1", 6)]
            assert await rows_in(reads, together) == only(together, expected([*OPENED, Deposited("x", 5)]))

    @pytest.mark.parametrize("size", SIZES)
    async def test_a_row_that_cannot_be_stored_parks_its_key(self, tmp_path: Path, size: int) -> None:
        events = [*OPENED, Deposited("x", TOO_MUCH), Deposited("x", 5), Deposited("a1", 5)]
        async with self.opened(tmp_path, events) as (store, reads):
            await catch_up(SmallPages(store, size), reads)
            assert ("Account", "x", 5) in await positions(dead_letters(store, reads), failed=True)
            rows = await rows_in(reads, together)
            assert [(row.account, row.balance) for row in rows["Account"]] == [("a1", 6), ("x", TOO_MUCH)]

    @pytest.mark.parametrize("size", SIZES)
    async def test_a_retry_gives_the_rows_that_would_be_there(self, tmp_path: Path, size: int) -> None:
        events = [*EVENTS[:-1], OwnerNamed("ann", "Ann"), Moved("x", "bob"), Deposited("x", 9), OwnerNamed("bob", "Bob")]
        async with self.opened(tmp_path, events) as (store, reads):
            with breaking("x"):
                await catch_up(SmallPages(store, size), reads)
            assert await dead_letters(store, reads).retry() == []
            assert await rows_in(reads, together) == only(together, expected(events))
            assert await positions(dead_letters(store, reads)) == []
            await record(store, Deposited("x", 1))
            await catch_up(store, reads)
            assert await rows_in(reads, together) == only(together, expected([*events, Deposited("x", 1)]))

    async def test_what_a_parked_row_would_be_found_by_follows_it_into_the_letters(self, tmp_path: Path) -> None:
        """Its row still says ann: that bob's name concerns it, nobody knows before it is taken up again."""
        events = [Opened("x", "ann"), Deposited("x", 1), Moved("x", "bob"), OwnerNamed("bob", "Bob")]
        async with self.opened(tmp_path, events) as (store, reads):
            with breaking("x"):
                await catch_up(store, reads)
            async with reads.snapshot([together.projected]) as snapshot:
                assert await snapshot.is_parked(together.projected, "ledger-owner", 4)
            await dead_letters(store, reads).retry()
            assert await rows_in(reads, together) == only(together, expected(events))

    async def test_a_rebuild_that_parks_more_than_the_live_rows_is_not_switched_to(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, EVENTS) as (store, reads):
            await catch_up(store, reads)
            with breaking("x"), pytest.raises(Misuse, match="parks 2 keys that the live rows have; the first: Deposited at 4"):
                await rebuild(Runner(together, store, reads, codec), reads, store)
            assert await rows_in(reads, together) == only(together, expected(EVENTS))
            assert len(await reads.generations(together.name)) == 1

    async def test_a_retry_during_a_rollback_writes_nothing_from_behind_it(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, EVENTS) as (store, reads):
            with breaking("x"):
                await catch_up(store, reads)
                await rebuild(Runner(together, store, reads, codec), reads, store)
                await record(store, Deposited("a1", 5), Deposited("x", 6))
                await catch_up(store, reads)
            await dead_letters(store, RolledBackOnce(reads, "before the write", 0)).retry()
            behind = await reads.current(together.projected)
            assert behind is not None
            assert behind.position == len(EVENTS)
            assert [one.position for one in await dead_letters(store, reads).list() if one.position > behind.position] == []
            assert all(one.position <= behind.position for one in (await stored_in(reads, together)).values())
            await catch_up(store, reads)
            assert await rows_in(reads, together) == only(together, expected([*EVENTS, Deposited("a1", 5), Deposited("x", 6)]))

    async def test_a_verify_with_a_bad_fold_is_no_measure(self, tmp_path: Path) -> None:
        """Else a repair would take healthy rows for surplus ones, and remove them."""
        async with self.opened(tmp_path, EVENTS) as (store, reads):
            await catch_up(store, reads)
            with breaking("x"), pytest.raises(Misuse, match="parks 2 keys that the live rows have"):
                await verify(Runner(together, store, reads, codec), reads, store)
            assert await rows_in(reads, together) == only(together, expected(EVENTS))
            assert len(await reads.generations(together.name)) == 1

    async def test_a_row_that_looks_up_a_parked_one_waits_with_it(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, EVENTS) as (store, reads):
            with breaking("x"):
                await catch_up(store, reads)
            waiting = [one for one in await dead_letters(store, reads).list(failed=True) if one.model == "Statement"]
            assert waiting[0].error is not None
            assert "looks up Account 'x'" in waiting[0].error

    async def test_a_retry_that_fails_again_counts_it_and_changes_nothing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, EVENTS) as (store, reads):
            with breaking("x"):
                await catch_up(store, reads)
                before = await rows_in(reads, together)
                left = await dead_letters(store, reads).retry([("Account", "x")])
                assert [one.attempts for one in left if one.error] == [2]
                assert await rows_in(reads, together) == before

    async def test_a_stream_that_can_be_read_again_gives_the_rows_that_would_be_there(self, tmp_path: Path) -> None:
        events = [*OPENED, Deposited("a1", 2), OwnerNamed("ann", "Ann"), Deposited("x", 5), Deposited("a1", 7)]
        async with self.opened(tmp_path, events) as (store, reads):
            await catch_up(Unreadable(SmallPages(store, 2), 4), reads)
            assert (STREAM, "ledger-a1", 4) in await positions(dead_letters(store, reads))
            await dead_letters(store, reads).retry()
            assert await rows_in(reads, together) == only(together, expected(events))

    async def test_a_skip_is_kept_with_who_and_why_and_rebuilds_keep_to_it(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, EVENTS[:-1]) as (store, reads):
            with breaking("x"):
                await catch_up(store, reads)
            letters = dead_letters(store, reads)
            await letters.skip(("Account", "x"), 4, by="ann", why="typed twice")
            await letters.retry([("Statement", "x")])
            skipped = expected([*OPENED, Deposited("a1", 3), Deposited("x", 4)])
            rows = await rows_in(reads, together)
            assert rows["Account"] == skipped["Account"]
            assert [(skip.by, skip.why) for skip in await letters.skips()] == [("ann", "typed twice")]
            await rebuild(Runner(together, store, reads, codec), reads, store)
            assert await rows_in(reads, together) == rows

    async def test_a_skip_without_who_or_why_is_refused(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, EVENTS) as (store, reads):
            with breaking("x"):
                await catch_up(store, reads)
            with pytest.raises(Misuse, match="who"):
                await dead_letters(store, reads).skip(("Account", "x"), 4, by=" ", why="")
            assert len(await dead_letters(store, reads).list()) == 5

    async def test_a_purge_skips_all_letters_of_a_key(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, EVENTS) as (store, reads):
            with breaking("x"):
                await catch_up(store, reads)
            letters = dead_letters(store, reads)
            assert await letters.purge(by="ann", why="a test account") == 5
            assert await letters.list() == []
            await record(store, Deposited("x", 7))
            await catch_up(store, reads)
            assert (await rows_in(reads, together))["Account"][1].balance == 7

    @pytest.mark.parametrize("moment", MOMENTS)
    @pytest.mark.parametrize("number", [1, 2, 3])
    async def test_a_crash_while_a_key_is_parked_loses_no_letter(self, tmp_path: Path, moment: Moment, number: int) -> None:
        if moment == "between rows and checkpoint" and "shared" in self.capabilities:
            moment = "after the write"  # rows, letters and checkpoint are one commit there
        events = [*history(40, seed=5), *EVENTS]
        async with self.opened(tmp_path, events) as (store, reads):
            pages = SmallPages(store, 9)
            with breaking("x"):
                with pytest.raises(Crash):
                    await catch_up(pages, CrashingReads(reads, moment, number))
                await catch_up(pages, reads)
            assert [at for _, _, at in await positions(dead_letters(store, reads), failed=True)] == [44, 44]
            await dead_letters(store, reads).retry()
            assert await rows_in(reads, together) == only(together, expected(events))

    async def test_verify_finds_the_rows_that_differ_and_mending_them_is_exact(self, tmp_path: Path) -> None:
        events = history(60, seed=3)
        async with self.opened(tmp_path, events) as (store, reads):
            await catch_up(store, reads)
            at = await reads.current(together.projected)
            assert at is not None
            stored = await stored_in(reads, together)
            place = next(place for place in stored if place[0] == "Account")
            wrong = msgspec.structs.replace(stored[place], row=msgspec.structs.replace(stored[place].row, balance=-1))
            lost = next(place for place in stored if place[0] == "Statement")
            await reads.write(together.projected, Changes({"Account": [wrong]}, {"Statement": [lost[1]]}), at, at)
            found = await verify(Runner(together, store, reads, codec), reads, store)
            assert {(one.model, one.key) for one in found.comparison.examples} == {place, lost}
            assert found.comparison.different == 2
            await dead_letters(store, reads).mend([place, lost])
            assert await rows_in(reads, together) == only(together, expected(events))
            assert (await verify(Runner(together, store, reads, codec), reads, store)).comparison.different == 0
