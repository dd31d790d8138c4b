"""A history made up from a seed. Each change is made twice: in plain SQL, and as a command for the service."""

import datetime as dt
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import accumulate
from pathlib import Path
from typing import Any

from examples.shop.demo.source import Step, money

SCHEMA = """
create table products (product_id text primary key, name text not null, category text not null, price_cents integer not null);
create table customers (customer_id text primary key, name text not null, country text not null);
create table orders (order_id text primary key, customer_id text not null references customers, country text not null,
  placed_on text not null, status text not null default 'placed', total_cents integer not null);
create table lines (order_id text not null references orders, line_no integer not null, product_id text not null,
  category text not null, quantity integer not null, unit_cents integer not null, primary key (order_id, line_no));
"""


def listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


STYLES = listed(
    "Brass Oak Paper Linen Folding Small Large Round Copper Walnut Glass Ceramic Woollen Blue Amber Plain Striped Felt"
)
MAKERS = listed("Alder Birch Coburn Delft Ember Fjord Gable Harrow Inlet Juniper Kelp Larch Marlow Nook Orchard Pine")
THINGS = {
    "Light": ("Lamp", "Lantern", "Chandelier", "Candle"),
    "Seating": ("Chair", "Stool", "Bench", "Armchair"),
    "Kitchen": ("Pan", "Kettle", "Pot", "Bowl", "Knife"),
    "Textiles": ("Rug", "Blanket", "Cushion", "Curtain"),
    "Storage": ("Basket", "Shelf", "Box", "Cabinet"),
    "Garden": ("Spade", "Watering Can", "Trellis"),
    "Office": ("Desk", "Notebook", "Pen", "Tray"),
    "Toys & Games": ("Puzzle", "Kite", "Dice Set"),
}
FIRST = listed("Ada Bo Cleo Dag Edda Femi Gus Hana Ines Jun Kofi Lia Mats Nia Otto Pia Quim Rosa Sven Tala Uma Vito Yara Zoe")
LAST = listed("Adler Brandt Costa Duarte Eriksen Fuchs Garcia Holm Ito Jansen Kovac Lund Moreau Novak Okafor Petit Rossi Silva")
COUNTRIES = listed("Germany France Brazil Norway Japan Kenya Chile Canada India Portugal Austria Finland")

FIRST_DAY = dt.date(2024, 1, 1)
CATALOGUE, TRADE, CLEARANCE = range(3)


class Draw:
    """Chance from a seed, where the first of a list is drawn far more often than the last (Zipf)."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._weights: dict[int, list[float]] = {}

    def popular(self, choices: Sequence[str]) -> str:
        weights = self._weights.get(len(choices))
        if weights is None:
            weights = self._weights[len(choices)] = list(accumulate(1 / rank for rank in range(1, len(choices) + 1)))
        return self._random.choices(choices, cum_weights=weights)[0]

    def any(self, choices: Sequence[str]) -> str:
        return self._random.choice(choices)

    def sample(self, choices: Sequence[str], share: float) -> list[str]:
        return self._random.sample(choices, max(1, int(len(choices) * share)))

    def number(self, least: int, most: int) -> int:
        return self._random.randint(least, most)


class Generator:
    """Writes the source and the steps side by side."""

    def __init__(self, db: sqlite3.Connection, draw: Draw) -> None:
        self.db = db
        self.draw = draw
        self.steps: list[Step] = []
        self.products: list[str] = []
        self.customers: list[str] = []
        self.orders: list[str] = []

    def step(self, phase: int, name: str, lane: str, /, **body: Any) -> None:
        self.steps.append(Step(phase, f"{len(self.steps) + 1}-{lane}", name, body, lane))

    def create_product(self) -> None:
        id = f"p{len(self.products) + 1:05d}"
        category = self.draw.popular(list(THINGS))
        name = f"{self.draw.any(MAKERS)} {self.draw.any(STYLES)} {self.draw.any(THINGS[category])}"
        cents = self.draw.number(99, 19_999)
        self.db.execute("insert into products values (?, ?, ?, ?)", (id, name, category, cents))
        self.step(CATALOGUE, "CreateProduct", id, product_id=id, name=name, category=category, price=money(cents))
        self.products.append(id)

    def register_customer(self) -> None:
        id = f"c{len(self.customers) + 1:04d}"
        name, country = f"{self.draw.any(FIRST)} {self.draw.any(LAST)}", self.draw.popular(COUNTRIES)
        self.db.execute("insert into customers values (?, ?, ?)", (id, name, country))
        self.step(CATALOGUE, "RegisterCustomer", id, customer_id=id, name=name, country=country)
        self.customers.append(id)

    def place_order(self, day: int) -> None:
        id, customer_id = f"o{len(self.orders) + 1:05d}", self.draw.popular(self.customers)
        (country,) = self.db.execute("select country from customers where customer_id = ?", (customer_id,)).fetchone()
        placed_on = (FIRST_DAY + dt.timedelta(days=day)).isoformat()
        lines: list[dict[str, Any]] = []
        total = 0
        for product_id in dict.fromkeys(self.draw.popular(self.products) for _ in range(self.draw.number(1, 8))):
            found = self.db.execute("select category, price_cents from products where product_id = ?", (product_id,))
            category, cents = found.fetchone()
            quantity = self.draw.number(1, 4)
            total += quantity * cents
            self.db.execute(
                "insert into lines values (?, ?, ?, ?, ?, ?)", (id, len(lines), product_id, category, quantity, cents)
            )
            lines.append({"product_id": product_id, "category": category, "quantity": quantity, "unit_price": money(cents)})
        self.db.execute("insert into orders values (?, ?, ?, ?, 'placed', ?)", (id, customer_id, country, placed_on, total))
        order: dict[str, Any] = {"customer_id": customer_id, "country": country, "placed_on": placed_on, "lines": lines}
        self.step(TRADE, "PlaceOrder", id, order_id=id, **order)
        self.orders.append(id)

    def reprice_product(self) -> None:
        id = self.draw.popular(self.products)
        self.db.execute("update products set price_cents = price_cents + ? where product_id = ?", (self.draw.number(1, 500), id))
        (cents,) = self.db.execute("select price_cents from products where product_id = ?", (id,)).fetchone()
        self.step(TRADE, "RepriceProduct", id, product_id=id, price=money(cents))

    def rename_product(self) -> None:
        id = self.draw.any(self.products)
        self.db.execute("update products set name = name || ' Revised' where product_id = ?", (id,))
        (name,) = self.db.execute("select name from products where product_id = ?", (id,)).fetchone()
        self.step(TRADE, "RenameProduct", id, product_id=id, name=name)

    def rename_customer(self) -> None:
        id = self.draw.popular(self.customers)
        self.db.execute("update customers set name = name || '-' || ? where customer_id = ?", (self.draw.any(LAST), id))
        (name,) = self.db.execute("select name from customers where customer_id = ?", (id,)).fetchone()
        self.step(TRADE, "RenameCustomer", id, customer_id=id, name=name)

    def cancel_order(self, id: str) -> None:
        self.db.execute("update orders set status = 'cancelled' where order_id = ?", (id,))
        self.step(CLEARANCE, "CancelOrder", id, order_id=id)

    def delete_product(self, id: str) -> None:
        self.db.execute("delete from products where product_id = ?", (id,))
        self.step(CLEARANCE, "DeleteProduct", id, product_id=id)


def generate(path: Path, *, seed: int, products: int) -> list[Step]:
    """Writes a new source file at `path` and gives the commands that lead to the same state.

    A tenth as many customers as products and a fifth as many orders; the same seed gives the same history.
    """
    with closing(sqlite3.connect(path)) as db:
        db.executescript(SCHEMA)
        shop = Generator(db, Draw(seed))
        for _ in range(products):
            shop.create_product()
        for _ in range(max(1, products // 10)):
            shop.register_customer()
        for number in range(max(10, products // 5)):
            shop.place_order(number * 365 // max(10, products // 5))
            if number % 2 == 0:
                shop.reprice_product()
            if number % 5 == 0:
                shop.rename_customer()
                shop.rename_product()
        for id in shop.draw.sample(shop.orders, 0.1):
            shop.cancel_order(id)
        for id in shop.draw.sample(shop.products, 0.05):
            shop.delete_product(id)
        db.commit()
    return shop.steps
