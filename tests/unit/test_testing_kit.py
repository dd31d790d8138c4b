"""The testing kit, tested on a small library of books."""

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal

import pytest

from deedlog import (
    Aggregate,
    App,
    Command,
    Event,
    InvalidMessage,
    Misuse,
    Query,
    Reader,
    ReadModel,
    Refused,
    decide,
    ends,
    evolve,
    on,
    starts,
)
from deedlog.projections.fold import Spoilt
from deedlog.testing import Scenario, TestClock, counting_ids, memory_app

library = App("library")


class AddBook(Command):
    book_id: str
    title: str
    price: Decimal = Decimal(1)


class LendBook(Command):
    book_id: str
    reader: str


class MarkBook(Command):
    book_id: str


class CountBooks(Command):
    shelf: str


class BookAdded(Event):
    book_id: str
    title: str
    price: Decimal


class BookLent(Event):
    book_id: str
    reader: str


class BookLost(Event):
    book_id: str


class ReaderMoved(Event):
    reader: str
    town: str


@library.aggregate(key="book_id")
class Book(Aggregate):
    title: str = ""
    readers: list[str] = []  # msgspec copies it

    @decide
    def add(self, command: AddBook) -> BookAdded | None:
        if self.exists:
            return None
        return BookAdded(command.book_id, command.title, command.price)

    @decide
    def lend(self, command: LendBook) -> list[BookLent]:
        if not self.exists:
            raise Refused("no such book", code="unknown_book", book_id=command.book_id)
        return [BookLent(command.book_id, command.reader)]

    @decide
    def mark(self, command: MarkBook) -> None:
        self.readers.append("me")

    @evolve
    def added(self, event: BookAdded) -> None:
        self.title = event.title

    @evolve
    def lent(self, event: BookLent) -> None:
        self.readers.append(event.reader)


@library.read_model(key="reader")
class Person(ReadModel):
    reader: str
    town: str = ""

    @on(start_missing=True)
    def moved(self, event: ReaderMoved) -> None:
        self.town = event.town


@library.read_model(key="book_id", indexes=["reader"])
class Shelf(ReadModel):
    book_id: str
    title: str
    reader: str | None = None
    town: str | None = None

    @starts
    @classmethod
    def added(cls, event: BookAdded) -> "Shelf":
        if not event.title:
            raise ValueError("a book without a title")
        return cls(event.book_id, event.title)

    @on
    def lent(self, event: BookLent, person: Person | None) -> None:
        self.reader = event.reader
        self.town = person.town if person else None

    @on(where="reader")
    def moved(self, event: ReaderMoved) -> None:
        self.town = event.town

    @ends
    def lost(self, event: BookLost) -> None: ...


class GetBook(Query[Shelf]):
    book_id: str


@library.query
async def get_book(query: GetBook, shelf: Reader[Shelf]) -> Shelf:
    return await shelf.get(query.book_id)


class Counter:
    """A service of the library."""


@library.command_handler
def count_books(command: CountBooks, counter: Counter) -> None:
    return None


scenario = Scenario(library)
ADDED = BookAdded("b1", "Dune", Decimal(1))


def failure(expectation: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as caught:
        expectation()
    return str(caught.value)


def test_a_decision_is_compared_event_by_event() -> None:
    scenario.when(AddBook("b1", "Dune")).then(ADDED)
    scenario.given(ADDED).when(LendBook("b1", "Ann")).then(BookLent("b1", "Ann"))
    scenario.given(ADDED).when(AddBook("b1", "Dune")).then_nothing()


def test_decisions_chain_on_what_has_happened_so_far() -> None:
    done = scenario.when(AddBook("b1", "Dune")).then(ADDED).when(LendBook("b1", "Ann")).when(LendBook("b1", "Bob"))
    done.then(BookLent("b1", "Bob")).then_state(title="Dune", readers=["Ann", "Bob"], version=3)
    assert done.state.readers == ["Ann", "Bob"]


def test_other_events_are_shown_with_the_field_that_differs() -> None:
    said = failure(lambda: scenario.when(AddBook("b1", "Dune")).then(BookAdded("b1", "Emma", Decimal(1))))
    assert "gave other events" in said
    assert "event 1.title: expected 'Emma', got 'Dune'" in said
    assert f"expected:\n    {BookAdded('b1', 'Emma', Decimal(1))!r}" in said
    assert f"actual:\n    {ADDED!r}" in said


def test_missing_and_surplus_events_are_shown() -> None:
    assert "event 1: expected nothing, got BookAdded" in failure(lambda: scenario.when(AddBook("b1", "Dune")).then_nothing())
    said = failure(lambda: scenario.given(ADDED).when(AddBook("b1", "Dune")).then(ADDED))
    assert "event 1: expected BookAdded" in said
    assert "actual:\n    nothing" in said


def test_a_refusal_is_matched_by_words_code_and_data() -> None:
    decision = scenario.when(LendBook("b1", "Ann"))
    decision.then_refused().then_refused("such book").then_refused(code="unknown_book", book_id="b1").then_state(readers=[])
    assert decision.refusal is not None
    assert "with other words" in failure(lambda: decision.then_refused("overdue"))
    assert "with code 'unknown_book', not 'overdue'" in failure(lambda: decision.then_refused(code="overdue"))
    assert "book_id: expected 'b2', got 'b1'" in failure(lambda: decision.then_refused(book_id="b2"))
    assert "days: expected 3, got nothing" in failure(lambda: decision.then_refused(days=3))
    assert "was refused: no such book" in failure(lambda: decision.then(BookLent("b1", "Ann")))
    assert "was refused: no such book" in failure(decision.then_nothing)
    assert "was not refused" in failure(lambda: scenario.when(AddBook("b1", "Dune")).then_refused())


def test_a_state_is_compared_by_field_or_by_a_check() -> None:
    decision = scenario.given(ADDED).when(LendBook("b1", "Ann"))
    decision.then_state(lambda book: book.readers == ["Ann"]).then_state(lambda book: None)
    assert "readers[0]: expected 'Bob', got 'Ann'" in failure(lambda: decision.then_state(readers=["Bob"]))
    assert "pages: expected 3, got nothing" in failure(lambda: decision.then_state(pages=3))
    assert "does not pass the check" in failure(lambda: decision.then_state(lambda book: book.title == "Emma"))


def test_deciding_that_changes_the_state_fails() -> None:
    said = failure(lambda: scenario.given(ADDED).when(MarkBook("b1")))
    assert "changed the state" in said
    assert "readers: [] became ['me']" in said
    assert "@evolve" in said


def test_what_production_refuses_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="finite"):
        scenario.when(AddBook("b1", "Dune", Decimal("NaN")))
    with pytest.raises(InvalidMessage, match="book_id"):
        scenario.when(AddBook("line\nbreak", "Dune"))
    with pytest.raises(Misuse, match="no @evolve method for ReaderMoved"):
        scenario.given(ReaderMoved("Ann", "Oslo")).when(LendBook("b1", "Ann"))


def test_commands_that_no_aggregate_decides_are_told_what_to_do() -> None:
    with pytest.raises(Misuse, match="memory_app"):
        scenario.when(CountBooks("s1"))
    with pytest.raises(Misuse, match="declared commands: AddBook, LendBook, MarkBook"):
        scenario.when(GetBook("b1"))


def test_rows_are_folded_with_lookups_and_by_column() -> None:
    rows = scenario.fold(ReaderMoved("Ann", "Oslo"), ADDED, BookLent("b1", "Ann"))
    rows.then_row(Shelf, "b1", reader="Ann", town="Oslo").then_row(Person, "Ann", town="Oslo")
    later = rows.fold(ReaderMoved("Ann", "Bergen"))
    later.then_rows(Shelf, Shelf("b1", "Dune", "Ann", "Bergen"))
    rows.then_row(Shelf, "b1", town="Oslo")
    later.fold(BookLost("b1")).then_no_row(Shelf, "b1").then_rows(Shelf)


def test_folding_starts_from_given_rows() -> None:
    given = scenario.given_rows(Shelf("b1", "Dune"), Person("Ann", "Oslo"))
    given.fold(BookLent("b1", "Ann")).then_row(Shelf, "b1", town="Oslo")
    assert given.row(Shelf, "b1") == Shelf("b1", "Dune")
    assert given.rows(Shelf) == [Shelf("b1", "Dune")]


def test_other_rows_are_shown_with_the_field_that_differs() -> None:
    rows = scenario.fold(ADDED)
    assert "title: expected 'Emma', got 'Dune'" in failure(lambda: rows.then_row(Shelf, "b1", title="Emma"))
    assert "no Shelf with key 'b2'" in failure(lambda: rows.then_row(Shelf, "b2"))
    assert "a Shelf with key 'b1'" in failure(lambda: rows.then_no_row(Shelf, "b1"))
    assert "row 1.title: expected 'Emma', got 'Dune'" in failure(lambda: rows.then_rows(Shelf, Shelf("b1", "Emma")))
    assert "row 1: expected nothing" in failure(lambda: rows.then_rows(Shelf))
    with pytest.raises(Misuse, match="declared: Person, Shelf"):
        rows.then_rows(Book)
    with pytest.raises(Spoilt) as caught:
        scenario.fold(BookAdded("b1", "", Decimal(1)))
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_row_read_from_the_kit_is_a_copy() -> None:
    rows = scenario.fold(ADDED)
    rows.row(Shelf, "b1").title = "Emma"
    rows.rows(Shelf)[0].title = "Emma"
    rows.then_row(Shelf, "b1", title="Dune")


async def test_a_module_level_app_runs_in_memory_and_catches_up() -> None:
    async with memory_app(library, ids=counting_ids(), services=[Counter()]) as app:
        receipt = await app.execute(AddBook("b1", "Dune"))
        assert receipt.command_id == "00000000-0000-7000-8000-000000000001"
        await app.catch_up()
        assert (await app.ask(GetBook("b1"))).value == Shelf("b1", "Dune")
        (event,) = await app.running.store.read_all()
        assert event.time == dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
        app.clock.advance(90)
        await app.execute(LendBook("b1", "Ann"))
        assert (await app.running.store.read_all(1))[0].time == app.clock.now()
    assert app.url == "memory://"
    assert library.url != app.url


def test_the_clock_stands_still_until_it_is_told_otherwise() -> None:
    clock = TestClock()
    start = clock.now()
    assert clock.now() == start
    assert clock.advance(0.5) == start + dt.timedelta(seconds=0.5) == clock.now()
    clock.set(dt.datetime(2030, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))))
    assert clock.now().isoformat() == "2030-01-01T00:00:00+00:00"
    with pytest.raises(Misuse, match="no time zone"):
        clock.set(dt.datetime(2030, 1, 1))  # noqa: DTZ001  # the mistake under test


def test_the_kit_needs_no_test_framework() -> None:
    check = "import sys, deedlog.testing; sys.exit('pytest' in sys.modules or 'hypothesis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
