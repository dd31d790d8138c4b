"""What an event store promises to those who read."""

import asyncio
import unicodedata
from pathlib import Path
from zlib import crc32

import pytest

from deedlog.messages.envelope import RecordedEvent
from deedlog.store.port import EventStore
from deedlog.testing.clock import TestClock
from deedlog.testing.contracts.event_samples import (
    EventStoreTests,
    append,
    assert_sound,
    event,
    event_ids,
    events,
    everything,
    to,
)

CONFUSABLE = [
    "a-%",
    "a-_",
    "a-%25",
    "a-A",
    "a-a",
    "a-a a",
    "a-'quoted\"",
    "a-\\",
    "a-ı",
    "a-ß",
    "a-SS",
    "a-é",
    unicodedata.normalize("NFD", "a-é"),
    "a-日本",
    "a-😀",
    "a-\ufffd",
    "a-" + "x" * 253,
    "a-" + "x" * 252,
    "a-" + "é" * 126,
    "a--",
    "a-1-2",
]


class ReadingTests(EventStoreTests):
    async def test_a_reader_never_steps_over_a_slow_writer(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await _read_beside_writers(store, store)

    async def test_an_empty_store_has_nothing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            assert await store.head() == 0
            assert list(await store.read_all()) == []
            assert list(await store.read_stream("a-1")) == []
            assert list(await store.streams()) == []
            assert await store.command("c") is None

    async def test_after_is_exclusive_and_pages_follow_each_other(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            new = events(23)
            for number, one in enumerate(new):
                await append(store, f"a-{number % 2}", one)
            for size in (1, 2, 5, 23, 1_000):
                assert event_ids(await everything(store, size)) == [one.id for one in new]
            of_one = await store.read_stream("a-1")
            assert [recorded.version for recorded in of_one] == list(range(1, 12))
            assert await store.read_stream("a-1", 4, 3) == of_one[4:7]
            assert list(await store.read_stream("a-1", 11)) == []
            assert list(await store.read_stream("a-1", 99)) == []
            assert list(await store.read_all(23)) == []
            assert list(await store.read_all(99)) == []
            assert list(await store.read_stream("a-9")) == []

    async def test_a_limit_of_nothing_reads_nothing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", *events(3))
            assert list(await store.read_stream("a-1", 0, 0)) == []
            assert list(await store.read_all(0, 0)) == []
            assert list(await store.read_all(0, 0, categories={"a"})) == []
            assert list(await store.read_all(0, 0, names={"Happened"})) == []
            assert list(await store.streams("", "", 0)) == []

    async def test_a_large_page_comes_whole(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", *events(2_000))
            await append(store, "a-2", *events(1_000))
            assert_sound(await store.read_all(0, 10_000))
            assert len(await store.read_all(0, 10_000)) == 3_000
            assert len(await store.read_stream("a-1", 0, 10_000)) == 2_000
            assert len(await store.read_all()) == 500

    @pytest.mark.parametrize("size", [1, 3, 100])
    async def test_filtered_pages_have_all_that_match_and_nothing_else(self, tmp_path: Path, size: int) -> None:
        async with self.opened(tmp_path) as store:
            for number in range(60):
                stream, name = f"c{number % 3}-{number}", f"N{number % 4}"
                await append(store, stream, event(name="Rare" if number in (1, 58) else name))
            log = await everything(store)
            for categories in ((), ("c0",), ("c1", "c2"), ["c1", "c1"], ("unknown",)):
                for names in ((), ("N1",), ("N0", "N3"), ["N1", "N1"], ("Rare",), ("Unknown",)):
                    wanted = [
                        recorded
                        for recorded in log
                        if (not categories or recorded.category in categories) and (not names or recorded.name in names)
                    ]
                    found: list[RecordedEvent] = []
                    while page := await store.read_all(
                        found[-1].position if found else 0, size, categories=categories, names=names
                    ):
                        assert len(page) <= size
                        found += page
                    assert found == wanted

    async def test_text_comes_back_as_it_was(self, tmp_path: Path) -> None:
        texts = ['{"a":"\\u0000"}', '{"a":"é日本😀"}', '{ "spaced" : 1.0 }', '"' + "x" * 100_000 + '"', "[]", '{"a":"\'--;%_"}']
        async with self.opened(tmp_path) as store:
            for text in texts:
                await append(store, "a-1", event(text, metadata=text, name="Änderung"))
            log = await store.read_stream("a-1")
            assert [recorded.data for recorded in log] == texts
            assert [recorded.metadata for recorded in log] == texts
            assert {recorded.name for recorded in log} == {"Änderung"}

    async def test_an_event_knows_its_place_its_bucket_and_its_time(self, tmp_path: Path) -> None:
        clock = TestClock()
        async with self.opened(tmp_path, clock=clock) as store:
            new = event('{"a":1}')
            clock.advance(0.000123)
            await append(store, "über-1-2", new)
            (recorded,) = await store.read_all()
            bucket = crc32("über-1-2".encode()) % 1024
            assert recorded == RecordedEvent(
                1, "über-1-2", 1, "über", bucket, "Happened", 1, '{"a":1}', "{}", recorded.recorded_at, new.id
            )
            assert recorded.time == clock.now()
            assert list(await store.read_stream("über-1-2")) == [recorded]

    async def test_names_that_databases_confuse_stay_apart(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            for number, name in enumerate(CONFUSABLE, 1):
                await append(store, name, *events(number))
            for number, name in enumerate(CONFUSABLE, 1):
                assert [recorded.stream for recorded in await store.read_stream(name)] == [name] * number
            listed = await store.streams()
            assert [summary.stream for summary in listed] == sorted(CONFUSABLE)
            assert {summary.stream: summary.version for summary in listed} == {n: i for i, n in enumerate(CONFUSABLE, 1)}

    async def test_streams_are_listed_by_prefix_in_pages(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            names = sorted([*CONFUSABLE, "b-1", "b-2", "B-1", "ab-1", "é-1", "😀-1"])
            await store.append(tuple(to(name, *events(2)) for name in reversed(names)))
            for prefix in ("", "a", "a-", "a-a", "a-%", "a-_", "a-é", "b-1", "é", "😀", "zzz"):
                wanted = [name for name in names if name.startswith(prefix)]
                for size in (1, 4, 100):
                    found: list[str] = []
                    while page := await store.streams(prefix, found[-1] if found else "", size):
                        assert len(page) <= size
                        found += [summary.stream for summary in page]
                    assert found == wanted
            (summary,) = await store.streams("b-2")
            newest = (await store.read_stream("b-2"))[-1]
            assert (summary.version, summary.last_position, summary.recorded_at) == (2, newest.position, newest.recorded_at)

    async def test_waiting_ends_when_something_is_appended(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.wait(0, 0.01)  # nothing comes: returns all the same
            waiting = asyncio.ensure_future(store.wait(0, 60))
            await asyncio.sleep(0)
            await append(store, "a-1", event())
            await asyncio.wait_for(waiting, 10)
            await asyncio.wait_for(store.wait(0, 60), 10)  # it is there already

    async def test_what_was_stored_is_there_after_reopening(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", *events(3))
            first_id, log = store.id, await everything(store)
        async with self.opened(tmp_path) as store:
            if "reopen" not in self.capabilities:
                assert await store.head() == 0
                assert store.id != first_id
                return
            assert store.id == first_id
            assert await everything(store) == log
            assert (await append(store, "a-1", event())).position == 4

    async def test_two_databases_have_two_ids(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        async with self.opened(tmp_path / "one") as one, self.opened(tmp_path / "two") as two:
            assert one.id != two.id

    async def test_two_stores_on_one_database_are_one_log(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as one, self.opened(tmp_path) as two:
            if "shared" not in self.capabilities:
                assert one.id != two.id
                return
            assert one.id == two.id
            await _read_beside_writers(one, two)
            waiting = asyncio.ensure_future(two.wait(await two.head(), 60))
            await asyncio.sleep(0)
            await append(one, "a-1", event())
            await asyncio.wait_for(waiting, 10)
            assert await two.head() == await one.head()


async def _read_beside_writers(first: EventStore, second: EventStore) -> None:
    """Pages of a reader that polls while others write are contiguous from the first event to the last."""
    finished = asyncio.Event()
    per_writer, writers = 40, 12

    async def write(number: int) -> None:
        store = first if number % 2 else second
        for step in range(per_writer):
            await append(store, f"w-{number}", *events(1 + (number + step) % 3))

    async def read() -> list[RecordedEvent]:
        seen: list[RecordedEvent] = []
        while True:
            last_round = finished.is_set()
            while page := await second.read_all(len(seen), 50):
                assert [recorded.position for recorded in page] == list(range(len(seen) + 1, len(seen) + 1 + len(page)))
                seen += page
            if last_round:
                return seen
            await second.wait(len(seen), 0.01)

    reading = asyncio.ensure_future(read())
    await asyncio.gather(*(write(number) for number in range(writers)))
    finished.set()
    seen = await reading
    assert_sound(seen)
    assert len(seen) == await first.head()
