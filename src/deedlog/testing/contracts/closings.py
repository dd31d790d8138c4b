"""What an event store promises about streams that were closed."""

import asyncio
from pathlib import Path

import pytest

from deedlog.errors import InvalidMessage, StreamClosed, Unavailable, WrongExpectedVersion
from deedlog.messages.envelope import to_micros
from deedlog.store.port import Appended, CommandKey, ImportedEvent, StreamClosing
from deedlog.testing.clock import TestClock
from deedlog.testing.contracts.event_samples import EventStoreTests, append, assert_sound, event, events, everything, to
from deedlog.types import Exactly, NoStream

KEY = CommandKey("command-1", "digest-1")


class ClosingTests(EventStoreTests):
    async def test_a_closing_says_when_by_whom_and_why(self, tmp_path: Path) -> None:
        clock = TestClock()
        async with self.opened(tmp_path, clock=clock) as store:
            await append(store, "a-1", *events(2))
            await append(store, "b-1", event())
            closing = await store.close_stream("a-1", Exactly(2), by="Änn", why="moved\0 to 'b-1'")
            assert closing == StreamClosing("a-1", 2, 3, "Änn", "moved\0 to 'b-1'", to_micros(clock.now()))
            assert await store.closing("a-1") == closing
            assert await store.closing("b-1") is None
            assert await store.closing("c-1") is None

    async def test_a_closed_stream_takes_no_events(self, tmp_path: Path) -> None:
        clock = TestClock()
        async with self.opened(tmp_path, clock=clock) as store:
            await append(store, "a-1", event())
            await store.close_stream("a-1", by="Ann", why="done")
            at = clock.now()
            clock.advance(5)
            for expected in (Exactly(1), Exactly(0)):
                with pytest.raises(StreamClosed) as caught:
                    await append(store, "a-1", event(), expected=expected, command=KEY)
                error = caught.value
                assert (error.stream, error.by, error.why, error.at) == ("a-1", "Ann", "done", at)
            with pytest.raises(StreamClosed):
                await store.append((to("b-1", event()), to("a-1", event())))
            with pytest.raises(StreamClosed):
                await store.import_events([ImportedEvent("b-1", event()), ImportedEvent("a-1", event())])
            assert await store.head() == 1
            assert await store.command(KEY.id) is None
            assert len(await store.read_stream("a-1")) == 1

    async def test_a_closed_stream_may_still_be_asserted(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", event())
            await store.close_stream("a-1", by="Ann", why="done")
            done = await store.append((to("a-1", expected=Exactly(1)), to("b-1", event())))
            assert done == Appended("a-1", 1, 2, 1)
            with pytest.raises(WrongExpectedVersion):
                await append(store, "a-1", expected=Exactly(2))

    async def test_closing_twice_gives_the_first_closing(self, tmp_path: Path) -> None:
        clock = TestClock()
        async with self.opened(tmp_path, clock=clock) as store:
            first = await store.close_stream("a-1", by="Ann", why="done")
            clock.advance(1)
            await append(store, "b-1", event())
            assert await store.close_stream("a-1", Exactly(7), by="Bob", why="again") == first

    async def test_many_who_close_at_once_get_one_closing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            closings = await asyncio.gather(*(store.close_stream("a-1", by=f"{n}", why="") for n in range(10)))
            assert len({closing.by for closing in closings}) == 1

    async def test_a_stream_at_another_version_is_not_closed(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", event())
            with pytest.raises(WrongExpectedVersion) as caught:
                await store.close_stream("a-1", NoStream(), by="Ann", why="done")
            assert (caught.value.stream, caught.value.actual) == ("a-1", 1)
            assert await store.closing("a-1") is None
            assert (await append(store, "a-1", event())).version == 2

    async def test_a_stream_that_is_not_there_can_be_closed_before_it_starts(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            assert (await store.close_stream("a-1", NoStream(), by="Ann", why="reserved")).version == 0
            with pytest.raises(StreamClosed):
                await append(store, "a-1", event(), expected=NoStream())
            assert list(await store.streams()) == []

    async def test_a_name_that_no_stream_can_have_is_refused(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            for name in ("", "a", "a-\0", "$a-1"):
                with pytest.raises(InvalidMessage):
                    await store.close_stream(name, by="Ann", why="done")

    async def test_a_closed_stream_rejects_one_caller_not_the_batch(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.close_stream("a-3", by="Ann", why="done")
            callers = (append(store, f"a-{number}", event()) for number in range(10))
            outcomes = await asyncio.gather(*callers, return_exceptions=True)
            assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, StreamClosed)] == [3]
            assert await store.head() == 9

    async def test_an_append_submitted_after_the_closing_fails(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            before = [asyncio.ensure_future(append(store, "a-1", event())) for _ in range(20)]
            closing = asyncio.ensure_future(store.close_stream("a-1", by="Ann", why="done"))
            await asyncio.sleep(0)  # all are submitted, in this order
            after = [asyncio.ensure_future(append(store, "a-1", event())) for _ in range(20)]
            outcomes = await asyncio.gather(*before, *after, return_exceptions=True)
            landed = [outcome for outcome in outcomes[:20] if isinstance(outcome, Appended)]
            assert all(isinstance(outcome, Appended | StreamClosed) for outcome in outcomes[:20])
            assert all(isinstance(outcome, StreamClosed) for outcome in outcomes[20:])
            assert (await closing).version == len(landed) == await store.head()
            assert_sound(await everything(store))

    async def test_a_closing_is_known_to_every_store_on_the_database(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as one, self.opened(tmp_path) as two:
            closing = await one.close_stream("a-1", by="Ann", why="done")
            if "shared" not in self.capabilities:
                assert await two.closing("a-1") is None
                return
            assert await two.closing("a-1") == closing
            with pytest.raises(StreamClosed):
                await append(two, "a-1", event())

    async def test_a_closed_store_closes_no_streams(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.close()
            with pytest.raises(Unavailable):
                await store.close_stream("a-1", by="Ann", why="done")
