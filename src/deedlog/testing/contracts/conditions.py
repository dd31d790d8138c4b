"""What an event store promises to those who append unless something has happened: the boundary that is not a stream."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from deedlog.errors import ConditionFailed, InvalidMessage, WrongExpectedVersion
from deedlog.messages.envelope import NewEvent
from deedlog.store.port import Appended, CommandKey, EventStore, Matching, Unless
from deedlog.testing.contracts.event_samples import EventStoreTests, append, assert_sound, event, event_ids, everything, to
from deedlog.types import Exactly

KEY = CommandKey("command-1", "digest-1")
ANN = "email:ann@example.org"
SAMPLES = (
    ("Registered", (ANN, "tenant:1")),
    ("Renamed", (ANN, "tenant:1")),
    ("Registered", ("email:bob@example.org", "tenant:1")),
    ("Renamed", ("email:bob@example.org",)),
    ("Left", ()),
    ("Registered", ("tenant:2", "odd:'%_\"é日😀", "odd:'%_\"é日😀")),
)
MATCHINGS = (
    Matching((ANN,)),
    Matching((ANN,), ("Renamed",)),
    Matching((ANN, "tenant:1"), ("Renamed", "Registered")),
    Matching(("tenant:1", ANN)),
    Matching(("tenant:1",), ("Left",)),
    Matching(("tenant:1", "tenant:2")),
    Matching((), ("Left",)),
    Matching((), ("Registered", "Left", "Left")),
    Matching((), ("Unknown",)),
    Matching(("email:nobody",)),
    Matching(("odd:'%_\"é日😀",)),
    Matching(("odd:'%_\"É日😀",)),
    Matching(("email",)),
)


def none(*matching: Matching, after: int = 0) -> tuple[Unless, ...]:
    return (Unless(matching, after),)


async def fill(store: EventStore, times: int = 3) -> list[tuple[str, tuple[str, ...]]]:
    """The samples over and over; name and tags of the event at position n are at n - 1."""
    samples = list(SAMPLES) * times
    for number, (name, tags) in enumerate(samples):
        await append(store, f"a-{number % 4}", event(name=name, tags=tags))
    return samples


def positions(samples: Sequence[tuple[str, tuple[str, ...]]], *matching: Matching) -> list[int]:
    found = enumerate(samples, 1)
    return [place for place, (name, tags) in found if any(one.accepts(name, tags) for one in matching)]


class ConditionTests(EventStoreTests):
    @pytest.mark.parametrize("matching", MATCHINGS, ids=str)
    async def test_an_append_is_refused_exactly_when_a_newer_event_matches(self, tmp_path: Path, matching: Matching) -> None:
        async with self.opened(tmp_path) as store:
            samples = await fill(store, 2)
            matches = positions(samples, matching)
            for after in range(len(samples) + 2):
                if after >= max(matches, default=0):
                    assert (await store.append((), None, none(matching, after=after))).count == 0
                    continue
                with pytest.raises(ConditionFailed) as caught:
                    await append(store, "b-1", event(), conditions=none(matching, after=after))
                error = caught.value
                assert (error.matching, error.after) == (str(matching), after)
                assert error.position in [position for position in matches if position > after]
            assert await store.head() == len(samples)

    async def test_any_of_several_matchings_and_conditions_refuses(self, tmp_path: Path) -> None:
        free, taken = Matching(("email:nobody",)), Matching((ANN,))
        async with self.opened(tmp_path) as store:
            await fill(store, 1)
            for conditions in (
                none(free, taken),
                none(taken, free),
                none(free) + none(taken),
                none(taken, after=9) + none(taken),
            ):
                with pytest.raises(ConditionFailed):
                    await append(store, "b-1", event(), conditions=conditions)
            assert (await append(store, "b-1", event(), conditions=none(free) + none(taken, after=2))).version == 1

    async def test_of_two_with_one_condition_one_wins(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:

            async def register(number: int) -> Appended:
                new = event(name="Registered", tags=(ANN,))
                return await append(store, f"a-{number}", new, conditions=none(Matching((ANN,), ("Registered",))))

            outcomes = await asyncio.gather(*(register(number) for number in range(20)), return_exceptions=True)
            assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Appended"] + ["ConditionFailed"] * 19
            assert {outcome.position for outcome in outcomes if isinstance(outcome, ConditionFailed)} == {1}
            assert await store.head() == 1

    @pytest.mark.parametrize("matching", [Matching((), ("Left",)), Matching((ANN, "tenant:1")), Matching((ANN,), ("Left",))])
    async def test_events_of_the_same_batch_count(self, tmp_path: Path, matching: Matching) -> None:
        """Each caller's events match what the next must not find, or miss it narrowly."""
        async with self.opened(tmp_path) as store:
            breaking = event(name="Left", tags=("tenant:1", ANN))
            others = [event(name="Left!", tags=(ANN,)), event(name="Other", tags=("tenant:1", "more:1"))]
            callers = [
                append(store, f"a-{n}", new, conditions=none(matching)) for n, new in enumerate([*others, breaking, event()])
            ]
            outcomes = await asyncio.gather(*callers, return_exceptions=True)
            assert [type(outcome).__name__ for outcome in outcomes] == ["Appended"] * 3 + ["ConditionFailed"]
            assert event_ids(await everything(store)) == [new.id for new in [*others, breaking]]

    async def test_own_events_do_not_break_the_condition_of_their_append(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            both = (event(tags=(ANN,)), event(tags=(ANN,)))
            assert (await append(store, "a-1", *both, conditions=none(Matching((ANN,))))).count == 2

    async def test_a_broken_condition_rejects_one_caller_not_the_batch(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-0", event(tags=(ANN,)))
            conditions = [none(Matching((ANN if number == 7 else f"email:{number}",))) for number in range(20)]
            callers = (append(store, f"b-{n}", event(), conditions=one) for n, one in enumerate(conditions))
            outcomes = await asyncio.gather(*callers, return_exceptions=True)
            assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, ConditionFailed)] == [7]
            assert_sound(await everything(store))
            assert await store.head() == 20

    async def test_nothing_is_stored_or_remembered_when_a_condition_is_broken(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", event(tags=(ANN,)))
            with pytest.raises(ConditionFailed):
                await store.append((to("b-1", event()), to("c-1", event())), KEY, none(Matching((ANN,))))
            assert await store.command(KEY.id) is None
            assert await store.head() == 1
            done = await store.append((to("b-1", event()),), KEY, none(Matching((ANN,)), after=1))
            assert (done.position, done.repeated) == (2, False)

    async def test_a_command_sent_again_gets_its_answer_though_its_own_event_breaks_the_condition(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            new = event(tags=(ANN,))
            for repeated in (False, True):
                done = await append(store, "a-1", new, command=KEY, conditions=none(Matching((ANN,))))
                assert done == Appended("a-1", 1, 1, 1, repeated=repeated)

    async def test_versions_are_looked_at_beside_conditions(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", event())
            with pytest.raises(WrongExpectedVersion):
                await append(store, "a-1", event(), expected=Exactly(0), conditions=none(Matching((ANN,))))

    async def test_conditions_alone_are_an_assertion(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await append(store, "a-1", event(tags=(ANN,)))
            assert await store.append((), None, none(Matching((ANN,)), after=1)) == Appended("", 0, 1, 0)
            with pytest.raises(ConditionFailed):
                await store.append((), None, none(Matching((ANN,))))

    async def test_many_conditions_at_once_are_each_looked_at(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.append((to("a-1", *(event(tags=(f"n:{number}",)) for number in range(400))),))

            places = [(number, after) for number in range(500) for after in (0, 200)]
            asked = (store.append((), None, none(Matching((f"n:{number}",)), after=after)) for number, after in places)
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            found = [outcome.position if isinstance(outcome, ConditionFailed) else 0 for outcome in outcomes]
            assert found == [number + 1 if after <= number < 400 else 0 for number, after in places]

    async def test_what_would_match_everything_is_refused(self) -> None:
        for tags, names in (((), ()), (("a\0b",), ()), ((), ("a\0",))):
            with pytest.raises(InvalidMessage):
                Matching(tags, names)

    @pytest.mark.parametrize("size", [1, 2, 100])
    async def test_matching_events_are_read_in_order_each_once(self, tmp_path: Path, size: int) -> None:
        asked = [[one] for one in MATCHINGS] + [[], list(MATCHINGS), [MATCHINGS[0], MATCHINGS[0], MATCHINGS[3]]]
        async with self.opened(tmp_path) as store:
            samples = await fill(store)
            log = await everything(store)
            for matching in asked:
                wanted = [log[position - 1] for position in positions(samples, *matching)]
                found: list[str] = []
                after = 0
                while page := await store.read_matching(matching, after, size):
                    assert len(page) <= size
                    found += event_ids(page)
                    after = page[-1].position
                assert found == event_ids(wanted)
            assert list(await store.read_matching([MATCHINGS[0]], 0, 0)) == []

    async def test_decisions_on_what_was_read_never_pass_each_other(self, tmp_path: Path) -> None:
        """Seats are sold by many who each read what is sold, as of a head, and sell one more: never more than there are."""
        seats, sold = 5, Matching(("show:1",), ("Sold",))
        async with self.opened(tmp_path) as store:

            async def sell(number: int) -> int:
                while True:
                    head = await store.head()
                    if len(await store.read_matching([sold])) >= seats:
                        return 0
                    new: NewEvent = event(name="Sold", tags=("show:1",))
                    try:
                        return (await append(store, f"seat-{number}", new, conditions=none(sold, after=head))).count
                    except ConditionFailed:
                        continue

            assert sum(await asyncio.gather(*(sell(number) for number in range(30)))) == seats
            assert len(await store.read_matching([sold])) == seats
