"""Wrong declarations are refused when the app is built, naming file and line."""

from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

import pytest

from deedlog import (
    Aggregate,
    App,
    Command,
    Event,
    InvalidDeclaration,
    Module,
    Query,
    Reader,
    ReadModel,
    decide,
    ends,
    evolve,
    on,
    starts,
)


class Make(Command):
    id: str


class Nameless(Command):
    other: str


class Made(Event):
    id: str


class Priced(Event):
    thing: str
    price: Decimal


class Get(Query[str]):
    id: str


@pytest.fixture
def module() -> Module:
    return Module()


@pytest.fixture
def refused(module: Module) -> Callable[[str], None]:
    def check(said: str) -> None:
        app = App("app", store="memory://")
        app.include(module)
        with pytest.raises(InvalidDeclaration, match=said) as caught:
            app.build()
        assert "test_declarations.py:" in caught.value.place

    return check


Check = Callable[[str], None]


def test_an_event_that_nobody_evolves(module: Module, refused: Check) -> None:
    @module.aggregate(key="id")
    class Thing(Aggregate):
        @decide
        def make(self, command: Make) -> Made:
            return Made(command.id)

    refused("emits Made, but no @evolve method takes it")


def test_two_deciders_for_one_command(module: Module, refused: Check) -> None:
    @module.aggregate(key="id")
    class Thing(Aggregate):
        @decide
        def make(self, command: Make) -> None: ...
        @decide
        def make_again(self, command: Make) -> None: ...

    refused("Make is already handled at")


def test_two_aggregates_for_one_command() -> None:
    app = App("app", store="memory://")

    @app.aggregate(key="id")
    class Thing(Aggregate):
        @decide
        def make(self, command: Make) -> None: ...

    @app.command_handler
    async def make(command: Make) -> None: ...

    with pytest.raises(InvalidDeclaration, match="Make is already answered at"):
        app.build()


def test_a_command_without_the_key(module: Module, refused: Check) -> None:
    @module.aggregate(key="id")
    class Thing(Aggregate):
        @decide
        def make(self, command: Nameless) -> None: ...

    refused("Nameless has no field 'id', the key of Thing")


def test_a_decider_that_takes_more_than_the_command(module: Module, refused: Check) -> None:
    @module.aggregate(key="id")
    class Thing(Aggregate):
        @decide
        def make(self, command: Make, clock: str) -> None: ...

    refused("also takes clock")


def test_a_decider_without_annotation(module: Module, refused: Check) -> None:
    @module.aggregate(key="id")
    class Thing(Aggregate):
        @decide
        def make(self, command) -> None: ...  # type: ignore[no-untyped-def]

    refused("'command' has no annotation")


def test_a_state_without_a_beginning(module: Module, refused: Check) -> None:
    @module.aggregate(key="id")
    class Thing(Aggregate):
        price: Decimal

        @decide
        def make(self, command: Make) -> None: ...

    refused("give every field a default")


def test_an_aggregate_that_decides_nothing(module: Module, refused: Check) -> None:
    @module.aggregate(key="id")
    class Thing(Aggregate):
        @evolve
        def made(self, event: Made) -> None: ...

    refused("decides no command")


def test_two_aggregates_of_one_category(module: Module, refused: Check) -> None:
    @module.aggregate(key="id", category="thing")
    class First(Aggregate):
        @decide
        def make(self, command: Make) -> None: ...

    @module.aggregate(key="other", category="thing")
    class Second(Aggregate):
        @decide
        def make(self, command: Nameless) -> None: ...

    refused("'thing' is the category of two aggregates")


def test_a_read_model_whose_key_is_no_field(module: Module, refused: Check) -> None:
    @module.read_model(key="thing")
    class View(ReadModel):
        id: str

        @starts
        @classmethod
        def made(cls, event: Made) -> "View":
            return cls(event.id)

    refused("View has no field 'thing'")


def test_an_event_without_the_row_key(module: Module, refused: Check) -> None:
    @module.read_model(key="id")
    class View(ReadModel):
        id: str

        @starts
        @classmethod
        def made(cls, event: Made) -> "View":
            return cls(event.id)

        @on
        def priced(self, event: Priced) -> None: ...

    refused("Priced has no field 'id'")


def test_rows_that_never_start(module: Module, refused: Check) -> None:
    @module.read_model(key="id")
    class View(ReadModel):
        id: str

        @ends
        def made(self, event: Made) -> None: ...

    refused("no row of View ever starts")


def test_a_missing_row_can_not_start_without_defaults(module: Module, refused: Check) -> None:
    @module.read_model(key="id")
    class View(ReadModel):
        id: str
        price: Decimal

        @on(start_missing=True)
        def made(self, event: Made) -> None: ...

    refused("price of View have no default")


def test_where_needs_an_index(module: Module, refused: Check) -> None:
    @module.read_model(key="id")
    class View(ReadModel):
        id: str
        thing: str = ""

        @starts
        @classmethod
        def made(cls, event: Made) -> "View":
            return cls(event.id)

        @on(where="thing")
        def priced(self, event: Priced) -> None: ...

    refused("where='thing' needs an index")


def test_a_start_that_is_no_class_method(module: Module, refused: Check) -> None:
    @module.read_model(key="id")
    class View(ReadModel):
        id: str

        @starts
        def made(self, event: Made) -> None: ...

    refused("put @classmethod under @starts")


def test_read_models_that_look_each_other_up(module: Module) -> None:
    app = App("app", store="memory://")
    app.include(module)

    @module.read_model(key="id")
    class A(ReadModel):
        id: str

        @on(start_missing=True)
        def made(self, event: Made, other: "B | None") -> None: ...

    @module.read_model(key="id")
    class B(ReadModel):
        id: str

        @on(start_missing=True)
        def made(self, event: Made, other: "A | None") -> None: ...

    globals().update(A=A, B=B)
    with pytest.raises(InvalidDeclaration, match="circle"):
        app.build()


async def test_a_service_that_nobody_provides() -> None:
    class Mailer: ...

    app = App("app", store="memory://")

    @app.command_handler
    async def make(command: Make, mailer: Mailer) -> None: ...

    with pytest.raises(InvalidDeclaration, match="no service for 'mailer: Mailer'"):
        await app.start()


async def test_a_service_asked_for_by_a_protocol() -> None:
    class Mailer(Protocol):
        def send(self) -> None: ...

    class Alike:
        def send(self) -> None: ...

    class Smtp(Mailer):
        def send(self) -> None: ...

    app = App("app", store="memory://")

    @app.command_handler
    async def make(command: Make, mailer: Mailer) -> None: ...

    app.provide(Alike())
    with pytest.raises(InvalidDeclaration, match=r"no service for 'mailer: Mailer'.*as_type=Mailer"):
        await app.start()
    app.provide(Smtp())
    async with app:
        pass


async def test_a_reader_of_a_model_that_is_not_there() -> None:
    class View(ReadModel):
        id: str

    app = App("app", store="memory://")

    @app.query
    async def get(query: Get, views: Reader[View]) -> str:
        return ""

    with pytest.raises(InvalidDeclaration, match="View is no read model of this app"):
        await app.start()


def test_state_without_annotation(module: Module, refused: Check) -> None:
    @module.aggregate(key="id")
    class Thing(Aggregate):
        LIMIT = 5
        free = 100

        @decide
        def make(self, command: Make) -> None: ...

    refused("Thing.free has no annotation")


def test_an_index_on_a_decimal(module: Module, refused: Check) -> None:
    @module.read_model(key="id", indexes=["price"])
    class View(ReadModel):
        id: str
        price: Decimal = Decimal(0)

        @on(start_missing=True)
        def made(self, event: Made) -> None: ...

    refused("View.price is stored as decimal and can't be indexed")


def test_a_decider_that_is_async(module: Module, refused: Check) -> None:
    @module.aggregate(key="id")
    class Thing(Aggregate):
        @decide
        async def make(self, command: Make) -> None: ...

    refused("Thing.make is async")
