"""What the shop refuses, and that a refusal says why in a code."""

import datetime as dt
from decimal import Decimal

import pytest

from deedlog import App, Command, Refused
from examples.shop.app import shop
from examples.shop.customers import RegisterCustomer, RenameCustomer
from examples.shop.orders import CancelOrder, Line, PlaceOrder
from examples.shop.products import CreateProduct, DeleteProduct, RenameProduct, RepriceProduct

LAMP = CreateProduct("p1", "Brass Lamp", "Light", Decimal("19.90"))
ANN = RegisterCustomer("c1", "Ann", "Chile")


def order(*lines: Line) -> PlaceOrder:
    return PlaceOrder("o1", "c1", "Chile", dt.date(2024, 1, 31), lines)


ONE_LAMP = order(Line("p1", "Light", 1, Decimal("19.90")))

REFUSALS: list[tuple[str, list[Command], Command]] = [
    ("product_exists", [LAMP], LAMP),
    ("product_exists", [LAMP, DeleteProduct("p1")], LAMP),
    ("blank_name", [], CreateProduct("p1", "  ", "Light", Decimal(1))),
    ("blank_name", [], CreateProduct("p1", "Lamp", "", Decimal(1))),
    ("bad_price", [], CreateProduct("p1", "Lamp", "Light", Decimal(0))),
    ("bad_price", [LAMP], RepriceProduct("p1", Decimal(-1))),
    ("bad_price", [LAMP], RepriceProduct("p1", Decimal("0.001"))),
    ("bad_price", [LAMP], RepriceProduct("p1", Decimal("1e300"))),
    ("unknown_product", [], RepriceProduct("p1", Decimal(1))),
    ("unknown_product", [], DeleteProduct("p1")),
    ("product_deleted", [LAMP, DeleteProduct("p1")], RepriceProduct("p1", Decimal(1))),
    ("product_deleted", [LAMP, DeleteProduct("p1")], RenameProduct("p1", "Lamp")),
    ("product_deleted", [LAMP, DeleteProduct("p1")], DeleteProduct("p1")),
    ("customer_exists", [ANN], ANN),
    ("unknown_customer", [], RenameCustomer("c1", "Anna")),
    ("blank_name", [ANN], RenameCustomer("c1", "")),
    ("order_exists", [ONE_LAMP], ONE_LAMP),
    ("order_exists", [ONE_LAMP, CancelOrder("o1")], ONE_LAMP),
    ("empty_order", [], order()),
    ("bad_quantity", [], order(Line("p1", "Light", 0, Decimal("19.90")))),
    ("bad_quantity", [], order(Line("p1", "Light", 10**12, Decimal("19.90")))),
    ("bad_price", [], order(Line("p1", "Light", 1, Decimal(0)))),
    ("unknown_order", [], CancelOrder("o1")),
    ("order_cancelled", [ONE_LAMP, CancelOrder("o1")], CancelOrder("o1")),
]


async def after(history: list[Command]) -> App:
    app = shop("memory://")
    for command in history:
        await app.execute(command)
    return app


@pytest.mark.parametrize(("code", "given", "when"), REFUSALS)
async def test_a_rule_refuses_and_stores_nothing(code: str, given: list[Command], when: Command) -> None:
    async with await after(given) as app:
        with pytest.raises(Refused) as refusal:
            await app.execute(when)
        assert refusal.value.code == code
        assert await app.running.store.head() == len(given)


@pytest.mark.parametrize(
    ("given", "when"),
    [
        ([LAMP], RepriceProduct("p1", Decimal("19.90"))),
        ([LAMP], RenameProduct("p1", "Brass Lamp")),
        ([ANN], RenameCustomer("c1", "Ann")),
    ],
)
async def test_a_change_to_what_it_is_already_stores_nothing(given: list[Command], when: Command) -> None:
    async with await after(given) as app:
        receipt = await app.execute(when)
        assert receipt.events == ()
        assert await app.running.store.head() == len(given)
