"""The comparison finds what differs, and names it with both values."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deedlog import App
from examples.shop.app import shop
from examples.shop.demo.generated import generate
from examples.shop.demo.source import Source
from examples.shop.demo.totals import Ask, differences


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "source.db"


@pytest.fixture
async def ask(file: Path) -> AsyncIterator[Ask]:
    """The shop, in process, after the history that made `file`."""
    steps = generate(file, seed=7, products=60)
    async with shop("memory://") as app:
        codec = app.running.codec
        for step in steps:
            await app.execute(codec.from_json("command", step.name, json.dumps(step.body).encode()), id=step.key)
        await app.catch_up()
        yield asking(app)


def asking(app: App) -> Ask:
    async def ask(query: str, fields: dict[str, Any]) -> Any:
        answer = await app.ask(app.running.codec.from_json("query", query, json.dumps(fields).encode()))
        return msgspec.to_builtins(answer.value, builtin_types=())

    return ask


async def test_the_service_agrees_with_the_source_of_its_history(file: Path, ask: Ask) -> None:
    with Source(file) as source:
        assert await differences(source, ask) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("delete from products where product_id = 'p00002'", "products"),
        ("update products set price_cents = price_cents + 1 where product_id = 'p00002'", "product p00002"),
        ("update products set name = 'Zinc Zither' where product_id = 'p00002'", "search for zinc"),
        ("update products set category = 'Elsewhere' where product_id = 'p00002'", "products in category Elsewhere"),
        ("update customers set name = 'Nobody' where customer_id = 'c0001'", "customer c0001"),
        ("update customers set name = 'Nobody'", "order o00001"),
        ("update orders set status = 'cancelled' where status = 'placed'", "cancelled"),
        ("update orders set total_cents = total_cents + 1 where status = 'placed'", "revenue"),
        ("update orders set country = 'Atlantis' where status = 'placed'", "sales by country Atlantis"),
        ("update lines set quantity = quantity + 1", "best seller number 1"),
        ("update lines set category = 'Elsewhere'", "sales by category Elsewhere"),
        ("delete from lines where line_no = 0", "lines"),
    ],
)
async def test_what_differs_is_named_with_both_values(file: Path, ask: Ask, change: str, named: str) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute(change)
        db.commit()
    with Source(file) as source:
        found = {difference.what: difference for difference in await differences(source, ask)}
    assert named in found
    assert found[named].source != found[named].service
    assert f"the source says {found[named].source}, the service {found[named].service}" in str(found[named])


def test_the_same_seed_gives_the_same_history(tmp_path: Path) -> None:
    first, second, other = (generate(tmp_path / f"{n}.db", seed=seed, products=40) for n, seed in enumerate((3, 3, 4)))
    assert first == second
    assert first != other
    assert len({step.key for step in first}) == len(first)
    assert {step.name for step in first} == {
        "CreateProduct",
        "RenameProduct",
        "RepriceProduct",
        "DeleteProduct",
        "RegisterCustomer",
        "RenameCustomer",
        "PlaceOrder",
        "CancelOrder",
    }
