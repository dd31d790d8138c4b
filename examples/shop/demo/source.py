"""The truth that the service is held against: a plain SQLite file that knows nothing of deedlog.

Wherever it comes from, it shows four tables (or views):

    products   product_id, name, category, price_cents
    customers  customer_id, name, country
    orders     order_id, customer_id, country, placed_on, status, total_cents
    lines      order_id, line_no, product_id, category, quantity, unit_cents
"""

import sqlite3
import unicodedata
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import quote


class BadSource(Exception):
    """The file can't be used; the message says why."""


class Step(NamedTuple):
    """One command of a history.

    Steps of one `lane` are sent in their order; a later `phase` starts when the earlier one is done.
    """

    phase: int
    key: str
    name: str
    body: dict[str, Any]
    lane: str


class Source:
    """Asks a SQLite file in plain SQL; never writes to it. Close it, or use it as a context."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise BadSource(f"{path}: there is no such file")
        self.path = path
        self._connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
        self._connection.create_function("plain", 1, plain, deterministic=True)

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of a statement. Raises BadSource with the database's words."""
        try:
            return self._connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise BadSource(f"{self.path}: {error}") from error

    def value(self, statement: str, *parameters: Any) -> Any:
        """The one value of a statement that gives one row."""
        return self.rows(statement, *parameters)[0][0]


def money(cents: int) -> str:
    """Cents as people write them: 2328.60."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def plain(text: str) -> str:
    """Small letters without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text).lower() if not unicodedata.combining(c))


def place_orders(source: Source, phase: int) -> list[Step]:
    """Each order of the source with its lines, in the order of their dates."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for order_id, product_id, category, quantity, cents in source.rows(
        "select order_id, product_id, category, quantity, unit_cents from lines order by order_id, line_no"
    ):
        line = {"product_id": product_id, "category": category, "quantity": quantity, "unit_price": money(cents)}
        lines.setdefault(order_id, []).append(line)
    return [
        Step(
            phase,
            f"place-{order_id}",
            "PlaceOrder",
            {
                "order_id": order_id,
                "customer_id": customer_id,
                "country": country,
                "placed_on": placed_on,
                "lines": lines.get(order_id, []),
            },
            order_id,
        )
        for order_id, customer_id, country, placed_on in source.rows(
            "select order_id, customer_id, country, placed_on from orders order by placed_on, order_id"
        )
    ]
