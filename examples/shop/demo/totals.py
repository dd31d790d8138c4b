"""Every total asked for twice: in plain SQL over the source, and of the service. What differs is named with both values."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from examples.shop.demo.source import Source, money, plain

Ask: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""The value that the service answers to a query, by its name and fields."""

PAGE = 500
WORDS = 40

BEST_SELLERS = """
select p.product_id, coalesce(sum(l.quantity), 0) as units
from products p
left join (select product_id, quantity from lines join orders using (order_id) where status = 'placed') l
  on l.product_id = p.product_id
group by p.product_id order by units desc, p.product_id
"""
BY_CATEGORY = """
select category, sum(quantity), sum(quantity * unit_cents)
from lines join orders using (order_id) where status = 'placed' group by category
"""
BY_COUNTRY = "select country, count(*), sum(total_cents) from orders where status = 'placed' group by country"
ORDERS = """
select o.order_id, c.name, o.status, o.total_cents, (select count(*) from lines l where l.order_id = o.order_id)
from orders o join customers c using (customer_id)
"""
FOUND = """
with named as materialized (select product_id, ' ' || plain(name) as name from products)
select w.value, n.product_id
from json_each(?) w left join named n on n.name glob '*[^a-z0-9]' || w.value || '*'
order by w.value, n.product_id
"""


class Difference(NamedTuple):
    """One total on which the two disagree."""

    what: str
    source: object
    service: object

    def __str__(self) -> str:
        return f"{self.what}: the source says {self.source}, the service {self.service}"


class Counts(NamedTuple):
    """The shop in numbers. Orders, lines and revenue are those that stand."""

    products: int
    customers: int
    orders: int
    cancelled: int
    lines: int
    revenue: str

    def __str__(self) -> str:
        return f"{self.products} products, {self.customers} customers, {self.orders} orders, {self.lines} lines, {self.revenue}"


def counts(source: Source) -> Counts:
    """The numbers of the source."""
    return Counts(
        source.value("select count(*) from products"),
        source.value("select count(*) from customers"),
        source.value("select count(*) from orders where status = 'placed'"),
        source.value("select count(*) from orders where status = 'cancelled'"),
        source.value("select count(*) from lines join orders using (order_id) where status = 'placed'"),
        money(source.value("select coalesce(sum(total_cents), 0) from orders where status = 'placed'")),
    )


async def differences(source: Source, ask: Ask) -> list[Difference]:
    """All totals that disagree, none when all is well."""
    found = list(_compare("", counts(source)._asdict(), _with_money(await ask("GetTotals", {}), "revenue")))
    for check in (_products, _best_sellers, _categories, _customers, _orders, _sales, _search):
        found.extend(await check(source, ask))
    return found


async def _products(source: Source, ask: Ask) -> Iterator[Difference]:
    wanted = {id: (name, category, money(cents)) for id, name, category, cents in source.rows("select * from products")}
    got = {row["product_id"]: (row["name"], row["category"], _money(row["price"])) for row in await _pages(ask, "BestSellers")}
    return _compare("product ", wanted, got)


async def _best_sellers(source: Source, ask: Ask) -> Iterator[Difference]:
    got = [(row["product_id"], row["units_sold"]) for row in await _pages(ask, "BestSellers")]
    return _compare("best seller number ", dict(enumerate(source.rows(BEST_SELLERS), 1)), dict(enumerate(got, 1)))


async def _categories(source: Source, ask: Ask) -> Iterator[Difference]:
    wanted: dict[str, list[str]] = {}
    for id, category in source.rows("select product_id, category from products order by name, product_id"):
        wanted.setdefault(category, []).append(id)
    got = {
        category: [row["product_id"] for row in await _pages(ask, "ProductsInCategory", category=category)] for category in wanted
    }
    return _compare("products in category ", wanted, got)


async def _customers(source: Source, ask: Ask) -> Iterator[Difference]:
    wanted = {id: (name, country) for id, name, country in source.rows("select customer_id, name, country from customers")}
    got = {row["customer_id"]: (row["name"], row["country"]) for row in await _pages(ask, "ListCustomers")}
    return _compare("customer ", wanted, got)


async def _orders(source: Source, ask: Ask) -> Iterator[Difference]:
    wanted = {id: (name, status, money(cents), lines) for id, name, status, cents, lines in source.rows(ORDERS)}
    got = {
        row["order_id"]: (row["customer_name"], row["status"], _money(row["total"]), len(row["lines"]))
        for row in await _pages(ask, "ListOrders")
    }
    return _compare("order ", wanted, got)


async def _sales(source: Source, ask: Ask) -> Iterator[Difference]:
    """A row whose sales were all cancelled is there with zeros; SQL has no such row."""
    found: list[Difference] = []
    for what, statement, query, key, number in (
        ("category", BY_CATEGORY, "GetSalesByCategory", "category", "units"),
        ("country", BY_COUNTRY, "GetSalesByCountry", "country", "orders"),
    ):
        wanted = {name: (count, money(cents)) for name, count, cents in source.rows(statement)}
        got = {row[key]: (row[number], _money(row["revenue"])) for row in await ask(query, {})}
        got = {name: sums for name, sums in got.items() if sums != (0, "0.00")}
        found.extend(_compare(f"sales by {what} ", wanted, got))
    return iter(found)


async def _search(source: Source, ask: Ask) -> Iterator[Difference]:
    wanted: dict[str, list[str]] = {}
    for word, id in source.rows(FOUND, json.dumps(_words(source))):
        wanted.setdefault(word, []).extend([id] if id is not None else [])
    got = {
        word: sorted(row["product_id"] for row in await ask("SearchProducts", {"text": word, "limit": 1000})) for word in wanted
    }
    return _compare("search for ", wanted, got)


def _words(source: Source) -> list[str]:
    """Words to search for, out of names all over the list; of every second only the first four letters."""
    names = [plain(name) for (name,) in source.rows("select distinct name from products order by name")]
    words = dict.fromkeys(
        word[: 4 if number % 2 else None]
        for number, name in enumerate(names)
        for word in name.split()
        if len(word) >= 4 and word.isascii() and word.isalnum()
    )
    return list(words)[:: max(1, len(words) // WORDS)]


async def _pages(ask: Ask, query: str, **fields: Any) -> list[dict[str, Any]]:
    """All rows of a query that answers in pages."""
    rows: list[dict[str, Any]] = []
    page: str | None = None
    while True:
        answer = await ask(query, {**fields, "limit": PAGE, "page": page})
        rows.extend(answer["rows"])
        page = answer["next"]
        if page is None:
            return rows


def _compare(what: str, source: Mapping[Any, object], service: Mapping[Any, object]) -> Iterator[Difference]:
    for key in dict.fromkeys((*source, *service)):
        if source.get(key) != service.get(key):
            yield Difference(f"{what}{key}", source.get(key, "nothing"), service.get(key, "nothing"))


def _money(amount: str) -> str:
    return str(Decimal(amount).quantize(Decimal("0.01")))


def _with_money(values: dict[str, Any], field: str) -> dict[str, Any]:
    return {**values, field: _money(values[field])}
