"""Pages of rows are those of a Python list that is filtered, sorted and cut, on every read store."""

import asyncio
import datetime as dt
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deedlog.reads.memory import MemoryReadStore
from deedlog.reads.port import ReadStore
from deedlog.reads.sqlite import SqliteReadStore
from deedlog.sqlite.database import Database
from deedlog.testing.contracts.row_samples import PROJECTED, Color, Level, Sample, put, reading
from deedlog.testing.contracts.rows import OPERATORS, rank

Where = dict[str, Any]

texts = st.text(st.sampled_from("aAbé%_\0😀\U0010ffff"), max_size=3)
zones = st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=2)), dt.timezone(dt.timedelta(hours=-9, minutes=-30))])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": texts,
    "number": st.integers(-2, 2) | st.integers(-(2**63), 2**63 - 1),
    "amount": st.decimals(-10, 10, places=2) | st.sampled_from([Decimal(1), Decimal("1.0"), Decimal("1.00"), Decimal(-0)]),
    "ratio": st.floats(allow_nan=False, allow_infinity=False),
    "at": st.datetimes(dt.datetime(2025, 1, 1), dt.datetime(2025, 1, 2), timezones=zones),  # noqa: DTZ001  # zones are added
    "day": st.dates(dt.date(1, 1, 1), dt.date(1, 1, 5)),
    "hour": st.times(),
    "code": st.uuids(),
    "color": st.sampled_from(Color),
    "level": st.sampled_from(Level),
    "flag": st.booleans(),
}
OPTIONAL = {name: values if name == "name" else st.none() | values for name, values in VALUES.items()}
rows = st.lists(st.builds(Sample, texts, **OPTIONAL), max_size=15, unique_by=lambda row: row.id)
orders = st.lists(
    st.tuples(st.sampled_from(["", "-"]), st.sampled_from(["id", *VALUES])).map("".join),
    max_size=3,
    unique_by=lambda n: n.lstrip("-"),
)


@st.composite
def conditions(draw: st.DrawFn) -> tuple[str, str, Any]:
    column = draw(st.sampled_from(sorted(VALUES)))
    operators = [*OPERATORS, "in", "null", *(["prefix", "contains"] if column == "name" else [])]
    if column == "color":
        operators = ["eq", "ne", "in", "null"]  # an Enum has no order in Python
    operator = draw(st.sampled_from(operators))
    values = VALUES[column]
    value = draw({"in": st.lists(values, max_size=3), "null": st.booleans()}.get(operator, values))
    return column, operator, value


def holds(row: Sample, column: str, operator: str, value: Any) -> bool:
    mine = getattr(row, column)
    match operator:
        case "null":
            return (mine is None) == bool(value)
        case _ if mine is None:
            return False
        case "in":
            return mine in value
        case "prefix":
            return bool(mine.startswith(value))
        case "contains":
            return bool(value in mine)
    return OPERATORS[operator](mine, value)


async def paged(
    store: ReadStore, rows: Sequence[Sample], where: Where, order: Sequence[str], limit: int
) -> tuple[list[str], int]:
    """The keys of all pages in turn, and the count."""
    await store.open()
    try:
        await put(store, await store.prepare(PROJECTED, 0), rows)
        async with reading(store) as reader:
            found: list[str] = []
            page: str | None = None
            while True:
                answer = await reader.find(where, order=order, limit=limit, page=page)
                assert len(answer.rows) == limit or answer.next is None
                found += [row.id for row in answer.rows]
                if (page := answer.next) is None:
                    return found, await reader.count(where)
    finally:
        await store.close()


@given(rows, st.lists(conditions(), max_size=2, unique_by=lambda c: c[:2]), orders, st.integers(1, 6))
def test_pages_are_those_of_a_list(
    rows: list[Sample], conditions: list[tuple[str, str, Any]], order: list[str], limit: int
) -> None:
    wanted = sorted((row for row in rows if all(holds(row, *condition) for condition in conditions)), key=lambda row: row.id)
    for name in reversed(order):
        column = name.lstrip("-")
        wanted.sort(key=lambda row: rank(getattr(row, column)), reverse=name.startswith("-"))
    where = {column if op == "eq" else f"{column}__{op}": value for column, op, value in conditions}
    expected = ([row.id for row in wanted], len(wanted))
    assert asyncio.run(paged(MemoryReadStore(), rows, where, order, limit)) == expected
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteReadStore(Database(Path(folder) / "rows.db"))
        assert asyncio.run(paged(store, rows, where, order, limit)) == expected
