"""Products: created, renamed, repriced, deleted; found by id, by category, by word, by how well they sell."""

from collections.abc import Iterable
from decimal import Decimal

from deedlog import Aggregate, Command, Event, Module, Page, Query, Reader, ReadModel, Refused, decide, ends, evolve, on, starts
from examples.shop.orders import OrderCancelled, OrderPlaced
from examples.shop.rules import Limit, require_name, require_price

products = Module()


class CreateProduct(Command):
    product_id: str
    name: str
    category: str
    price: Decimal


class RenameProduct(Command):
    product_id: str
    name: str


class RepriceProduct(Command):
    product_id: str
    price: Decimal


class DeleteProduct(Command):
    product_id: str


class ProductCreated(Event):
    product_id: str
    name: str
    category: str
    price: Decimal


class ProductRenamed(Event):
    product_id: str
    name: str


class ProductRepriced(Event):
    product_id: str
    price: Decimal


class ProductDeleted(Event):
    product_id: str


@products.aggregate(key="product_id")
class Product(Aggregate):
    name: str = ""
    price: Decimal = Decimal(0)
    deleted: bool = False

    @decide
    def create(self, command: CreateProduct) -> ProductCreated:
        if self.exists:  # also when it is deleted: an id is never used for something else
            raise Refused("this product already exists", code="product_exists", product_id=command.product_id)
        require_name(command.name)
        require_name(command.category, "category")
        require_price(command.price)
        return ProductCreated(command.product_id, command.name, command.category, command.price)

    @decide
    def rename(self, command: RenameProduct) -> ProductRenamed | None:
        self._require_offered(command.product_id)
        require_name(command.name)
        return ProductRenamed(command.product_id, command.name) if command.name != self.name else None

    @decide
    def reprice(self, command: RepriceProduct) -> ProductRepriced | None:
        self._require_offered(command.product_id)
        require_price(command.price)
        return ProductRepriced(command.product_id, command.price) if command.price != self.price else None

    @decide
    def delete(self, command: DeleteProduct) -> ProductDeleted:
        self._require_offered(command.product_id)
        return ProductDeleted(command.product_id)

    def _require_offered(self, product_id: str) -> None:
        if not self.exists:
            raise Refused("no such product", code="unknown_product", product_id=product_id)
        if self.deleted:
            raise Refused("this product is deleted", code="product_deleted", product_id=product_id)

    @evolve
    def created(self, event: ProductCreated) -> None:
        self.name, self.price = event.name, event.price

    @evolve
    def renamed(self, event: ProductRenamed) -> None:
        self.name = event.name

    @evolve
    def repriced(self, event: ProductRepriced) -> None:
        self.price = event.price

    @evolve
    def was_deleted(self, event: ProductDeleted) -> None:
        self.deleted = True


def products_of(event: OrderPlaced | OrderCancelled) -> Iterable[str]:
    return [line.product_id for line in event.lines]


@products.read_model(key="product_id", indexes=["category", "units_sold"], search=["name"])
class ProductView(ReadModel):
    """The products on offer. One that is deleted is gone from here; its sales stay in the orders and the totals."""

    product_id: str
    name: str
    category: str
    price: Decimal
    units_sold: int = 0

    @starts
    @classmethod
    def created(cls, event: ProductCreated) -> "ProductView":
        return cls(event.product_id, event.name, event.category, event.price)

    @on
    def renamed(self, event: ProductRenamed) -> None:
        self.name = event.name

    @on
    def repriced(self, event: ProductRepriced) -> None:
        self.price = event.price

    @on(key=products_of)
    def sold(self, event: OrderPlaced) -> None:
        self.units_sold += self._units_in(event)

    @on(key=products_of)
    def returned(self, event: OrderCancelled) -> None:
        self.units_sold -= self._units_in(event)

    @ends
    def deleted(self, event: ProductDeleted) -> None: ...

    def _units_in(self, event: OrderPlaced | OrderCancelled) -> int:
        return sum(line.quantity for line in event.lines if line.product_id == self.product_id)


class GetProduct(Query[ProductView]):
    product_id: str


class ProductsInCategory(Query[Page[ProductView]]):
    category: str
    limit: Limit = 100
    page: str | None = None


class BestSellers(Query[Page[ProductView]]):
    limit: Limit = 10
    page: str | None = None


class SearchProducts(Query[list[ProductView]]):
    """Products with, for each word of `text`, a word that starts with it; the best match first."""

    text: str
    limit: Limit = 20


@products.query
async def get_product(query: GetProduct, rows: Reader[ProductView]) -> ProductView:
    return await rows.get(query.product_id)


@products.query
async def products_in_category(query: ProductsInCategory, rows: Reader[ProductView]) -> Page[ProductView]:
    return await rows.find({"category": query.category}, order="name", limit=query.limit, page=query.page)


@products.query
async def best_sellers(query: BestSellers, rows: Reader[ProductView]) -> Page[ProductView]:
    return await rows.find(order="-units_sold", limit=query.limit, page=query.page)


@products.query
async def search_products(query: SearchProducts, rows: Reader[ProductView]) -> list[ProductView]:
    return await rows.search(query.text, limit=query.limit)
