"""What the orders add up to, by category and by country. A cancelled order is taken out again."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from deedlog import Module, Query, Reader, ReadModel, on
from examples.shop.customers import CustomerView
from examples.shop.orders import OrderCancelled, OrderPlaced, OrderStatus, OrderSummary
from examples.shop.products import ProductView

sales = Module()


def categories_of(event: OrderPlaced | OrderCancelled) -> Iterable[str]:
    return [line.category for line in event.lines]


@sales.read_model(key="category")
class SalesByCategory(ReadModel):
    category: str
    units: int = 0
    revenue: Decimal = Decimal(0)

    @on(key=categories_of, start_missing=True)
    def sold(self, event: OrderPlaced) -> None:
        self._count(event, 1)

    @on(key=categories_of)
    def returned(self, event: OrderCancelled) -> None:
        self._count(event, -1)

    def _count(self, event: OrderPlaced | OrderCancelled, sign: int) -> None:
        for line in event.lines:
            if line.category == self.category:
                self.units += sign * line.quantity
                self.revenue += sign * line.amount


@sales.read_model(key="country")
class SalesByCountry(ReadModel):
    """By the country an order was billed to: a customer who moves takes no past sales along."""

    country: str
    orders: int = 0
    lines: int = 0
    revenue: Decimal = Decimal(0)

    @on(start_missing=True)
    def sold(self, event: OrderPlaced) -> None:
        self._count(event, 1)

    @on
    def returned(self, event: OrderCancelled) -> None:
        self._count(event, -1)

    def _count(self, event: OrderPlaced | OrderCancelled, sign: int) -> None:
        self.orders += sign
        self.lines += sign * len(event.lines)
        self.revenue += sign * event.total


class ShopTotals(msgspec.Struct, frozen=True):
    """The shop in six numbers. Orders, lines and revenue are those that stand; what was cancelled is counted apart."""

    products: int
    customers: int
    orders: int
    cancelled: int
    lines: int
    revenue: Decimal


class GetSalesByCategory(Query[list[SalesByCategory]]):
    """The highest revenue first."""


class GetSalesByCountry(Query[list[SalesByCountry]]):
    """The highest revenue first."""


class GetTotals(Query[ShopTotals]):
    pass


@sales.query
async def sales_by_category(query: GetSalesByCategory, rows: Reader[SalesByCategory]) -> list[SalesByCategory]:
    return (await rows.find(order="-revenue", limit=1000)).rows


@sales.query
async def sales_by_country(query: GetSalesByCountry, rows: Reader[SalesByCountry]) -> list[SalesByCountry]:
    return (await rows.find(order="-revenue", limit=1000)).rows


@sales.query
async def totals(
    query: GetTotals,
    products: Reader[ProductView],
    customers: Reader[CustomerView],
    orders: Reader[OrderSummary],
    countries: Reader[SalesByCountry],
) -> ShopTotals:
    sold = (await countries.find(limit=1000)).rows
    return ShopTotals(
        products=await products.count(),
        customers=await customers.count(),
        orders=await orders.count({"status": OrderStatus.PLACED}),
        cancelled=await orders.count({"status": OrderStatus.CANCELLED}),
        lines=sum(row.lines for row in sold),
        revenue=sum((row.revenue for row in sold), Decimal(0)),
    )
