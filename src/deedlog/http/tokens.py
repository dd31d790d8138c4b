"""Consistency tokens in headers and in a cookie, so that a client reads its own writes; a browser does with no code.

A header is an explicit demand: a bad one is refused. A cookie is sent by the browser without anybody's doing, so one of
another store, or of one that was replaced, is ignored and replaced.
"""

from typing import NamedTuple

from deedlog.consistency.token import position_in
from deedlog.errors import InvalidMessage
from deedlog.http.problems import Rejected
from deedlog.http.wire import Call
from deedlog.types import Position, Token

COOKIE = "deedlog-token"


class Seen(NamedTuple):
    """What the caller has seen of this store. `position` 0: nothing. `replace`: its cookie is of no use."""

    position: Position = 0
    token: Token | None = None
    replace: bool = False


def seen_by(call: Call, store_id: str, cookie: str | None) -> Seen:
    """What the header says, else the cookie. Raises Rejected (400) for a header that is no token of this store."""
    header = call.header(b"deedlog-token")
    if header is not None:
        return Seen(_demanded(header, store_id), header)
    text = call.cookie(cookie) if cookie else None
    if text is None:
        return Seen()
    try:
        return Seen(position_in(text, store_id), text)
    except InvalidMessage:
        return Seen(replace=True)


def _demanded(token: Token, store_id: str) -> Position:
    try:
        return position_in(token, store_id)
    except InvalidMessage as error:
        raise Rejected(400, "bad_token", error.problem, path="Deedlog-Token", fix=error.fix) from error


def set_cookie(name: str, token: Token, *, secure: bool) -> tuple[bytes, bytes]:
    """The header that makes a browser bring `token` with its next request."""
    flags = "; Secure" if secure else ""
    return b"set-cookie", f"{name}={token}; Path=/; SameSite=Lax; HttpOnly{flags}".encode("latin-1")
