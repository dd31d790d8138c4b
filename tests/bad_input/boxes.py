"""A service with a field of every kind that can be wrong, and the table of wrong values that all doors are tried with."""

import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from deedlog import Aggregate, App, Command, Event, Module, Page, Query, Reader, ReadModel, Refused, decide, evolve, on, starts
from deedlog.messages.codec import MAX_MESSAGE_BYTES


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    weight: float = 0.0


class Fill(Command):
    box: str
    text: str = ""
    number: int = 0
    ratio: float = 0.0
    amount: Decimal = Decimal(0)
    items: list[Item] = []
    anything: Any = None


class Filled(Event):
    box: str
    text: str = ""
    number: int = 0
    ratio: float = 0.0
    amount: Decimal = Decimal(0)
    items: list[Item] = []
    anything: Any = None


class Empty(Command):
    box: str


class Emptied(Event):
    box: str


class GetBox(Query["BoxView"]):
    box: str


class ListBoxes(Query[Page["BoxView"]]):
    limit: int = 20
    page: str | None = None
    order: str = "box"


boxes = Module()


@boxes.aggregate(key="box")
class Box(Aggregate):
    full: bool = False

    @decide
    def fill(self, command: Fill) -> Filled:
        return Filled(*msgspec.structs.astuple(command))

    @decide
    def empty(self, command: Empty) -> Emptied | None:
        if not self.exists:
            raise Refused("there is no such box")
        return Emptied(command.box) if self.full else None

    @evolve
    def changed(self, event: Filled | Emptied) -> None:
        self.full = isinstance(event, Filled)


@boxes.read_model(key="box", indexes=["number"])
class BoxView(ReadModel):
    box: str
    text: str = ""
    number: int = 0
    ratio: float = 0.0
    amount: Decimal = Decimal(0)

    @starts
    @classmethod
    def filled(cls, event: Filled) -> "BoxView":
        return cls(event.box, event.text, event.number, event.ratio, event.amount)

    @on
    def emptied(self, event: Emptied) -> None:
        self.text = ""


@boxes.query
async def get_box(query: GetBox, views: Reader[BoxView]) -> BoxView:
    return await views.get(query.box)


@boxes.query
async def list_boxes(query: ListBoxes, views: Reader[BoxView]) -> Page[BoxView]:
    return await views.find(order=query.order, limit=query.limit, page=query.page)


def open_boxes(path: Path) -> App:
    app = App("boxes", store=f"sqlite:///{path}")
    app.include(boxes)
    return app


def stored(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All that a bad input must leave as it is: events, tags, commands, the head, dead letters, and the rows."""
    connection = sqlite3.connect(path)
    try:
        names = [name for (name,) in connection.execute("select name from sqlite_schema where type in ('table', 'view')")]
        kept = [n for n in names if n in ("deedlog_events", "deedlog_tags", "deedlog_commands", "box_view") or "letter" in n]
        return {name: connection.execute(f'select * from "{name}"').fetchall() for name in sorted(kept)}
    finally:
        connection.close()


def nest(depth: int) -> Any:
    inner: Any = []
    for _ in range(depth):
        inner = [inner]
    return inner


NAN, INFINITY = float("nan"), float("inf")
LONG = "x" * MAX_MESSAGE_BYTES

BAD_KEYS: dict[str, str] = {
    "empty": "",
    "blank": " ",
    "blank before": " a",
    "blank behind": "a ",
    "no-break space behind": "a\xa0",
    "NUL": "a\0",
    "newline": "a\nb",
    "carriage return": "a\r",
    "tab": "a\tb",
    "delete": "a\x7f",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029",
    "right-to-left override": "a\u202eb",
    "isolate": "a\u2066b",
    "zero width space": "a\u200bb",
    "byte order mark": "\ufeffa",
    "256 bytes": "x" * 252,
    "256 bytes of two": "é" * 126,
    "very long": "x" * 100_000,
}
"""Keys that can't name a stream; `box-` before them makes four bytes more."""

GOOD_KEYS: dict[str, str] = {
    "255 bytes": "x" * 251,
    "254 bytes of two": "é" * 125,
    "255 bytes that end in four": "x" * 247 + "😀",
    "hyphens": "a-b--c",
    "dollar": "$all",
    "percent": "100%",
    "slash and dots": "../../etc/passwd",
    "quotes": "'; drop table deedlog_events; --",
    "blank inside": "a b",
    "NFC": "\u00e9",
    "NFD": "e\u0301",
    "upper case": "A",
    "lower case": "a",
    "sharp s": "ß",
    "double s": "ss",
    "dotless i": "ı",
}
"""Each names a stream of its own."""

BAD_VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "half a surrogate pair": ({"text": "a\ud800"}, "text"),
    "the other half": ({"text": "\udfff"}, "text"),
    "a half in a list": ({"items": [Item("\ud800")]}, "items[0].name"),
    "a half in a key": ({"box": "\ud800"}, "box"),
    "NaN": ({"ratio": NAN}, "ratio"),
    "infinity": ({"ratio": INFINITY}, "ratio"),
    "minus infinity": ({"ratio": -INFINITY}, "ratio"),
    "NaN in a list": ({"items": [Item("a"), Item("b", NAN)]}, "items[1].weight"),
    "NaN in anything": ({"anything": {"a": [1, NAN]}}, "anything['a'][1]"),
    "decimal NaN": ({"amount": Decimal("NaN")}, "amount"),
    "signalling NaN": ({"amount": Decimal("sNaN")}, "amount"),
    "decimal infinity": ({"amount": Decimal("-Infinity")}, "amount"),
    "2**63": ({"number": 2**63}, "number"),
    "-2**63 - 1": ({"number": -(2**63) - 1}, "number"),
    "10**400": ({"number": 10**400}, "number"),
    "10**400 in anything": ({"anything": [10**400]}, "anything[0]"),
    "text for a number": ({"number": "1"}, "number"),
    "a number for text": ({"text": 1}, "text"),
    "true for a number": ({"number": True}, "number"),
    "None for text": ({"text": None}, "text"),
    "an object": ({"anything": object()}, "$"),
    "over the limit": ({"text": LONG}, "$"),
    "16 MB": ({"text": LONG * 16}, "$"),
    "nested 10,000 deep": ({"anything": nest(10_000)}, "$"),
}
"""Fields of a Fill, and the path that the error names."""

BAD_IDS: dict[str, Any] = {
    "empty": "",
    "201 characters": "x" * 201,
    "newline": "a\n",
    "NUL": "a\0",
    "escape": "\x1b[31m",
    "line separator": "a\u2028",
    "half a surrogate pair": "\ud800",
    "a number": 5,
    "bytes": b"a",
    "true": True,
}

BAD_TOKENS: dict[str, str] = {
    "empty": "",
    "a word": "x",
    "prefix only": "d1.",
    "no position": "d1.abc",
    "empty position": "d1.abc.",
    "no number": "d1.abc.x",
    "negative": "d1.abc.-1",
    "decimal": "d1.abc.1.5",
    "blank": "d1.abc. 1",
    "other digits": "d1.abc.\u0661",
    "underscore": "d1.abc.1_0",
    "20 digits": f"d1.abc.{10**19}",
    "another store": "d1.00000000.1",
    "another version": "d2.abc.1",
    "a tail": "d1.abc.1~",
    "very long": "d1." + "a" * 100_000,
}
