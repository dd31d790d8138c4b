"""What an event store promises to those who append."""

import asyncio
import random
from pathlib import Path

import pytest

from deedlog.errors import DeedlogError, DuplicateMessage, Unavailable, WrongExpectedVersion
from deedlog.store.port import Appended, CommandKey, StoredCommand, StreamWrite
from deedlog.testing.contracts.event_samples import (
    ANY,
    EventStoreTests,
    append,
    assert_sound,
    event,
    event_ids,
    events,
    everything,
    to,
)
from deedlog.types import Exactly, ExpectedVersion, NoStream, StreamExists

KEY = CommandKey("command-1", "digest-1")


class AppendingTests(EventStoreTests):
    async def test_an_append_says_what_it_has_done(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            assert await append(store, "a-1", *events(2)) == Appended("a-1", 2, 2, 2)
            assert await append(store, "b-1", *events(1)) == Appended("b-1", 1, 3, 1)
            assert await append(store, "a-1", *events(3)) == Appended("a-1", 5, 6, 3)
            assert await store.head() == 6

    @pytest.mark.parametrize(
        ("expected", "fits"),
        [
            (Exactly(0), {0}),
            (Exactly(1), {1}),
            (Exactly(2), {2}),
            (NoStream(), {0}),
            (StreamExists(), {1, 2}),
            (ANY, {0, 1, 2}),
        ],
        ids=str,
    )
    async def test_an_expected_version_lets_the_right_streams_pass(
        self, tmp_path: Path, expected: ExpectedVersion, fits: set[int]
    ) -> None:
        async with self.opened(tmp_path) as store:
            for version in (0, 1, 2):
                stream = f"a-{version}"
                await append(store, stream, *events(version))
                if version in fits:
                    assert (await append(store, stream, event(), expected=expected)).version == version + 1
                else:
                    with pytest.raises(WrongExpectedVersion) as caught:
                        await append(store, stream, event(), expected=expected)
                    assert (caught.value.stream, caught.value.actual) == (stream, version)
                    assert len(await store.read_stream(stream)) == version

    async def test_an_event_that_must_be_the_last_one_is(self, tmp_path: Path) -> None:
        """Asked for by who expects an event that may not be stored: another one with its version is not good enough."""
        async with self.opened(tmp_path) as store:
            first, second, third = events(3)
            await append(store, "a-1", first)
            with pytest.raises(WrongExpectedVersion):
                await store.append((StreamWrite("a-1", (second,), Exactly(1), third.id),))
            with pytest.raises(WrongExpectedVersion):
                await store.append((StreamWrite("b-1", (second,), ANY, first.id),))
            both = (StreamWrite("a-1", (second,), Exactly(1), first.id), StreamWrite("a-1", (third,), Exactly(2), second.id))
            outcomes = await asyncio.gather(*(store.append((write,)) for write in both))
            assert [outcome.version for outcome in outcomes] == [2, 3]
            assert event_ids(await everything(store)) == [first.id, second.id, third.id]

    async def test_two_writers_one_wins(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", event())
            both = (append(store, "a-1", event(), expected=Exactly(1)) for _ in range(2))
            outcomes = await asyncio.gather(*both, return_exceptions=True)
            assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Appended", "WrongExpectedVersion"]
            assert_sound(await everything(store))
            assert await store.head() == 2

    async def test_positions_have_no_holes_after_conflicts_and_refusals(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            for number in range(1, 6):
                await append(store, "a-1", event(), expected=Exactly(number - 1))
                with pytest.raises(WrongExpectedVersion):
                    await append(store, "a-1", *events(3), expected=Exactly(number - 1))
                assert await store.head() == number
            assert_sound(await everything(store))

    async def test_several_streams_are_stored_all_or_none(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "b-1", event())
            with pytest.raises(WrongExpectedVersion) as caught:
                await store.append((to("a-1", event()), to("b-1", event(), expected=NoStream()), to("c-1", event())))
            assert caught.value.stream == "b-1"
            assert await store.head() == 1
            done = await store.append((to("a-1", *events(2), expected=NoStream()), to("b-1", event(), expected=Exactly(1))))
            assert done == Appended("a-1", 2, 4, 3)
            log = await everything(store)
            assert [(recorded.stream, recorded.version) for recorded in log] == [("b-1", 1), ("a-1", 1), ("a-1", 2), ("b-1", 2)]

    async def test_an_append_without_events_only_asserts_the_version(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", *events(2))
            assert await append(store, "a-1", expected=Exactly(2)) == Appended("a-1", 2, 2, 0)
            with pytest.raises(WrongExpectedVersion):
                await append(store, "a-1", expected=Exactly(1))
            with pytest.raises(WrongExpectedVersion):
                await store.append((to("b-1", event()), to("a-1", expected=NoStream())))
            assert await store.head() == 2
            assert await store.read_stream("b-1") == []

    async def test_a_command_sent_again_has_one_effect_and_the_same_answer(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            first = await append(store, "a-1", *events(2), expected=NoStream(), command=KEY)
            await append(store, "a-1", event())
            again = await append(store, "a-1", *events(2), expected=NoStream(), command=KEY)
            assert (first.repeated, again.repeated) == (False, True)
            assert again == Appended("a-1", 2, 2, 2, repeated=True)
            assert await store.head() == 3
            assert await store.command(KEY.id) == StoredCommand(KEY, first)
            assert await store.command("another") is None

    async def test_a_command_sent_many_times_at_once_has_one_effect(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            answers = await asyncio.gather(*(append(store, "a-1", *events(2), command=KEY) for _ in range(20)))
            assert sorted(answer.repeated for answer in answers) == [False] + [True] * 19
            assert {(answer.stream, answer.version, answer.position, answer.count) for answer in answers} == {("a-1", 2, 2, 2)}
            assert await store.head() == 2

    async def test_a_command_id_used_for_another_command_is_refused(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", event(), command=KEY)
            with pytest.raises(DuplicateMessage) as caught:
                await append(store, "b-1", event(), command=CommandKey(KEY.id, "digest-2"))
            assert caught.value.message_id == KEY.id
            assert await store.head() == 1

    async def test_a_command_without_events_is_remembered(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", *events(3))
            assert await append(store, "a-1", expected=Exactly(3), command=KEY) == Appended("a-1", 3, 3, 0)
            await append(store, "a-1", event())
            assert await append(store, "a-1", command=KEY) == Appended("a-1", 3, 3, 0, repeated=True)
            nowhere = CommandKey("command-2", "digest")
            assert (await store.append((), nowhere)).count == 0
            assert (await store.append((), nowhere)).repeated

    async def test_a_rejected_command_may_be_sent_again_under_its_id(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            with pytest.raises(WrongExpectedVersion):
                await append(store, "a-1", event(), expected=StreamExists(), command=KEY)
            assert await store.command(KEY.id) is None
            assert not (await append(store, "a-1", event(), command=KEY)).repeated

    async def test_a_conflict_rejects_one_caller_not_the_batch(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-0", event())
            callers = (append(store, f"a-{number}", event(), expected=NoStream()) for number in range(20))
            outcomes = await asyncio.gather(*callers, return_exceptions=True)
            assert isinstance(outcomes[0], WrongExpectedVersion)
            assert all(isinstance(outcome, Appended) for outcome in outcomes[1:])
            assert_sound(await everything(store))
            assert await store.head() == 20

    async def test_text_that_cannot_be_stored_rejects_one_caller_not_the_batch(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            texts = ["{}", '"\ud800"', "{}", '"\udfff"', "{}"]
            callers = (append(store, f"a-{number}", event(text)) for number, text in enumerate(texts))
            outcomes = await asyncio.gather(*callers, return_exceptions=True)
            for text, outcome in zip(texts, outcomes, strict=True):
                allowed = Appended if text == "{}" else Appended | DeedlogError
                assert isinstance(outcome, allowed), outcome
            assert_sound(await everything(store))
            assert await store.head() == sum(isinstance(outcome, Appended) for outcome in outcomes)

    async def test_acknowledged_is_stored_under_many_writers(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            done: dict[int, str] = {}

            async def write(number: int) -> None:
                stream = f"a-{number % 4}"
                while True:
                    new = event(f'{{"n":{number}}}')
                    version = len(await store.read_stream(stream, 0, 1_000))
                    try:
                        appended = await append(store, stream, new, expected=Exactly(version))
                    except WrongExpectedVersion:
                        continue
                    assert appended.version == version + 1
                    done[appended.position] = new.id
                    return

            await asyncio.gather(*(write(number) for number in range(200)))
            log = await everything(store)
            assert_sound(log)
            assert {recorded.position: recorded.id for recorded in log} == done

    async def test_a_cancelled_caller_never_corrupts_a_batch(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            chance = random.Random(7)
            wanted = [events(chance.randint(1, 3)) for _ in range(200)]
            callers = [asyncio.ensure_future(append(store, f"a-{n % 5}", *new)) for n, new in enumerate(wanted)]
            while not all(caller.done() for caller in callers):
                for caller in chance.sample(callers, 5):
                    caller.cancel()
                await asyncio.sleep(0)
            outcomes = await asyncio.gather(*callers, return_exceptions=True)
            await append(store, "z-1", event())  # behind all that was submitted
            log = await everything(store)
            assert_sound(log)
            stored = {recorded.id: recorded.position for recorded in log}
            for new, outcome in zip(wanted, outcomes, strict=True):
                places = [stored.get(one.id) for one in new]
                if isinstance(outcome, Appended):
                    assert places == list(range(outcome.position - outcome.count + 1, outcome.position + 1))
                else:
                    assert isinstance(outcome, asyncio.CancelledError)
                    assert None not in places or set(places) == {None}

    async def test_a_full_queue_says_unavailable_and_stores_what_it_took(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, max_waiting=5) as store:
            callers = (append(store, f"a-{number}", event()) for number in range(50))
            outcomes = await asyncio.gather(*callers, return_exceptions=True)
            accepted = [outcome for outcome in outcomes if isinstance(outcome, Appended)]
            refused = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
            assert accepted
            assert refused
            assert len(accepted) + len(refused) == 50
            assert await store.head() == len(accepted)
            assert_sound(await everything(store))
            assert (await append(store, "a-1", event())).position == len(accepted) + 1

    async def test_closing_stores_what_was_submitted(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            new = events(30)
            callers = [asyncio.ensure_future(append(store, f"a-{n}", one)) for n, one in enumerate(new)]
            await asyncio.sleep(0)  # each has submitted, none is answered
            assert not any(caller.done() for caller in callers)
            await store.close()
            positions = [appended.position for appended in await asyncio.gather(*callers)]
            assert sorted(positions) == list(range(1, 31))
            with pytest.raises(Unavailable):
                await append(store, "a-1", event())
        if "reopen" in self.capabilities:
            async with self.opened(tmp_path) as reopened:
                assert sorted(event_ids(await everything(reopened))) == sorted(one.id for one in new)
