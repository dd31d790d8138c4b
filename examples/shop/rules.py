"""Rules that more than one part has."""

from decimal import Decimal
from typing import Annotated, TypeAlias

import msgspec

from deedlog import Refused

Limit: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=1000)]
"""How many rows a caller may ask for at once; another number is refused with the field's name."""

MOST = 1_000_000
CENT = Decimal("0.01")
LARGEST = Decimal(1_000_000)


def require_name(name: str, field: str = "name") -> None:
    """Refuses a text that nobody could read."""
    if not name.strip():
        raise Refused(f"{field} is blank", code="blank_name", field=field)


def require_price(price: Decimal) -> None:
    """Refuses what can't be paid: 0 or less, parts of a cent, more than a million."""
    if not 0 < price <= LARGEST or price % CENT:
        raise Refused("a price is above 0, in whole cents", code="bad_price", price=str(price), largest=str(LARGEST))


def require_quantity(quantity: int, product_id: str) -> None:
    """Refuses an order line of nothing, and one that no shop could send."""
    if not 0 < quantity <= MOST:
        raise Refused("a quantity is at least 1", code="bad_quantity", product_id=product_id, quantity=quantity, most=MOST)
