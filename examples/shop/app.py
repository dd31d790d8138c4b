"""The service: its parts, put together. `deedlog serve --app examples.shop.app:app` runs it."""

from deedlog import App, Module
from examples.shop.customers import customers
from examples.shop.orders import orders
from examples.shop.products import products
from examples.shop.sales import sales

PARTS: tuple[Module, ...] = (products, customers, orders, sales)


def shop(store: str | None = None) -> App:
    """The shop on a store of its own: `sqlite:///shop.db` where nothing else is said."""
    made = App("shop", store=store)
    made.include(*PARTS)
    return made


app = shop()
