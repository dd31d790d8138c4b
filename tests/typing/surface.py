"""What a user's editor knows about the front door. Read by mypy and pyright, strict; also run, so that it is true."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, assert_type

import attrs

from deedlog import (
    Aggregate,
    Answer,
    Answers,
    AnyVersion,
    App,
    Append,
    Command,
    CommandContext,
    Commands,
    Event,
    EventImport,
    Exactly,
    Freshness,
    Imported,
    Loaded,
    Matching,
    Metadata,
    Module,
    NoStream,
    Page,
    Proceed,
    Query,
    Reader,
    ReadModel,
    Receipt,
    Refused,
    Snapshots,
    Sql,
    StreamClosing,
    StreamExists,
    UnitOfWork,
    Unless,
    Writable,
    decide,
    ends,
    evolve,
    message,
    on,
    starts,
)

parts = Module()
app = App("surface", store="memory://", keep_receipts=timedelta(days=1))
app.include(parts)


class Create(Command):
    product_id: str
    price: Decimal = Decimal(1)


@dataclass(frozen=True)
class Reprice:
    product_id: str
    price: Decimal


@attrs.frozen
class Drop:
    product_id: str


class Created(Event):
    product_id: str
    price: Decimal


@message("Repriced", version=2, tags=["product_id"])
class Repriced(Event):
    product_id: str
    price: Decimal


@dataclass(frozen=True)
class Dropped:
    product_id: str


class Notify(Command):
    product_id: str


@parts.event
class Notified(Event):
    product_id: str


@parts.aggregate(key="product_id", category="goods", snapshots=Snapshots(every=100, bytes=10_000))
class Product(Aggregate):
    price: Decimal = Decimal(0)

    @decide
    def create(self, command: Create) -> Created:
        if self.exists:
            raise Refused("there already", code="exists", product_id=command.product_id)
        return Created(command.product_id, command.price)

    @decide
    def reprice(self, command: Reprice) -> Repriced | None:
        return Repriced(command.product_id, command.price) if command.price != self.price else None

    @decide
    def drop(self, command: Drop) -> Iterator[Repriced | Dropped]:
        yield Repriced(command.product_id, Decimal(0))
        yield Dropped(command.product_id)

    @evolve
    def priced(self, event: Created | Repriced) -> None:
        self.price = event.price

    @evolve
    def dropped(self, event: Dropped) -> None: ...


@dataclass(frozen=True)
class Door:
    open: bool = False


class Push(Command):
    door: str


class Pull(Command):
    door: str


class Moved(Event):
    door: str
    open: bool


def move(command: Push | Pull, state: Door) -> Moved | None:
    wanted = isinstance(command, Push)
    return Moved(command.door, wanted) if wanted != state.open else None


def moved(state: Door, event: Moved) -> Door:
    return Door(event.open)


class Ring(Command):
    bell: str


class Rang(Event):
    bell: str


def ring(command: Ring, state: int) -> list[Rang]:
    return [Rang(command.bell)]


def count_ring(state: int, event: Rang) -> int:
    return state + 1


parts.decider("door", key="door", initial=Door, decide=move, evolve=moved, snapshots=Snapshots(age=timedelta(hours=1)))
parts.decider("bell", key="bell", initial=int, decide=[ring], evolve=[count_ring])


@parts.read_model(key="product_id", indexes=["product_id", ("product_id",)], search=["product_id"])
class ProductView(ReadModel):
    product_id: str
    price: Decimal | None = None

    @starts
    @classmethod
    def created(cls, event: Created) -> "ProductView":
        return cls(event.product_id, event.price)

    @on
    def repriced(self, event: Repriced) -> None:
        self.price = event.price

    @ends
    def dropped(self, event: Dropped) -> None: ...


@parts.read_model(key="product_id", indexes=["price"])
class History(ReadModel):
    product_id: str
    changes: int = 0
    price: int = 0

    @on(key=lambda event: [event.product_id], start_missing=True)
    def changed(self, event: Created | Repriced, product: ProductView | None) -> None:
        self.changes += 1

    @on(where={"price": lambda event: int(event.price)})
    def of_equal_price(self, event: Repriced) -> None: ...


class GetProduct(Query[ProductView]):
    product_id: str


class Expensive(Query[Page[ProductView]]):
    pass


class Prices(Query[list[Decimal]]):
    pass


@dataclass(frozen=True)
class Untyped:
    product_id: str


class Price:
    def of(self, product_id: str) -> Decimal:
        return Decimal(len(product_id))


class PriceRow(ReadModel):
    price: Decimal


@parts.query
async def get_product(query: GetProduct, products: Reader[ProductView]) -> ProductView:
    assert_type(await products.get("p1", None), ProductView | None)
    assert_type(await products.get_many(["p1"]), dict[Any, ProductView])
    assert_type(await products.count({"price__null": False}), int)
    assert_type(await products.search("p"), list[ProductView])
    row = await products.get(query.product_id)
    assert_type(row, ProductView)
    assert_type(row.price, Decimal | None)
    return row


@parts.query
async def expensive(query: Expensive, products: Reader[ProductView]) -> Page[ProductView]:
    page = await products.find({"price__gte": Decimal(1)}, order=["-price", "product_id"], limit=10)
    assert_type(page, Page[ProductView])
    assert_type(page.rows, list[ProductView])
    assert_type(page.next, str | None)
    return page


@parts.query(reads=[ProductView])
async def prices(query: Prices, sql: Sql) -> list[Decimal]:
    assert_type(await sql.all("select 1 as one"), list[dict[str, Any]])
    rows = await sql.all("select price from product_view where price >= :least", {"least": "0"}, into=PriceRow)
    assert_type(rows, list[PriceRow])
    return [row.price for row in rows]


@parts.query
def untyped(query: Untyped) -> str:
    return query.product_id


@parts.command_handler
async def notify(command: Notify, context: CommandContext, commands: Commands, price: Price) -> Append | None:
    assert_type(context.metadata, Metadata)
    assert_type(await commands.execute(Reprice(command.product_id, price.of("long"))), Receipt)
    return Append(f"note-{command.product_id}", [Notified(command.product_id)], NoStream())


class Swap(Command):
    one: str
    other: str


@parts.command_handler
async def swap(command: Swap, work: UnitOfWork) -> Append | None:
    one = await work.load(Product, command.one)
    other = await work.load(Product, command.other, check=False)
    assert_type(one, Writable[Product])
    assert_type(one.state.price, Decimal)
    assert_type((await work.load("door", "d1")).version, int)
    assert_type(one.decide(Reprice(command.one, other.state.price)), tuple[Any, ...])
    one.record(Repriced(command.one, Decimal(5)))
    seen = await work.matching(Matching(tags=(f"product_id:{command.one}",), names=("Repriced",)))
    assert_type(seen, list[Any])
    return None if seen else Append(f"swap-{command.one}", [Notified(command.one)], unless=Unless((Matching(names=("Gone",)),)))


@parts.middleware
async def pass_on(context: CommandContext, proceed: Proceed) -> Receipt:
    return await proceed(context)


async def use() -> None:
    app.provide(Price())
    async with app as same:
        assert_type(same, App)
        receipt = await app.execute(Create("p1"), id="c1", actor="ada")
        assert_type(receipt, Receipt)
        assert_type(receipt.token, str)
        assert_type(receipt.version, int)
        await app.execute(Notify("p1"))
        await app.execute(Push("d1"), timeout=30.0)
        await app.execute(Swap("p1", "p2"))

        product = await app.load(Product, "p1", version=1)
        assert_type(product, Loaded[Product])
        assert_type(product.state.price, Decimal)
        assert_type(await app.load(Door, "d1", at=datetime.now(UTC)), Loaded[Door])
        assert_type((await app.load("door", "d1")).exists, bool)
        imported = await app.import_events([("goods-p9", Created("p9", Decimal(1))), EventImport("goods-p9", Dropped("p9"))])
        assert_type(imported, Imported)
        assert_type(await app.close_stream("door", "d1", by="ada", why="gone"), StreamClosing)

        answer = await app.ask(GetProduct("p1"), after=receipt.token, max_staleness=0)
        assert_type(answer, Answer[ProductView])
        assert_type(answer.value.price, Decimal | None)
        assert_type(answer.freshness, Freshness)
        assert_type(answer.freshness.behind_events, int)
        assert_type((await app.ask(Expensive())).value.rows, list[ProductView])
        assert_type(await app.ask(Untyped("p1")), Answer[Any])
        async with app.watch(GetProduct("p1"), after=receipt.token) as answers:
            assert_type(answers, Answers[ProductView])
            assert_type(await anext(answers), Answer[ProductView])
            assert_type(answers.lost, int)
        async for found in app.watch(Untyped("p1"), max_staleness=60):
            assert_type(found, Answer[Any])
            break
        await app.execute(Drop("p1"))


def use_blocking() -> None:
    with app.sync as bank:
        receipt = bank.execute(Create("p1"), id="c1", actor="ada")
        assert_type(receipt, Receipt)
        assert_type(app.sync.ask(GetProduct("p1"), after=receipt.token), Answer[ProductView])
        assert_type(app.sync.ask(Expensive()).value.rows, list[ProductView])
        assert_type(app.sync.ask(Untyped("p1")), Answer[Any])
        with app.sync.watch(GetProduct("p1")) as answers:
            assert_type(next(answers).value, ProductView)
        app.sync.catch_up()
        assert_type(app.sync.rebuild("ProductView").position, int)


CONDITIONS = (Exactly(1), NoStream(), StreamExists(), AnyVersion())
