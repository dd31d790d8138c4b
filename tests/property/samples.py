"""Message classes of every shape that the codec carries, and strategies for them."""

import datetime as dt
import enum
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import attrs
import msgspec
from hypothesis import strategies as st

from deedlog import Event, message


class Shade(enum.Enum):
    LIGHT = "light"
    DARK = "dark"


class Rank(enum.IntEnum):
    FIRST = 1
    SECOND = 2


class Card(msgspec.Struct, frozen=True, tag="card"):
    number: str
    expires: dt.date


class Transfer(msgspec.Struct, frozen=True, tag="transfer"):
    iban: str
    amount: Decimal


@dataclass(frozen=True)
class Point:
    x: float
    y: int | None = None


@attrs.frozen
class Label:
    text: str
    shade: Shade = Shade.LIGHT


class Nested(msgspec.Struct, frozen=True):
    """Contains itself, and one of each other kind."""

    name: str
    point: Point | None = None
    labels: tuple[Label, ...] = ()
    inner: "Nested | None" = None


@message("wide", version=3, tags=["id"])
class Wide(Event):
    id: uuid.UUID
    text: str
    number: int
    amount: Decimal
    ratio: float
    flag: bool
    at: dt.datetime
    naive: dt.datetime
    day: dt.date
    hour: dt.time
    span: dt.timedelta
    shade: Shade
    rank: Rank
    data: bytes
    paid: Card | Transfer | None = None
    nested: Nested | None = None
    list_: list[Decimal] = []
    pair: tuple[int, str] = (0, "")
    many: tuple[dt.date, ...] = ()
    unique: frozenset[str] = frozenset()
    by_name: dict[str, Decimal | None] = {}
    by_number: dict[int, list[Rank]] = {}


@dataclass(frozen=True)
class DataclassEvent:
    id: str
    points: list[Point]
    shades: dict[str, Shade] = field(default_factory=dict)
    paid: Card | Transfer | None = None


@attrs.frozen
class AttrsEvent:
    id: str
    label: Label | None
    nested: list[Nested]
    unique: set[int]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(2**63), 2**63 - 1)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
floats = st.floats(allow_nan=False, allow_infinity=False)
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
early, late = dt.datetime(2, 1, 1), dt.datetime(9998, 12, 31)  # noqa: DTZ001  # the strategy adds the zone
aware_times = st.datetimes(early, late, timezones=offsets)
naive_times = st.datetimes(early, late)
points = st.builds(Point, floats, st.none() | numbers)
labels = st.builds(Label, texts, st.sampled_from(Shade))
cards = st.builds(Card, texts, st.dates())
payments = st.none() | cards | st.builds(Transfer, texts, decimals)
leaves = st.builds(Nested, texts, st.none() | points, st.lists(labels, max_size=2).map(tuple))
nested = st.recursive(leaves, lambda inner: st.builds(Nested, texts, st.none() | points, st.just(()), inner), max_leaves=3)
spans = st.timedeltas(dt.timedelta(days=-10_000), dt.timedelta(days=10_000))

wide = st.builds(
    Wide,
    st.uuids(),
    texts,
    numbers,
    decimals,
    floats,
    st.booleans(),
    aware_times,
    naive_times,
    st.dates(),
    st.times(),
    spans,
    st.sampled_from(Shade),
    st.sampled_from(Rank),
    st.binary(max_size=20),
    payments,
    st.none() | nested,
    st.lists(decimals, max_size=3),
    st.tuples(numbers, texts),
    st.lists(st.dates(), max_size=3).map(tuple),
    st.frozensets(texts, max_size=3),
    st.dictionaries(texts, st.none() | decimals, max_size=3),
    st.dictionaries(numbers, st.lists(st.sampled_from(Rank), max_size=2), max_size=3),
)
dataclass_events = st.builds(
    DataclassEvent, texts, st.lists(points, max_size=3), st.dictionaries(texts, st.sampled_from(Shade), max_size=3), payments
)
attrs_events = st.builds(AttrsEvent, texts, st.none() | labels, st.lists(nested, max_size=2), st.sets(numbers, max_size=3))
EVENTS: st.SearchStrategy[Any] = wide | dataclass_events | attrs_events
