"""What an event store promises to those who bring events from elsewhere."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from deedlog.errors import Conflict, DeedlogError, InvalidMessage, Unavailable
from deedlog.messages.envelope import to_micros
from deedlog.store.port import Appended, ImportedEvent, Matching
from deedlog.testing.clock import TestClock
from deedlog.testing.contracts.event_samples import EventStoreTests, append, assert_sound, event, event_ids, events, everything
from deedlog.types import Exactly


class ImportTests(EventStoreTests):
    async def test_imported_events_stand_behind_the_head_in_the_order_given(self, tmp_path: Path) -> None:
        clock = TestClock()
        async with self.opened(tmp_path, clock=clock) as store:
            await append(store, "a-1", *events(2))
            new = events(5)
            streams = ["b-1", "a-1", "b-1", "ü-2", "a-1"]
            done = await store.import_events([ImportedEvent(stream, one) for stream, one in zip(streams, new, strict=True)])
            assert done == Appended("a-1", 4, 7, 5)
            log = await everything(store)
            assert_sound(log)
            assert event_ids(log[2:]) == [one.id for one in new]
            assert [(recorded.stream, recorded.version) for recorded in log[2:]] == [
                ("b-1", 1),
                ("a-1", 3),
                ("b-1", 2),
                ("ü-2", 1),
                ("a-1", 4),
            ]
            assert (await append(store, "b-1", event(), expected=Exactly(2))).position == 8

    async def test_an_imported_event_is_as_an_appended_one(self, tmp_path: Path) -> None:
        clock = TestClock()
        async with self.opened(tmp_path, clock=clock) as store:
            new = event('{"a": "é\\u0000"}', name="Änderung", metadata='{"x":1}', tags=("k:v", "k:v", "k:w"))
            await append(store, "a-1", new)
            await store.import_events([ImportedEvent("a-1", new)])
            first, second = await everything(store)
            assert msgspec.structs.replace(second, position=1, version=1) == first
            assert [one.position for one in await store.read_matching([Matching(("k:w", "k:v"))])] == [1, 2]

    async def test_a_time_that_is_given_is_kept(self, tmp_path: Path) -> None:
        clock = TestClock()
        now = to_micros(clock.now())
        async with self.opened(tmp_path, clock=clock) as store:
            times = [1, None, -5, now + 10**12]
            await store.import_events([ImportedEvent("a-1", event(), time) for time in times])
            assert [recorded.recorded_at for recorded in await everything(store)] == [1, now, -5, now + 10**12]

    async def test_a_chunk_sent_twice_is_refused_by_its_expected_head(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            chunk = [ImportedEvent("a-1", one) for one in events(3)]
            assert (await store.import_events(chunk, expected_head=0)).position == 3
            with pytest.raises(Conflict) as caught:
                await store.import_events(chunk, expected_head=0)
            assert caught.value.data == {"head": 3, "expected": 0}
            assert await store.head() == 3
            assert (await store.import_events(chunk[:1], expected_head=3)).position == 4

    @pytest.mark.parametrize(
        "text", ["", "[]", "null", '"a"', "{", '{"a":1} x', "{'a':1}", '{"a":01}', '{"a":"\x01"}', '{"a":"\ud800"}']
    )
    @pytest.mark.parametrize("field", ["data", "metadata"])
    async def test_what_is_no_json_object_is_refused_and_nothing_stored(self, tmp_path: Path, field: str, text: str) -> None:
        async with self.opened(tmp_path) as store:
            wrong = msgspec.structs.replace(event(), **{field: text})
            with pytest.raises(InvalidMessage) as caught:
                await store.import_events([ImportedEvent("a-1", event()), ImportedEvent("a-1", wrong)])
            assert caught.value.path == f"[1].{field}"
            assert await store.head() == 0

    @pytest.mark.parametrize("name", ["", "a", "-1", "a-", "a-\n", "$a-1", "a-" + "x" * 254, "a-\ud800"])
    async def test_a_stream_name_that_cannot_be_one_is_refused(self, tmp_path: Path, name: str) -> None:
        async with self.opened(tmp_path) as store:
            with pytest.raises(InvalidMessage):
                await store.import_events([ImportedEvent("a-1", event()), ImportedEvent(name, event())])
            assert await store.head() == 0

    async def test_what_cannot_be_stored_leaves_the_log_sound(self, tmp_path: Path) -> None:
        """A store may take what another can't: a number of more than 64 bits, half a surrogate pair in a tag."""
        async with self.opened(tmp_path) as store:
            for wrong in (ImportedEvent("a-1", event(), 2**63), ImportedEvent("a-1", event(tags=("\ud800",)))):
                before = await store.head()
                try:
                    await store.import_events([ImportedEvent("b-1", event()), wrong])
                except DeedlogError:
                    assert await store.head() == before
            assert_sound(await everything(store))

    async def test_an_import_of_nothing_only_asserts_the_head(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", *events(2))
            assert await store.import_events([]) == Appended("", 0, 2, 0)
            assert await store.import_events([], expected_head=2) == Appended("", 0, 2, 0)
            with pytest.raises(Conflict):
                await store.import_events([], expected_head=1)

    async def test_a_large_import_beside_appends_leaves_one_sound_log(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            chunk = [ImportedEvent(f"a-{number % 7}", event(tags=(f"n:{number % 3}",))) for number in range(3_000)]
            callers = (append(store, f"a-{number % 7}", event()) for number in range(100))
            done, *_ = await asyncio.gather(store.import_events(chunk), *callers)
            assert await store.head() == 3_100
            log = await everything(store)
            assert_sound(log)
            imported = log[done.position - done.count : done.position]
            assert event_ids(imported) == [one.event.id for one in chunk]
            assert len(await store.read_matching([Matching(("n:1",))], 0, 5_000)) == 1_000

    async def test_who_waits_hears_of_an_import(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            waiting = asyncio.ensure_future(store.wait(0, 60))
            await asyncio.sleep(0)
            await store.import_events([ImportedEvent("a-1", event())])
            await asyncio.wait_for(waiting, 10)

    async def test_a_closed_store_imports_nothing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.close()
            with pytest.raises(Unavailable):
                await store.import_events([ImportedEvent("a-1", event())])
