"""Messages: names, limits, and refusals that name the field (P10)."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import attrs
import msgspec
import pytest

from deedlog import Command, Corrupt, Event, InvalidDeclaration, InvalidMessage, UnknownMessage, message
from deedlog.messages.codec import MAX_MESSAGE_BYTES, Codec
from deedlog.messages.envelope import RecordedEvent
from deedlog.messages.registry import Registry


class Line(msgspec.Struct, frozen=True):
    product: str
    quantity: int = 1


class Place(Command):
    order: str
    lines: list[Line]
    total: Decimal
    weight: float = 0.0
    note: str | None = None
    extra: dict[str, Any] = {}


@dataclass(frozen=True)
class PlainPlaced:
    order: str
    total: Decimal


@attrs.frozen
class AttrsPlaced:
    order: str
    total: Decimal


def codec_of(*classes: type[Any]) -> Codec:
    registry = Registry()
    for cls in classes:
        registry.add("command" if cls is Place else "event", cls)
    return Codec(registry)


def refused(codec: Codec, body: bytes) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        codec.from_json("command", "Place", body)
    return caught.value


@pytest.mark.parametrize(
    ("body", "path", "said"),
    [
        (b'{"order": 1, "lines": [], "total": "1"}', "order", "Expected str, got int"),
        (b'{"order": "o", "lines": [{"product": 3}], "total": "1"}', "lines[0].product", "Expected str, got int"),
        (b'{"order": "o", "lines": []}', "total", "missing"),
        (b'{"order": "o", "lines": [{}], "total": "1"}', "lines[0].product", "missing"),
        (b'{"order": "o", "lines": [], "total": "1", "colour": 1}', "colour", "unknown field"),
        (b'{"order": "o", "lines": [], "total": "NaN"}', "total", "finite"),
        (b'{"order": "o", "lines": [], "total": "1", "weight": 1e999}', "weight", "out of range"),
        (b'{"order": "o", "lines": [{"product": "p", "quantity": 9223372036854775808}], "total": "1"}', "lines[0].quantity", "6"),
        (b'{"order": "o", "lines": [], "total": "1", "extra": {"deep": [99999999999999999999]}}', "extra['deep'][0]", "64 bits"),
        (b"[1, 2]", "$", "Expected object, got array"),
        (b'{"order": ', "$", "not valid JSON"),
        (b"\xff\xfe", "$", "not valid JSON"),
        (b"", "$", "not valid JSON"),
        (b'{"order": "\\ud800", "lines": [], "total": "1"}', "$", "not valid JSON"),
        (b'{"order": "o", "lines": [], "total": "1", "extra": {"a": ' + b"[" * 5000 + b"]" * 5000 + b"}}", "$", "deep"),
    ],
)
def test_a_refusal_names_the_field(body: bytes, path: str, said: str) -> None:
    error = refused(codec_of(Place), body)
    assert error.path == path
    assert said in error.problem


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (Place("o", [], Decimal("Infinity")), "total"),
        (Place("o", [], Decimal(1), float("nan")), "weight"),
        (Place("o", [Line("p", 2**63)], Decimal(1)), "lines[0].quantity"),
        (Place("o", [Line("p\ud800")], Decimal(1)), "lines[0].product"),
        (Place("o", [], Decimal(1), note=3), "note"),  # type: ignore[arg-type]
        (Place("o", "lines", Decimal(1)), "lines"),  # type: ignore[arg-type]
        (Place("o", [], Decimal(1), extra={"x": float("inf")}), "extra['x']"),
        (Place("o", [], Decimal(1), note="x" * MAX_MESSAGE_BYTES), "$"),
        (Place("o", [], Decimal(1), extra={"x": object()}), "$"),
    ],
)
def test_what_could_not_be_read_back_is_refused_before_it_is_stored(place: Place, path: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        codec_of(Place).encode(place)
    assert caught.value.path == path


def test_texts_of_a_query_string_are_read_as_their_types() -> None:
    read = codec_of(Place).from_fields("command", "Place", {"order": "o", "lines": [], "total": "1.50", "weight": "2"})
    assert read == Place("o", [], Decimal("1.50"), 2.0)


@pytest.mark.parametrize("cls", [PlainPlaced, AttrsPlaced])
def test_dataclasses_and_attrs_classes_are_messages_too(cls: type[Any]) -> None:
    codec = codec_of(cls)
    new = codec.new_event(cls("o", Decimal("1.10")), "{}")
    assert new.name == cls.__name__
    assert codec.decode(recorded(new.name, new.data)) == cls("o", Decimal("1.10"))


def recorded(name: str, data: str, version: int = 1) -> RecordedEvent:
    return RecordedEvent(7, "order-1", 1, "order", 3, name, version, data, "{}", 0, "id")


def test_a_name_and_version_can_be_given_and_old_versions_stay_readable() -> None:
    @message("price-set")
    class Old(Event):
        price: int

    @message("price-set", version=2)
    class New(Event):
        price: Decimal

    codec = codec_of(Old, New)
    assert codec.decode(recorded("price-set", '{"price":3}', 1)) == Old(3)
    assert codec.decode(recorded("price-set", '{"price":"3.5"}', 2)) == New(Decimal("3.5"))


def test_fields_can_be_tags() -> None:
    @message(tags=["order"])
    class Tagged(Event):
        order: str

    assert codec_of(Tagged).new_event(Tagged("o1"), "{}").tags == ("order:o1",)


def test_two_classes_for_one_name_are_refused_with_both_places() -> None:
    @message("Place")
    class Other(Command):
        order: str

    registry = Registry()
    registry.add("command", Place)
    with pytest.raises(InvalidDeclaration, match=r"test_messages\.py:\d+.*already declared at .*test_messages\.py:\d+"):
        registry.add("command", Other)


def test_one_class_is_not_command_and_event_at_once() -> None:
    registry = Registry()
    registry.add("command", Place)
    with pytest.raises(InvalidDeclaration, match="used as event and as command"):
        registry.add("event", Place)


def test_a_field_that_can_not_be_stored_is_refused_when_declared() -> None:
    class Strange(Event):
        what: complex

    with pytest.raises(InvalidDeclaration, match="can't be stored"):
        Registry().add("event", Strange)


def test_a_plain_class_is_no_message() -> None:
    class Plain:
        pass

    with pytest.raises(InvalidDeclaration, match=r"subclass deedlog\.Event"):
        Registry().add("event", Plain)


def test_an_unknown_name_says_what_is_known() -> None:
    with pytest.raises(UnknownMessage, match="declared: Place") as caught:
        codec_of(Place).from_json("command", "Plaice", b"{}")
    assert caught.value.known == ["Place"]


@pytest.mark.parametrize(("version", "data"), [(2, "{}"), (1, '{"order": "o"}'), (1, "no json")])
def test_a_stored_event_that_does_not_fit_is_corrupt_and_names_its_position(version: int, data: str) -> None:
    with pytest.raises(Corrupt, match="position 7"):
        codec_of(PlainPlaced).decode(recorded("PlainPlaced", data, version))


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101])
def test_names_that_nobody_could_type_are_refused(name: str) -> None:
    with pytest.raises(InvalidDeclaration, match="message name"):
        message(name)(Place)


def test_messages_are_immutable() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        Line("p").product = "q"  # type: ignore[misc]


class Loose(msgspec.Struct):
    product: str
    quantity: int = 1


@dataclass
class PlainPlace:
    order: str
    lines: list[Loose]
    note: str | None = None
    notes: dict[str, Loose] | None = None


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"order": "o", "lines": [], "nite": "x"}', "nite"),
        (b'{"order": "o", "lines": [{"product": "p", "quantitty": 2}]}', "lines[0].quantitty"),
        (b'{"order": "o", "lines": [], "notes": {"a": {"product": "p", "x": 1}}}', "notes['a'].x"),
    ],
)
def test_a_field_too_much_is_refused_in_any_class(body: bytes, path: str) -> None:
    registry = Registry()
    registry.add("command", PlainPlace)
    with pytest.raises(InvalidMessage, match="unknown field") as caught:
        Codec(registry).from_json("command", "PlainPlace", body)
    assert caught.value.path == path
