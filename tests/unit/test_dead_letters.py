"""Dead letters where they could get lost: a stream that can be read again but not folded, skips and new builds, tokens."""

from pathlib import Path

import msgspec
import pytest

from deedlog import App, Append, Command, Event, Query, Reader, ReadModel, Stale, starts
from deedlog.projections.letters import DeadLetters
from deedlog.projections.rebuild import verify
from deedlog.projections.runner import Runner
from deedlog.reads.port import ReadStore
from deedlog.reads.values import STREAM
from deedlog.store.port import EventStore
from deedlog.testing import TestClock
from deedlog.testing.contracts.faults import Unreadable
from deedlog.testing.contracts.ledger import Deposited, Moved, Opened, codec, expected, together
from deedlog.testing.contracts.ledger_stores import LedgerTests, breaking, catch_up, only, rows_in
from tests.unit.ledgers import LEDGERS

OPENED = [Opened("a1", "ann"), Deposited("a1", 1), Opened("x", "ann")]


@pytest.fixture(params=LEDGERS)
def ledger(request: pytest.FixtureRequest) -> LedgerTests:
    return LEDGERS[request.param]


def letters_of(store: EventStore, reads: ReadStore) -> DeadLetters:
    return DeadLetters(together, store, reads, codec, TestClock())


async def test_an_event_of_a_parked_stream_that_fails_when_it_can_be_read_parks_its_row(
    tmp_path: Path, ledger: LedgerTests
) -> None:
    events = [*OPENED, Deposited("x", 2), Deposited("a1", 3)]
    async with ledger.opened(tmp_path, events) as (store, reads):
        await catch_up(Unreadable(store, 4), reads)
        letters = letters_of(store, reads)
        assert [(one.model, one.position) for one in await letters.list()] == [(STREAM, 4)]
        with breaking("x"):
            left = await letters.retry()
        assert {(one.model, one.key, one.position) for one in left} == {("Account", "x", 4), ("Statement", "x", 4)}
        assert {(one.model, one.key, one.position) for one in await letters.list()} == {
            ("Account", "x", 4),
            ("Statement", "x", 4),
        }
        await letters.retry()
        assert await rows_in(reads, together) == only(together, expected(events))


async def test_a_new_definition_keeps_to_the_skips(tmp_path: Path, ledger: LedgerTests) -> None:
    events = [*OPENED, Deposited("x", 2), Deposited("x", 3)]
    async with ledger.opened(tmp_path, events) as (store, reads):
        with breaking("x"):
            await catch_up(store, reads)
        letters = letters_of(store, reads)
        await letters.skip(("Account", "x"), 4, by="ann", why="typed twice")
        await letters.retry()
        newer = msgspec.structs.replace(together.projected, definition="newer")
        at = await reads.prepare(newer, 5)
        parked = await reads.parked(newer, at)
        assert parked.skips == {("Account", "x"): {4}}
        assert at.revision > 0


class Named(Event):
    thing: str


class Name(Command):
    things: list[str]


class CountThings(Query[int]):
    pass


def naming_app() -> App:
    """A command writes one event to the stream of each thing; the rows of things called `bad…` can't be folded."""
    app = App("naming", store="memory://")

    @app.command_handler
    def name(command: Name) -> list[Append]:
        return [Append(f"thing-{thing}", [Named(thing)]) for thing in command.things]

    @app.read_model(key="thing")
    class Thing(ReadModel):
        thing: str

        @starts
        @classmethod
        def named(cls, event: Named) -> "Thing":
            if event.thing.startswith("bad"):
                raise ValueError("a bad name")
            return cls(event.thing)

    @app.query
    async def count(query: CountThings, things: Reader[Thing]) -> int:
        return await things.count()

    return app


@pytest.mark.parametrize("things", [["bad"], ["bad", "good"], ["good", "bad"], ["a", "bad", "b", "c"]])
async def test_a_token_never_misses_a_parked_write_whichever_stream_it_was_to(things: list[str]) -> None:
    async with naming_app() as app:
        receipt = await app.execute(Name(things))
        with pytest.raises(Stale, match="dead letters"):
            await app.ask(CountThings(), after=receipt.token)


async def test_a_token_of_a_write_that_parked_nothing_is_met_beside_dead_letters() -> None:
    async with naming_app() as app:
        await app.execute(Name(["bad"]))
        receipt = await app.execute(Name(["good"]))
        assert (await app.ask(CountThings(), after=receipt.token)).value == 1


async def test_a_token_of_a_command_that_wrote_more_than_a_page_misses_none_of_it() -> None:
    async with naming_app() as app:
        receipt = await app.execute(Name(["bad", *(f"thing {number}" for number in range(700))]))
        with pytest.raises(Stale, match="dead letters"):
            await app.ask(CountThings(), after=receipt.token)


async def test_a_skip_is_seen_by_the_rows_that_look_the_skipping_one_up(tmp_path: Path, ledger: LedgerTests) -> None:
    """Which of the two was taken up first makes no difference."""
    events = [*OPENED, Deposited("x", 2), Moved("x", "bob"), Deposited("x", 5)]
    async with ledger.opened(tmp_path, events) as (store, reads):
        with breaking("x"):
            await catch_up(store, reads)
        letters = letters_of(store, reads)
        await letters.retry([("Statement", "x")])
        await letters.skip(("Account", "x"), 5, by="ann", why="moved by mistake")
        rows = await rows_in(reads, together)
        assert rows["Statement"][1].lines == ["ann: 2", "ann: 5"]
        assert (await verify(Runner(together, store, reads, codec), reads, store)).comparison.different == 0
