"""Customers: they register, and they may change their name."""

from deedlog import Aggregate, Command, Event, Module, Page, Query, Reader, ReadModel, Refused, decide, evolve, on, starts
from examples.shop.rules import Limit, require_name

customers = Module()


class RegisterCustomer(Command):
    customer_id: str
    name: str
    country: str


class RenameCustomer(Command):
    customer_id: str
    name: str


class CustomerRegistered(Event):
    customer_id: str
    name: str
    country: str


class CustomerRenamed(Event):
    customer_id: str
    name: str


@customers.aggregate(key="customer_id")
class Customer(Aggregate):
    name: str = ""

    @decide
    def register(self, command: RegisterCustomer) -> CustomerRegistered:
        if self.exists:
            raise Refused("this customer is already registered", code="customer_exists", customer_id=command.customer_id)
        require_name(command.name)
        require_name(command.country, "country")
        return CustomerRegistered(command.customer_id, command.name, command.country)

    @decide
    def rename(self, command: RenameCustomer) -> CustomerRenamed | None:
        if not self.exists:
            raise Refused("no such customer", code="unknown_customer", customer_id=command.customer_id)
        require_name(command.name)
        return CustomerRenamed(command.customer_id, command.name) if command.name != self.name else None

    @evolve
    def named(self, event: CustomerRegistered | CustomerRenamed) -> None:
        self.name = event.name


@customers.read_model(key="customer_id", indexes=["country"])
class CustomerView(ReadModel):
    customer_id: str
    name: str
    country: str

    @starts
    @classmethod
    def registered(cls, event: CustomerRegistered) -> "CustomerView":
        return cls(event.customer_id, event.name, event.country)

    @on
    def renamed(self, event: CustomerRenamed) -> None:
        self.name = event.name


class GetCustomer(Query[CustomerView]):
    customer_id: str


class ListCustomers(Query[Page[CustomerView]]):
    limit: Limit = 100
    page: str | None = None


@customers.query
async def get_customer(query: GetCustomer, rows: Reader[CustomerView]) -> CustomerView:
    return await rows.get(query.customer_id)


@customers.query
async def list_customers(query: ListCustomers, rows: Reader[CustomerView]) -> Page[CustomerView]:
    return await rows.find(limit=query.limit, page=query.page)
