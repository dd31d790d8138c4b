"""What an event store promises about what it keeps beside the log: states of streams, and the receipts of commands."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deedlog.errors import Unavailable
from deedlog.messages.envelope import to_micros
from deedlog.store.port import CommandKey, EventStore, StoredState
from deedlog.testing.clock import TestClock
from deedlog.testing.contracts.event_samples import EventStoreTests, append, assert_sound, event, events, everything


async def state_of(store: EventStore, stream: str, version: int, definition: str = "d1") -> StoredState:
    """A state of the stream at a version that it has."""
    recorded = (await store.read_stream(stream, version - 1, 1))[0]
    return StoredState(stream, version, recorded.id, definition, f'{{"ü\\u0000":{version}}}', recorded.recorded_at + 5)


class KeepingTests(EventStoreTests):
    async def test_the_state_saved_is_the_state_read(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", *events(3))
            saved = await state_of(store, "a-1", 2)
            await store.save_state(saved)
            assert await store.state("a-1") == saved
            assert await store.state("a-2") is None

    async def test_only_the_newest_state_of_a_stream_is_kept(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", *events(3))
            for version, kept in ((2, 2), (1, 2), (3, 3), (2, 3)):
                await store.save_state(await state_of(store, "a-1", version))
                assert await store.state("a-1") == await state_of(store, "a-1", kept)

    async def test_other_code_replaces_a_state_of_the_same_version(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", *events(3))
            for definition in ("d1", "d2"):
                await store.save_state(await state_of(store, "a-1", 2, definition))
            assert await store.state("a-1") == await state_of(store, "a-1", 2, "d2")

    async def test_a_state_of_events_that_the_log_has_not_is_ignored(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", *events(3))
            await append(store, "a-2", *events(3))
            good, other = await state_of(store, "a-1", 2), await state_of(store, "a-2", 2)
            changes: list[dict[str, Any]] = [
                {"version": 4},
                {"version": 0},
                {"version": -1},
                {"version": 3},
                {"event_id": other.event_id},
            ]
            for wrong in [*changes, {"stream": "a-3"}]:
                state = msgspec.structs.replace(good, **wrong)
                await store.save_state(state)
                assert await store.state(state.stream) is None
            await store.save_state(good)
            await store.save_state(msgspec.structs.replace(good, version=9))
            assert await store.state("a-1") == good

    async def test_states_are_dropped_of_one_stream_or_of_all(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            for number in range(4):
                await append(store, f"a-{number}", event())
                await store.save_state(await state_of(store, f"a-{number}", 1))
            assert await store.drop_states("a-1") == 1
            assert await store.drop_states("a-1") == 0
            assert await store.state("a-1") is None
            assert await store.state("a-2") is not None
            assert await store.drop_states() == 3
            assert await store.state("a-2") is None
            assert_sound(await everything(store))

    async def test_states_are_there_after_reopening(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", event())
            saved = await state_of(store, "a-1", 1)
            await store.save_state(saved)
        async with self.opened(tmp_path) as store:
            assert await store.state("a-1") == (saved if "reopen" in self.capabilities else None)

    async def test_saving_beside_appends_changes_no_append(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", event())

            async def write(number: int) -> None:
                done = await append(store, "a-1", event())
                if number % 2:
                    await store.save_state(await state_of(store, "a-1", done.version))

            await asyncio.gather(*(write(number) for number in range(40)))
            kept = await store.state("a-1")
            assert kept is not None
            assert kept.event_id == (await store.read_stream("a-1", kept.version - 1, 1))[0].id
            assert await store.head() == 41

    async def test_old_commands_are_forgotten_oldest_first(self, tmp_path: Path) -> None:
        clock = TestClock()
        async with self.opened(tmp_path, clock=clock) as store:
            times = []
            for number in range(6):
                times.append(to_micros(clock.now()))
                await append(store, "a-1", event(), command=CommandKey(f"c{5 - number}", "d"))
                clock.advance(1)

            async def known() -> list[int]:
                return [number for number in range(6) if await store.command(f"c{5 - number}") is not None]

            assert await store.forget_commands(times[0]) == 0
            assert await store.forget_commands(times[4], 3) == 3
            assert await known() == [3, 4, 5]
            assert await store.forget_commands(times[4], 0) == 0
            assert await store.forget_commands(times[4]) == 1
            assert await store.forget_commands(times[4]) == 0
            assert await known() == [4, 5]
            assert len(await store.read_stream("a-1")) == 6

    async def test_a_forgotten_command_is_done_again(self, tmp_path: Path) -> None:
        clock = TestClock()
        async with self.opened(tmp_path, clock=clock) as store:
            await append(store, "a-1", event(), command=CommandKey("c", "d"))
            clock.advance(1)
            assert await store.forget_commands(to_micros(clock.now())) == 1
            done = await append(store, "a-1", event(), command=CommandKey("c", "other"))
            assert (done.version, done.repeated) == (2, False)

    async def test_a_closed_store_keeps_and_forgets_nothing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", event())
            saved = await state_of(store, "a-1", 1)
            await store.close()
            for wish in (store.save_state(saved), store.drop_states(), store.forget_commands(0)):
                with pytest.raises(Unavailable):
                    await wish
