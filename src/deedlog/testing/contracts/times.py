"""What an event store promises to those who ask for the past: positions by time, versions by position."""

from pathlib import Path

from deedlog.messages.envelope import RecordedEvent, to_micros
from deedlog.store.port import ImportedEvent
from deedlog.testing.clock import TestClock
from deedlog.testing.contracts.event_samples import EventStoreTests, append, event, events, everything


def is_place(log: list[RecordedEvent], position: int, time: int) -> bool:
    """The event there is not newer than the time, the next one is."""
    before = position == 0 or log[position - 1].recorded_at <= time
    behind = position == len(log) or log[position].recorded_at > time
    return before and behind


class TimeTests(EventStoreTests):
    async def test_a_time_has_the_position_of_the_last_event_until_then(self, tmp_path: Path) -> None:
        clock = TestClock()
        async with self.opened(tmp_path, clock=clock) as store:
            start = to_micros(clock.now())
            assert await store.position_at(start) == 0
            for count in (1, 3, 2, 1):
                await append(store, "a-1", *events(count))
                clock.advance(1)
            second = 1_000_000
            wanted = {-1: 0, 0: 1, 1: 1, second - 1: 1, second: 4, 2 * second: 6, 3 * second - 1: 6, 3 * second: 7, 10**15: 7}
            assert {after: await store.position_at(start + after) for after in wanted} == wanted

    async def test_a_time_has_a_position_also_where_the_clock_was_set_back(self, tmp_path: Path) -> None:
        clock = TestClock()
        start = to_micros(clock.now())
        times = [start + 1_000_000 * second for second in (0, 1, 2, 3, 1, 2, 2, 0, 5, 4)]
        async with self.opened(tmp_path, clock=clock) as store:
            await store.import_events([ImportedEvent("a-1", event(), time) for time in times])
            log = await everything(store)
            assert [recorded.recorded_at for recorded in log] == times
            for time in range(start - 500_000, start + 6_500_000, 500_000):
                position = await store.position_at(time)
                assert is_place(log, position, time), (position, time)
                assert await store.position_at(time) == position
            assert await store.position_at(start - 1) == 0
            assert await store.position_at(start + 5_000_000) == 10

    async def test_a_stream_had_its_version_at_each_position(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            for number in range(40):
                await append(store, f"a-{number * number % 5}", *events(1 + number % 2))
            log = await everything(store)
            for stream in ("a-0", "a-1", "a-4", "a-9"):
                for position in range(len(log) + 2):
                    wanted = sum(recorded.stream == stream for recorded in log[:position])
                    assert await store.version_at(stream, position) == wanted
