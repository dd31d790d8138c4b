"""A small shop for the HTTP tests: one aggregate, one handler, one read model, queries of several shapes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import httpx2
from msgspec import Meta, Struct
from starlette.types import ASGIApp

from deedlog import (
    Aggregate,
    App,
    Append,
    Command,
    Event,
    Module,
    NotFound,
    Page,
    Query,
    Reader,
    ReadModel,
    Refused,
    decide,
    evolve,
    on,
    starts,
)

Id = Annotated[str, Meta(min_length=1, max_length=40, pattern="^[a-z0-9-]+$", examples=["lamp-1"])]
Amount = Annotated[int, Meta(ge=1, le=1000)]


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    quantity: Amount


class CreateProduct(Command, frozen=True):
    """Puts a product on sale."""

    product_id: Id
    name: str
    price: Decimal


class Sell(Command, frozen=True):
    product_id: Id
    lines: list[Line]


class Note(Command, frozen=True):
    text: str


class Break(Command, frozen=True):
    why: str


class ProductCreated(Event, frozen=True):
    product_id: str
    name: str
    price: Decimal


class Sold(Event, frozen=True):
    product_id: str
    quantity: int


class Noted(Event, frozen=True):
    text: str


class ProductView(ReadModel):
    product_id: str
    name: str
    price: Decimal
    sold: int = 0

    @starts
    @classmethod
    def created(cls, event: ProductCreated) -> "ProductView":
        return cls(event.product_id, event.name, event.price)

    @on
    def was_sold(self, event: Sold) -> None:
        self.sold += event.quantity


class Product(Aggregate):
    stock: int = 100

    @decide
    def create(self, command: CreateProduct) -> ProductCreated:
        if self.exists:
            raise Refused("this product already exists", code="exists", product_id=command.product_id)
        return ProductCreated(command.product_id, command.name, command.price)

    @decide
    def sell(self, command: Sell) -> Sold:
        wanted = sum(line.quantity for line in command.lines)
        if wanted > self.stock:
            raise Refused("not that many left", code="sold_out", left=self.stock, price=Decimal("1.50"))
        return Sold(command.product_id, wanted)

    @evolve
    def created(self, event: ProductCreated) -> None: ...

    @evolve
    def was_sold(self, event: Sold) -> None:
        self.stock -= event.quantity


class GetProduct(Query[ProductView], frozen=True):
    product_id: Id


class FindProducts(Query[Page[ProductView]], frozen=True):
    names: list[str] = []
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    page: str | None = None


class CountLines(Query[int], frozen=True):
    lines: list[Line]


class Echo(Query[dict[str, object]], frozen=True):
    number: int
    flag: bool = False
    at: datetime | None = None
    tags: frozenset[str] = frozenset()


class Fail(Query[int], frozen=True):
    secret: str


shop = Module()
shop.event(Noted)
shop.aggregate(key="product_id")(Product)
shop.read_model(key="product_id", indexes=["name"])(ProductView)


@shop.command_handler
def note(command: Note) -> Append | None:
    return Append("note-1", [Noted(command.text)]) if command.text else None


@shop.query
async def get_product(query: GetProduct, products: Reader[ProductView]) -> ProductView:
    return await products.get(query.product_id)


@shop.query
async def find_products(query: FindProducts, products: Reader[ProductView]) -> Page[ProductView]:
    where = {"name__in": query.names} if query.names else None
    return await products.find(where, order="name", limit=query.limit, page=query.page)


@shop.query
def count_lines(query: CountLines) -> int:
    return sum(line.quantity for line in query.lines)


@shop.query
def echo(query: Echo) -> dict[str, object]:
    return {"number": query.number, "flag": query.flag, "at": query.at, "tags": sorted(query.tags)}


broken = Module()


@broken.command_handler
def break_it(command: Break) -> None:
    raise RuntimeError(f"the secret is {command.why}")


@broken.query
def fail(query: Fail) -> int:
    if query.secret == "key":
        raise NotFound("secret", query.secret)
    raise RuntimeError(f"the secret is {query.secret}")


def open_shop(store: str = "memory://", *modules: Module) -> App:
    app = App("shop", store=store)
    app.include(shop, *modules)
    return app


LAMP = {"product_id": "lamp-1", "name": "Lamp", "price": "19.90"}
JSON = {"content-type": "application/json"}


@asynccontextmanager
async def client_of(served: ASGIApp, app: App, *, projections: bool = True) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of `served`, in this event loop, while `app` runs; like a browser it keeps cookies."""
    await app.start(projections=projections)
    try:
        transport = httpx2.ASGITransport(served)
        async with httpx2.AsyncClient(transport=transport, base_url="http://shop.test") as client:
            yield client
    finally:
        await app.stop()
