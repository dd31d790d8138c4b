"""What a read store promises about its rows."""

import asyncio
import datetime as dt
import itertools
import random
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deedlog.errors import Conflict, InvalidMessage, Misuse, NotFound, NotSupported
from deedlog.reads.reader import Reader
from deedlog.reads.values import Changes, Stored, Wanted
from deedlog.testing.contracts.row_samples import (
    OTHER,
    PROJECTED,
    SAMPLE,
    Color,
    Level,
    Other,
    Part,
    ReadStoreTests,
    Sample,
    changes,
    loaded,
    moved,
    put,
    reading,
    rows_in,
)

NOON = dt.datetime(2025, 6, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)
FULL = Sample(
    "full",
    name='Ärger, "quoted" \'n \\ 😀\nnew line\ttab',
    number=-(2**63),
    amount=Decimal("-12345678901234567890.10"),
    ratio=0.1,
    at=NOON,
    day=dt.date(1, 1, 1),
    hour=dt.time(23, 59, 59, 999999),
    code=uuid.UUID(int=1),
    color=Color.BLUE,
    level=Level.HIGH,
    flag=False,
    parts=[Part("a", Decimal("1.10"), dt.date(2025, 1, 1)), Part("é😀\0", Decimal(0))],
    extra={"a": 1, "": -1},
)
ODD_KEYS = ["", " ", "'", '"', "%", "_", "a", "A", "a\0b", "a\0", "\0", "é", "e\u0301", "😀", "[1]", "null", "1", "x" * 5_000]

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda mine, other: mine == other,
    "ne": lambda mine, other: mine != other,
    "lt": lambda mine, other: mine < other,
    "lte": lambda mine, other: mine <= other,
    "gt": lambda mine, other: mine > other,
    "gte": lambda mine, other: mine >= other,
}
BERLIN, UTC_7 = dt.timezone(dt.timedelta(hours=2)), dt.timezone(dt.timedelta(hours=-7))
VALUES: dict[str, list[Any]] = {
    "name": ["", "a", "B", "b", "é", "😀", "\uffff", "a\0b"],
    "number": [-5, 0, 7, 2**63 - 1],
    "amount": [Decimal(10), Decimal("9.5"), Decimal(-1), Decimal("1.1"), Decimal("1.100"), Decimal("1E+2")],
    "ratio": [-0.5, 0.0, 0.1, 1e300],
    "at": [NOON, NOON.astimezone(BERLIN), NOON.astimezone(UTC_7) + dt.timedelta(microseconds=1), NOON - dt.timedelta(days=1)],
    "day": [dt.date(1, 1, 1), dt.date(2024, 2, 29), dt.date(9999, 12, 31)],
    "hour": [dt.time(0), dt.time(9, 5), dt.time(9, 5, 0, 1)],
    "code": [uuid.UUID(int=1), uuid.UUID(int=2**127)],
    "level": [Level.LOW, Level.HIGH],
    "flag": [False, True],
}


def rank(value: Any) -> tuple[bool, Any]:
    """NULL before all values."""
    return (value is not None, getattr(value, "value", value))


class RowTests(ReadStoreTests):
    async def test_a_row_of_every_kind_comes_back_as_it_was(self, tmp_path: Path) -> None:
        empty = Sample("empty")
        async with self.holding(tmp_path, FULL, empty, Other(-1, "é")) as store:
            async with store.snapshot([PROJECTED]) as snapshot:
                assert await snapshot.get(SAMPLE, "full") == FULL
                assert await snapshot.get(SAMPLE, "empty") == empty
                assert await snapshot.get(SAMPLE, "none") is None
                assert await snapshot.get(OTHER, -1) == Other(-1, "é")
                assert await snapshot.get_many(SAMPLE, ["full", "none", "empty"]) == {"full": FULL, "empty": empty}
                assert await snapshot.get_many(OTHER, [-1, 5]) == {-1: Other(-1, "é")}
            checkpoint = await store.checkpoint(PROJECTED.name)
            assert checkpoint is not None
            assert await loaded(store, checkpoint, "full", "none") == [Stored(FULL, 1, 1_000_000)]

    async def test_a_row_that_is_not_there_is_not_found(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path) as store, reading(store) as reader:
            with pytest.raises(NotFound):
                await reader.get("none")
            assert await reader.get("none", None) is None

    async def test_nobody_holds_a_live_row(self, tmp_path: Path) -> None:
        row = Sample("a", parts=[Part("p", Decimal(1))])
        async with self.holding(tmp_path, row) as store:
            row.parts.clear()
            checkpoint = await store.checkpoint(PROJECTED.name)
            assert checkpoint is not None
            (stored,) = await loaded(store, checkpoint, "a")
            stored.row.parts.clear()
            (read,) = await rows_in(store)
            read.parts.clear()
            assert (await rows_in(store))[0].parts == [Part("p", Decimal(1))]

    async def test_rows_and_checkpoint_are_one_commit(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            before = await store.prepare(PROJECTED, 0)
            assert (before.position, before.events, before.building_to) == (0, 0, 0)
            after = moved(before, 7)
            await store.write(PROJECTED, changes([Sample("a")], position=7), before, after)
            assert await store.checkpoint(PROJECTED.name) == after
            async with store.snapshot([PROJECTED]) as snapshot:
                assert snapshot.checkpoints[PROJECTED.name] == after
                assert await snapshot.get(SAMPLE, "a") == Sample("a")

    async def test_a_stale_checkpoint_writes_nothing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            first = await store.prepare(PROJECTED, 0)
            second = await put(store, first, [Sample("a", "new")])
            for stale in (first, moved(first, 5)):
                with pytest.raises(Conflict):
                    await put(store, stale, [Sample("a", "old"), Sample("b")], deletes=["a"])
            assert await store.checkpoint(PROJECTED.name) == second
            assert await rows_in(store) == [Sample("a", "new")]

    async def test_of_two_writers_at_one_checkpoint_one_wins(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            before = await store.prepare(PROJECTED, 0)
            writers = (put(store, before, [Sample(name)]) for name in "abc")
            outcomes = await asyncio.gather(*writers, return_exceptions=True)
            assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 2
            assert len(await rows_in(store)) == 1

    async def test_rows_are_replaced_and_removed(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            checkpoint = await put(store, await store.prepare(PROJECTED, 0), [Sample("a"), Sample("b"), Sample("c")])
            checkpoint = await put(store, checkpoint, [Sample("b", "changed")], deletes=["a", "never there"])
            assert await rows_in(store) == [Sample("b", "changed"), Sample("c")]
            assert [(s.row.id, s.position) for s in await loaded(store, checkpoint, "a", "b", "c")] == [("b", 2), ("c", 1)]

    async def test_keys_of_odd_text_stay_apart(self, tmp_path: Path) -> None:
        rows = [Sample(key, name=f"row {number}") for number, key in enumerate(ODD_KEYS)]
        async with self.holding(tmp_path, *rows) as store:
            checkpoint = await store.checkpoint(PROJECTED.name)
            assert checkpoint is not None
            async with store.snapshot([PROJECTED]) as snapshot:
                for row in rows:
                    assert await snapshot.get(SAMPLE, row.id) == row
                    assert [stored.row for stored in await loaded(store, checkpoint, row.id)] == [row]
                assert await snapshot.get_many(SAMPLE, ODD_KEYS) == {row.id: row for row in rows}
            everyone = await loaded(store, checkpoint, *ODD_KEYS)
            assert sorted(stored.row.id for stored in everyone) == sorted(ODD_KEYS)

    @pytest.mark.parametrize("column", ["name", "number", "color"])
    async def test_rows_are_loaded_by_the_value_of_an_indexed_column(self, tmp_path: Path, column: str) -> None:
        values: list[Any] = list(Color) if column == "color" else VALUES[column]
        rows = [Sample(f"{number:02}") for number in range(3 * len(values))]
        for row, value in zip(rows, itertools.cycle([*values, values[0]]), strict=False):
            setattr(row, column, value)
        async with self.holding(tmp_path, *rows) as store:
            checkpoint = await store.checkpoint(PROJECTED.name)
            assert checkpoint is not None
            for wanted in ([], values[:1], values[1:], values):
                found = await loaded(store, checkpoint, where=(column, wanted))
                assert [stored.row for stored in found] == [row for row in rows if getattr(row, column) in wanted]
            both = await loaded(store, checkpoint, "00", "nowhere", where=(column, values[:1]))
            assert len(both) == len({stored.row.id for stored in both}), "each row once"

    async def test_a_missing_value_is_no_value_to_load_by(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, Sample("a"), Sample("b", number=1)) as store:
            checkpoint = await store.checkpoint(PROJECTED.name)
            assert checkpoint is not None
            assert [s.row.id for s in await loaded(store, checkpoint, where=("number", [None, 1]))] == ["b"]

    @pytest.mark.parametrize("column", sorted(VALUES))
    async def test_comparisons_are_those_of_python(self, tmp_path: Path, column: str) -> None:
        values = VALUES[column]
        rows = [Sample(f"{number:02}") for number in range(2 * len(values) + 2)]
        for row, value in zip(rows, itertools.cycle([*values, None][: len(values) + (column != "name")]), strict=False):
            setattr(row, column, value)
        async with self.holding(tmp_path, *rows) as store, reading(store) as reader:
            have = [(row, getattr(row, column)) for row in rows]
            for operator, holds in OPERATORS.items():
                for value in values:
                    wanted = [row for row, mine in have if mine is not None and holds(mine, value)]
                    name = column if operator == "eq" else f"{column}__{operator}"
                    assert (await reader.find({name: value}, limit=1_000)).rows == wanted, (name, value)
                    assert await reader.count({name: value}) == len(wanted)
            some = values[:2]
            assert (await reader.find({f"{column}__in": some})).rows == [row for row, mine in have if mine in some]
            assert (await reader.find({f"{column}__in": []})).rows == []
            for null in (True, False):
                assert (await reader.find({f"{column}__null": null})).rows == [r for r, mine in have if (mine is None) == null]
            assert (await reader.find({column: None})).rows == [row for row, mine in have if mine is None]
            assert (await reader.find({f"{column}__ne": None})).rows == [row for row, mine in have if mine is not None]
            for descending in (False, True):
                page = await reader.find(order=f"-{column}" if descending else column, limit=1_000)
                ranks = [rank(getattr(row, column)) for row in page.rows]
                assert ranks == sorted((rank(getattr(row, column)) for row in rows), reverse=descending)
                assert sorted(row.id for row in page.rows) == [row.id for row in rows]

    async def test_text_is_found_by_beginning_and_by_part(self, tmp_path: Path) -> None:
        texts = ["", "a", "ab", "aB", "b", "%", "a%", "_", "é", "éa", "😀", "a\U0010ffff", "a\U0010ffffb", "a\0b", "[", "*"]
        rows = [Sample(f"{number:02}", text) for number, text in enumerate(texts)]
        async with self.holding(tmp_path, *rows) as store, reading(store) as reader:
            for part in ("", "a", "ab", "b", "%", "_", "é", "😀", "a\U0010ffff", "\U0010ffff", "[", "*", "zz"):
                assert (await reader.find({"name__prefix": part})).rows == [r for r in rows if r.name.startswith(part)], part
                assert (await reader.find({"name__contains": part})).rows == [r for r in rows if part in r.name], part

    async def test_conditions_must_all_hold_and_long_lists_are_fine(self, tmp_path: Path) -> None:
        rows = [Sample(f"{n:04}", number=n, color=Color.RED if n % 2 else None) for n in range(50)]
        async with self.holding(tmp_path, *rows) as store, reading(store) as reader:
            found = await reader.find({"number__gte": 10, "number__lt": 20, "color": Color.RED, "flag__null": True})
            assert [row.number for row in found.rows] == [11, 13, 15, 17, 19]
            many = [f"{n:04}" for n in range(40, 40_000)]
            assert await reader.count({"id__in": many}) == 10
            assert len(await reader.get_many(many)) == 10

    async def test_pages_are_complete_and_repeat_nothing(self, tmp_path: Path) -> None:
        chance = random.Random(3)
        rows = [
            Sample(
                f"{n:03}",
                number=chance.choice([None, 1, 2, 3]),
                amount=chance.choice([None, Decimal("1.1"), Decimal("1.10"), Decimal(9), Decimal(10)]),
                at=chance.choice([None, NOON, NOON.astimezone(BERLIN), NOON + dt.timedelta(seconds=1)]),
                color=chance.choice([None, *Color]),
            )
            for n in range(80)
        ]
        chance.shuffle(rows)
        orders = [
            (),
            ("number",),
            ("-number",),
            ("amount", "-number"),
            ("-amount", "at"),
            ("-color", "-at", "number"),
            ("-id",),
            ("number", "-id"),
            ("color", "id", "number"),
        ]
        async with self.holding(tmp_path, *rows) as store, reading(store) as reader:
            for order in orders:
                wanted = sorted(rows, key=lambda row: row.id)
                for name in reversed(order):
                    column = name.lstrip("-")
                    wanted.sort(key=lambda row: rank(getattr(row, column)), reverse=name.startswith("-"))
                for size in (1, 7, 100):
                    found: list[Sample] = []
                    page: str | None = None
                    while True:
                        answer = await reader.find(order=order, limit=size, page=page)
                        assert len(answer.rows) <= size
                        found += answer.rows
                        if (page := answer.next) is None:
                            break
                    assert [row.id for row in found] == [row.id for row in wanted], (order, size)

    async def test_a_page_of_another_list_is_refused(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, *(Sample(key) for key in "abc")) as store, reading(store) as reader:
            page = (await reader.find(order="number", limit=1)).next
            assert page is not None
            for order in ("-number", "name", ()):
                with pytest.raises(InvalidMessage):
                    await reader.find(order=order, page=page)
            with pytest.raises(InvalidMessage):
                await reader.find(page="no page")
            forged = urlsafe_b64encode(msgspec.json.encode(["number,id", [msgspec.Raw(b"18446744073709551615"), "x"]])).decode()
            with pytest.raises(InvalidMessage, match="64 bits"):
                await reader.find(order="number", page=forged)

    async def test_search_finds_beginnings_of_words(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:

            async def hits(text: str) -> set[str]:
                async with reading(store) as reader:
                    return {row.id for row in await reader.search(text)}

            rows = [Sample("1", "Brass lamp"), Sample("2", "brass-lamps, two"), Sample("3", "Lampion"), Sample("4", "42 things")]
            checkpoint = await put(store, await store.prepare(PROJECTED, 0), rows)
            assert await hits("lamp") == {"1", "2", "3"}
            assert await hits("LAMPS") == {"2"}
            assert await hits("br lam") == {"1", "2"}
            assert await hits("lam br") == {"1", "2"}
            assert await hits("4") == {"4"}
            assert await hits("amp") == set()
            assert await hits("") == set()
            async with reading(store) as reader:
                assert len(await reader.search("lamp", limit=2)) == 2
            checkpoint = await put(store, checkpoint, [Sample("1", "Brass lantern")], deletes=["2"])
            assert await hits("lamp") == {"3"}
            assert await hits("brass lantern") == {"1"}
            assert await hits("two") == set()

    async def test_odd_search_text_raises_nothing(self, tmp_path: Path) -> None:
        odd = ['"', '""', "*", "a*", "AND", "a AND", "NOT a", "a OR", "NEAR(a b)", "name:a", "^a", "(", ")", "-", "a-b", "'", ";"]
        odd += ["😀", "é", "\0", "a\0b", "²", "Ⅷ", "\u0301", "ꟊ", "日本", "{a}", "+", "\\", "x" * 10_000, "a " * 1_000]
        async with self.holding(tmp_path, Sample("1", "and or not near name a b é 日本")) as store, reading(store) as reader:
            for text in odd:
                assert {row.id for row in await reader.search(text)} <= {"1"}, text
            assert [row.id for row in await reader.search("AND")] == ["1"]
            assert [row.id for row in await reader.search("日")] == ["1"]
            with pytest.raises(Misuse, match="no search"):
                async with store.snapshot([PROJECTED]) as snapshot:
                    await Reader(snapshot, OTHER).search("a")

    async def test_an_open_snapshot_stays_as_it_is(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            checkpoint = await put(store, await store.prepare(PROJECTED, 0), [Sample("a", "old"), Sample("b")])
            async with store.snapshot([PROJECTED]) as snapshot:
                await put(store, checkpoint, [Sample("a", "new"), Sample("c"), Other(1)], deletes=["b"])
                reader: Reader[Sample] = Reader(snapshot, SAMPLE)
                assert (await reader.find()).rows == [Sample("a", "old"), Sample("b")]
                assert await reader.get("a") == Sample("a", "old")
                assert await reader.count() == 2
                assert await snapshot.get(OTHER, 1) is None
                assert snapshot.checkpoints[PROJECTED.name] == checkpoint
                assert await rows_in(store) == [Sample("a", "new"), Sample("c")]

    async def test_many_snapshots_at_once_each_see_one_commit(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            checkpoint = await put(store, await store.prepare(PROJECTED, 0), [Sample("a", "1"), Sample("b", "1")])
            done = asyncio.Event()

            async def read() -> None:
                while not done.is_set():
                    async with store.snapshot([PROJECTED]) as snapshot:
                        first = await snapshot.get(SAMPLE, "a")
                        found = await Reader[Sample](snapshot, SAMPLE).find()
                        names = {first and first.name, *(row.name for row in found.rows)}
                        assert names == {str(snapshot.checkpoints[PROJECTED.name].position)}
                    await asyncio.sleep(0)

            readers = [asyncio.ensure_future(read()) for _ in range(20)]
            for number in range(2, 30):
                checkpoint = await put(store, checkpoint, [Sample("a", str(number)), Sample("b", str(number))])
            done.set()
            await asyncio.gather(*readers)

    async def test_sql_reads_the_live_rows_or_is_not_supported(self, tmp_path: Path) -> None:
        async with self.holding(tmp_path, Sample("a", number=1), Sample("b", number=2)) as store:
            async with store.snapshot([PROJECTED]) as snapshot:
                statement = "select id, number + 1 as more from sample where number > 1"
                if "sql" not in self.capabilities:
                    with pytest.raises(NotSupported):
                        await snapshot.sql(statement, ())
                    return
                assert await snapshot.sql(statement, ()) == [{"id": "b", "more": 3}]
                for wrong in ("select nothing from sample", "delete from sample", "nonsense", "select 1; select 2"):
                    with pytest.raises(Misuse):
                        await snapshot.sql(wrong, ())
            assert len(await rows_in(store)) == 2

    async def test_values_of_another_type_are_refused_with_nothing_written(self, tmp_path: Path) -> None:
        wrong: list[dict[str, Any]] = [
            {"number": 2**63},
            {"number": "one"},
            {"name": "\ud800"},
            {"name": None},
            {"at": "yesterday"},
            {"day": 5},
            {"color": "red"},
            {"parts": [object()]},
        ]
        async with self.opened(tmp_path) as store:
            checkpoint = await store.prepare(PROJECTED, 0)
            for fields in wrong:
                row = Sample("a")
                for name, value in fields.items():
                    setattr(row, name, value)
                try:
                    after = await put(store, checkpoint, [Sample("fine"), row])
                except Misuse:
                    assert await store.checkpoint(PROJECTED.name) == checkpoint
                else:
                    assert "typed" not in self.capabilities, fields
                    assert await store.checkpoint(PROJECTED.name) == after
                    checkpoint = await put(store, after, deletes=["fine", "a"])
            assert await rows_in(store) == []

    async def test_an_empty_batch_only_moves_the_checkpoint(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            before = await store.prepare(PROJECTED, 0)
            await store.write(PROJECTED, Changes({}, {}), before, moved(before, 5))
            assert await store.checkpoint(PROJECTED.name) == moved(before, 5)
            assert await store.load(PROJECTED, before, Wanted({}, {})) == {"Sample": [], "Other": []}
