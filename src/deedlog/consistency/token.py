"""Consistency tokens: opaque text for callers; inside, a position for each store that was written (ADR 0001)."""

from deedlog.errors import InvalidMessage
from deedlog.types import Position, Token

_PREFIX = "d1."
_WROTE = "w"


def token_of(store_id: str, position: Position, *, wrote: bool = False) -> Token:
    """The token of one position in one store; `wrote`: a receipt has it, and not just an answer."""
    return f"{_PREFIX}{store_id}.{position}{_WROTE if wrote else ''}"


def is_of_a_write(token: Token) -> bool:
    """Whether a receipt gave it; an answer's token says only what was seen."""
    return token.endswith(_WROTE)


def positions_in(token: object) -> dict[str, Position]:
    """Store id → position. Raises InvalidMessage for text that is no token."""
    try:
        if not isinstance(token, str) or not token.startswith(_PREFIX):
            raise ValueError("no token of deedlog")
        pairs = (part.split(".") for part in token[len(_PREFIX) :].split("~"))
        found = {store: _digits(position) for store, position in pairs}
    except ValueError as error:
        raise InvalidMessage("token", "$", f"not a token: {str(token)[:80]!r}", fix="send what a receipt gave you") from error
    return found


def _digits(text: str) -> Position:
    text = text.removesuffix(_WROTE)
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError("no position")
    return int(text)


def position_in(token: Token, store_id: str) -> Position:
    """The position that `token` has for one store. Raises InvalidMessage when it belongs to another."""
    found = positions_in(token)
    if store_id not in found:
        problem = f"this token is of another store ({', '.join(found)}), here is {store_id}"
        raise InvalidMessage("token", "$", problem, fix="forget tokens when the database is replaced")
    return found[store_id]
