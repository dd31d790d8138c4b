"""The service that is measured: parcels that are registered and moved, one read model, one query. Events are 240 bytes."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path

import msgspec

from deedlog import Aggregate, App, Command, CommandContext, Event, Query, Reader, ReadModel, Receipt, decide, evolve, on, starts
from deedlog.types import Clock

NOTE = (
    "left at the side door, second shelf, the neighbour at number eleven knows the code, ring twice, "
    "then wait a little while please"
)
PRICE = Decimal("12.90")
AT = datetime(2026, 1, 31, 12, 30, 15, tzinfo=UTC)
_numbers = count(1)


class Register(Command, frozen=True):
    parcel: str
    depot: str
    weight: int
    price: Decimal
    at: datetime
    note: str


class Move(Command, frozen=True):
    parcel: str
    depot: str
    weight: int
    price: Decimal
    at: datetime
    note: str


class Registered(Event, frozen=True):
    parcel: str
    depot: str
    weight: int
    price: Decimal
    at: datetime
    note: str


class Moved(Event, frozen=True):
    parcel: str
    depot: str
    weight: int
    price: Decimal
    at: datetime
    note: str


class Ping(Command, frozen=True):
    """Answered by a handler that stores nothing."""

    text: str


class Parcel(Aggregate):
    depot: str = ""
    moves: int = 0

    @decide
    def register(self, command: Register) -> Registered:
        return Registered(command.parcel, command.depot, command.weight, command.price, command.at, command.note)

    @decide
    def move(self, command: Move) -> Moved:
        return Moved(command.parcel, command.depot, command.weight, command.price, command.at, command.note)

    @evolve
    def registered(self, event: Registered) -> None:
        self.depot = event.depot

    @evolve
    def moved(self, event: Moved) -> None:
        self.depot = event.depot
        self.moves += 1


class ParcelRow(ReadModel):
    parcel: str
    depot: str
    weight: int
    price: Decimal
    moves: int = 0
    last: datetime | None = None

    @starts
    @classmethod
    def registered(cls, event: Registered) -> "ParcelRow":
        return cls(event.parcel, event.depot, event.weight, event.price, 0, event.at)

    @on
    def moved(self, event: Moved) -> None:
        self.depot = event.depot
        self.moves += 1
        self.last = event.at


class GetParcel(Query[ParcelRow], frozen=True):
    parcel: str


async def get_parcel(query: GetParcel, rows: Reader[ParcelRow]) -> ParcelRow:
    return await rows.get(query.parcel)


async def ping(command: Ping) -> None:
    """Nothing: what is measured is the way to here and back."""


async def pass_on(context: CommandContext, proceed: Callable[[CommandContext], Awaitable[Receipt]]) -> Receipt:
    """A middleware that does nothing."""
    return await proceed(context)


def key_of(number: int) -> str:
    """Sixteen hexadecimal digits that don't rise with `number`: an index meets them as it meets random ids."""
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


def fresh_key() -> str:
    """A key that this process has not used."""
    return key_of(next(_numbers))


def register(parcel: str) -> Register:
    return Register(parcel, "north", 1200, PRICE, AT, NOTE)


def move(parcel: str) -> Move:
    return Move(parcel, "south", 1200, PRICE, AT, NOTE)


def service(path: Path | None, *, middlewares: int = 0, clock: Clock | None = None) -> App:
    """The app on a SQLite file, or in memory."""
    app = App("parcels", store="memory://" if path is None else f"sqlite:///{path}", clock=clock)
    app.aggregate(key="parcel")(Parcel)
    app.read_model(key="parcel")(ParcelRow)
    app.query(get_parcel)
    app.command_handler(ping)
    for _ in range(middlewares):
        app.middleware(pass_on)
    return app


def event_text(parcel: str) -> str:
    """The JSON of an event as the app stores it."""
    return msgspec.json.encode(Registered(parcel, "north", 1200, PRICE, AT, NOTE)).decode()
