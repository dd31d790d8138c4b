"""What the shop answers after a short history, on both kinds of store."""

import datetime as dt
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from deedlog import App, NotFound
from examples.shop.app import shop
from examples.shop.customers import GetCustomer, ListCustomers, RegisterCustomer, RenameCustomer
from examples.shop.orders import CancelOrder, GetOrder, Line, ListOrders, OrderStatus, PlaceOrder
from examples.shop.products import (
    BestSellers,
    CreateProduct,
    DeleteProduct,
    GetProduct,
    ProductsInCategory,
    RenameProduct,
    RepriceProduct,
    SearchProducts,
)
from examples.shop.sales import GetSalesByCategory, GetSalesByCountry, GetTotals, ShopTotals


@pytest.fixture(params=["memory", "sqlite"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    """Two lamps and a chair; Ann orders two lamps and a chair, Bob one lamp."""
    async with shop("memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/shop.db") as app:
        for command in (
            CreateProduct("p1", "Brass Lamp", "Light", Decimal("19.90")),
            CreateProduct("p2", "Paper Lampion", "Light", Decimal("4.50")),
            CreateProduct("p3", "Oak Chair", "Seating", Decimal(80)),
            RegisterCustomer("c1", "Ann", "Chile"),
            RegisterCustomer("c2", "Bob", "Norway"),
            placed("o1", "c1", "Chile", Line("p1", "Light", 2, Decimal("19.90")), Line("p3", "Seating", 1, Decimal(80))),
            placed("o2", "c2", "Norway", Line("p1", "Light", 1, Decimal("19.90")), day=2),
        ):
            await app.execute(command)
        await app.catch_up()
        yield app


def placed(order_id: str, customer_id: str, country: str, *lines: Line, day: int = 1) -> PlaceOrder:
    return PlaceOrder(order_id, customer_id, country, dt.date(2024, 1, day), lines)


async def test_the_totals_are_those_of_the_history(app: App) -> None:
    answer = await app.ask(GetTotals())
    assert answer.value == ShopTotals(products=3, customers=2, orders=2, cancelled=0, lines=3, revenue=Decimal("139.70"))
    assert answer.freshness.behind_events == 0


async def test_a_rename_reaches_the_orders_of_that_customer_only(app: App) -> None:
    receipt = await app.execute(RenameCustomer("c1", "Anna"))
    assert (await app.ask(GetCustomer("c1"), after=receipt.token)).value.name == "Anna"
    assert (await app.ask(GetOrder("o1"), after=receipt.token)).value.customer_name == "Anna"
    assert (await app.ask(GetOrder("o2"), after=receipt.token)).value.customer_name == "Bob"


async def test_an_order_of_a_customer_who_registers_later_gets_the_name(app: App) -> None:
    receipt = await app.execute(placed("o3", "c3", "Peru", Line("p2", "Light", 1, Decimal("4.50"))))
    assert (await app.ask(GetOrder("o3"), after=receipt.token)).value.customer_name is None
    receipt = await app.execute(RegisterCustomer("c3", "Cem", "Peru"))
    assert (await app.ask(GetOrder("o3"), after=receipt.token)).value.customer_name == "Cem"


async def test_search_follows_create_rename_and_delete_at_once(app: App) -> None:
    async def hits(text: str, token: str | None = None) -> set[str]:
        return {product.product_id for product in (await app.ask(SearchProducts(text), after=token)).value}

    assert await hits("lamp") == {"p1", "p2"}
    assert await hits("lamp bra") == {"p1"}
    assert await hits("") == set()
    receipt = await app.execute(RenameProduct("p1", "Brass Lantern"))
    assert await hits("lamp", receipt.token) == {"p2"}
    assert await hits("LANTERN", receipt.token) == {"p1"}
    receipt = await app.execute(DeleteProduct("p1"))
    assert await hits("lantern", receipt.token) == set()
    receipt = await app.execute(CreateProduct("p4", "Lantern", "Light", Decimal(1)))
    assert await hits("lantern", receipt.token) == {"p4"}


async def test_products_are_found_by_category_and_by_sales(app: App) -> None:
    light = (await app.ask(ProductsInCategory("Light", limit=1))).value
    assert [product.product_id for product in light.rows] == ["p1"]
    more = (await app.ask(ProductsInCategory("Light", limit=1, page=light.next))).value
    assert [product.product_id for product in more.rows] == ["p2"]
    assert more.next is None
    best = (await app.ask(BestSellers(limit=3))).value.rows
    assert [(product.product_id, product.units_sold) for product in best] == [("p1", 3), ("p3", 1), ("p2", 0)]


async def test_a_reprice_changes_the_product_and_no_order(app: App) -> None:
    receipt = await app.execute(RepriceProduct("p1", Decimal(25)))
    assert (await app.ask(GetProduct("p1"), after=receipt.token)).value.price == Decimal(25)
    assert (await app.ask(GetOrder("o1"), after=receipt.token)).value.total == Decimal("119.80")


async def test_cancelling_takes_an_order_out_of_every_sum(app: App) -> None:
    receipt = await app.execute(CancelOrder("o1"))
    totals = (await app.ask(GetTotals(), after=receipt.token)).value
    assert totals == ShopTotals(products=3, customers=2, orders=1, cancelled=1, lines=1, revenue=Decimal("19.90"))
    assert (await app.ask(GetOrder("o1"), after=receipt.token)).value.status is OrderStatus.CANCELLED
    assert (await app.ask(GetProduct("p1"), after=receipt.token)).value.units_sold == 1
    categories = (await app.ask(GetSalesByCategory(), after=receipt.token)).value
    assert [(row.category, row.units, row.revenue) for row in categories] == [
        ("Light", 1, Decimal("19.90")),
        ("Seating", 0, Decimal(0)),
    ]
    countries = (await app.ask(GetSalesByCountry(), after=receipt.token)).value
    assert [(row.country, row.orders, row.revenue) for row in countries] == [
        ("Norway", 1, Decimal("19.90")),
        ("Chile", 0, Decimal(0)),
    ]


async def test_a_deleted_product_is_gone_its_sales_are_not(app: App) -> None:
    receipt = await app.execute(DeleteProduct("p1"))
    with pytest.raises(NotFound):
        await app.ask(GetProduct("p1"), after=receipt.token)
    totals = (await app.ask(GetTotals(), after=receipt.token)).value
    assert (totals.products, totals.orders, totals.revenue) == (2, 2, Decimal("139.70"))


async def test_orders_are_listed_newest_first_of_all_or_of_one_customer(app: App) -> None:
    assert [row.order_id for row in (await app.ask(ListOrders())).value.rows] == ["o2", "o1"]
    assert [row.order_id for row in (await app.ask(ListOrders("c1"))).value.rows] == ["o1"]
    assert [row.name for row in (await app.ask(ListCustomers())).value.rows] == ["Ann", "Bob"]


async def test_a_rebuilt_read_model_equals_the_live_one(app: App) -> None:
    await app.execute(CancelOrder("o1"))
    await app.execute(RenameCustomer("c2", "Bo"))
    await app.catch_up()
    questions = (GetTotals(), ListOrders(), BestSellers(), GetSalesByCategory(), GetSalesByCountry())
    live = [(await app.ask(question)).value for question in questions]
    for name in ("ProductView", "OrderSummary", "SalesByCategory", "SalesByCountry"):
        await app.rebuild(name)
    assert [(await app.ask(question)).value for question in questions] == live
