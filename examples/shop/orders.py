"""Orders: placed with lines, possibly cancelled. Their summaries show the customer's present name.

A line says what the customer agreed to: the price and the category as they were at the sale. So an order is decided from its own
stream alone, a later reprice changes no order, and sales by category stay what they were.
"""

import datetime as dt
import enum
from decimal import Decimal

import msgspec

from deedlog import Aggregate, Command, Event, Module, Page, Query, Reader, ReadModel, Refused, decide, evolve, on, starts
from examples.shop.customers import CustomerRegistered, CustomerRenamed, CustomerView
from examples.shop.rules import Limit, require_name, require_price, require_quantity

orders = Module()


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    product_id: str
    category: str
    quantity: int
    unit_price: Decimal

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.unit_price


class PlaceOrder(Command):
    order_id: str
    customer_id: str
    country: str
    placed_on: dt.date
    lines: tuple[Line, ...]


class CancelOrder(Command):
    order_id: str


class OrderPlaced(Event):
    order_id: str
    customer_id: str
    country: str
    placed_on: dt.date
    lines: tuple[Line, ...]

    @property
    def total(self) -> Decimal:
        return sum((line.amount for line in self.lines), Decimal(0))


class OrderCancelled(Event):
    """Says again what was ordered, so that whoever added it up can take it back."""

    order_id: str
    customer_id: str
    country: str
    lines: tuple[Line, ...]

    @property
    def total(self) -> Decimal:
        return sum((line.amount for line in self.lines), Decimal(0))


@orders.aggregate(key="order_id")
class Order(Aggregate):
    placed: OrderPlaced | None = None
    cancelled: bool = False

    @decide
    def place(self, command: PlaceOrder) -> OrderPlaced:
        if self.placed is not None:
            raise Refused("this order is already placed", code="order_exists", order_id=command.order_id)
        if not command.lines:
            raise Refused("an order has at least one line", code="empty_order", order_id=command.order_id)
        require_name(command.country, "country")
        for line in command.lines:
            require_quantity(line.quantity, line.product_id)
            require_price(line.unit_price)
        return OrderPlaced(command.order_id, command.customer_id, command.country, command.placed_on, command.lines)

    @decide
    def cancel(self, command: CancelOrder) -> OrderCancelled:
        if self.placed is None:
            raise Refused("no such order", code="unknown_order", order_id=command.order_id)
        if self.cancelled:
            raise Refused("this order is already cancelled", code="order_cancelled", order_id=command.order_id)
        return OrderCancelled(command.order_id, self.placed.customer_id, self.placed.country, self.placed.lines)

    @evolve
    def was_placed(self, event: OrderPlaced) -> None:
        self.placed = event

    @evolve
    def was_cancelled(self, event: OrderCancelled) -> None:
        self.cancelled = True


class OrderStatus(enum.StrEnum):
    PLACED = "placed"
    CANCELLED = "cancelled"


@orders.read_model(key="order_id", indexes=["customer_id", "status"])
class OrderSummary(ReadModel):
    order_id: str
    customer_id: str
    customer_name: str | None  # None until the customer is registered
    country: str
    placed_on: dt.date
    lines: tuple[Line, ...]
    total: Decimal
    status: OrderStatus = OrderStatus.PLACED

    @starts
    @classmethod
    def placed(cls, event: OrderPlaced, customer: CustomerView | None) -> "OrderSummary":
        name = customer.name if customer is not None else None
        return cls(event.order_id, event.customer_id, name, event.country, event.placed_on, event.lines, event.total)

    @on(where="customer_id")
    def customer_named(self, event: CustomerRegistered | CustomerRenamed) -> None:
        self.customer_name = event.name

    @on
    def cancelled(self, event: OrderCancelled) -> None:
        self.status = OrderStatus.CANCELLED


class GetOrder(Query[OrderSummary]):
    order_id: str


class ListOrders(Query[Page[OrderSummary]]):
    """The newest first; of one customer, or of all."""

    customer_id: str | None = None
    limit: Limit = 100
    page: str | None = None


@orders.query
async def get_order(query: GetOrder, rows: Reader[OrderSummary]) -> OrderSummary:
    return await rows.get(query.order_id)


@orders.query
async def list_orders(query: ListOrders, rows: Reader[OrderSummary]) -> Page[OrderSummary]:
    where = {"customer_id": query.customer_id} if query.customer_id is not None else None
    return await rows.find(where, order="-placed_on", limit=query.limit, page=query.page)
