"""What goes into the log comes back as it was, whatever shape its class has."""

import math
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deedlog import App, Command, DuplicateMessage, InvalidMessage, Metadata
from deedlog.messages.codec import Codec
from deedlog.messages.envelope import RecordedEvent
from deedlog.messages.registry import Registry
from tests.property.samples import EVENTS, AttrsEvent, DataclassEvent, Wide, cards, nested, points


class Pay(Command):
    id: str
    amount: Decimal
    ratio: float = 0.0
    number: int = 0


class Choose(Command):
    numbers: set[int]
    by_name: dict[str, int]


registry = Registry()
for cls in (Wide, DataclassEvent, AttrsEvent):
    registry.add("event", cls)
registry.add("command", Pay)
codec = Codec(registry)


def recorded(event: Any) -> RecordedEvent:
    new = codec.new_event(event, "{}")
    return RecordedEvent(1, "a-1", 1, "a", 0, new.name, new.name_version, new.data, new.metadata, 0, new.id)


@given(EVENTS)
def test_an_event_comes_back_as_it_was(event: Any) -> None:
    back = codec.decode(recorded(event))
    assert back == event
    assert type(back) is type(event)


@given(EVENTS)
def test_what_is_stored_is_text_that_any_database_keeps(event: Any) -> None:
    data = codec.new_event(event, "{}").data
    assert "\0" not in data
    assert "\n" not in data
    assert data.encode().decode() == data


@given(points, cards, nested)
def test_parts_keep_their_classes(point: Any, card: Any, inner: Any) -> None:
    event = DataclassEvent("1", [point], {}, card)
    assert codec.decode(recorded(event)) == event
    attrs_event = AttrsEvent("1", None, [inner], {1, 2})
    back = codec.decode(recorded(attrs_event))
    assert type(back.nested[0]) is type(inner)


@given(
    st.builds(Pay, st.just("1"), st.decimals(), st.floats(), st.integers(-(2**70), 2**70)),
)
def test_a_number_is_carried_exactly_or_refused_with_its_field(command: Pay) -> None:
    carried = command.amount.is_finite() and math.isfinite(command.ratio) and -(2**63) <= command.number < 2**63
    if carried:
        assert codec.from_json("command", "Pay", codec.encode(command)) == command
    else:
        with pytest.raises(InvalidMessage) as caught:
            codec.encode(command)
        assert caught.value.path in ("amount", "ratio", "number")


@given(st.text(st.characters(), max_size=5))
def test_text_is_carried_exactly_or_refused_with_its_field(text: str) -> None:
    command = Pay(text, Decimal(1))
    if any("\ud800" <= character <= "\udfff" for character in text):
        with pytest.raises(InvalidMessage) as caught:
            codec.encode(command)
        assert caught.value.path == "id"
    else:
        assert codec.from_json("command", "Pay", codec.encode(command)) == command


@given(st.binary(max_size=30) | st.text(max_size=30).map(str.encode))
def test_any_bytes_are_read_or_refused_as_an_invalid_message(body: bytes) -> None:
    with suppress(InvalidMessage):
        assert isinstance(codec.from_json("command", "Pay", body), Pay)


def test_metadata_that_cannot_be_stored_is_refused_as_such() -> None:
    with pytest.raises(InvalidMessage, match="surrogate"):
        codec.metadata(Metadata("1", "1", actor="\ud800"))


async def test_a_command_sent_again_is_the_same_whatever_the_order_in_its_sets() -> None:
    app = App("sets", store="memory://")

    @app.command_handler
    def choose(command: Choose) -> None:
        return None

    async with app:
        first = await app.execute(Choose({0, 8}, {"a": 1, "b": 2}), id="1")
        assert list({0, 8}) != list({8, 0}), "equal sets that are walked through in two orders"
        assert await app.execute(Choose({8, 0}, {"b": 2, "a": 1}), id="1") == first
        with pytest.raises(DuplicateMessage):
            await app.execute(Choose({8, 1}, {"b": 2, "a": 1}), id="1")
