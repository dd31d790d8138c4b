"""ETags of answers: what a caller has already is not sent again, and mostly not even asked for again.

The tag is that of the value alone, so it stays when the read model moves and the answer does not. It is a weak one (RFC 9110,
8.8.1): two bodies with one tag may differ in their freshness, which a 304 tells in its headers.
"""

import re
from collections import OrderedDict
from collections.abc import Collection
from hashlib import blake2b

import msgspec

from deedlog.http.wire import Call
from deedlog.queries.bus import Stamp

REMEMBERED = 1_024
_OPAQUE = re.compile(rb'"([\x21\x23-\x7e\x80-\xff]*)"')
ANY = b"*"


class Tagged(msgspec.Struct, frozen=True):
    """The tag of an answer, and where its read models stood."""

    tag: bytes
    stamp: Stamp


class Tags:
    """What was answered lately to callers that brought a tag: while nothing moves, they get 304 without the handler's doing."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Tagged] = OrderedDict()

    def known(self, key: bytes) -> Tagged | None:
        return self._known.get(key)

    def keep(self, key: bytes, tagged: Tagged) -> None:
        self._known[key] = tagged
        self._known.move_to_end(key)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def key_of(name: str, content: bytes) -> bytes:
    """Stands for a question, whatever its length."""
    return blake2b(name.encode() + b"\0" + content, digest_size=16).digest()


def tag_of(value: bytes) -> bytes:
    """The tag of an encoded value, without quotes."""
    return blake2b(value, digest_size=12).hexdigest().encode()


def header_of(tag: bytes) -> tuple[bytes, bytes]:
    return b"etag", b'W/"%s"' % tag


def brought(call: Call) -> Collection[bytes]:
    """The tags in If-None-Match, weak or not; empty where there are none, or where it can't be read."""
    if b"if-none-match" not in call.headers:
        return ()
    lines = b",".join(value for name, value in call.scope["headers"] if name == b"if-none-match")
    return (ANY,) if lines.strip() == ANY else frozenset(_OPAQUE.findall(lines))


def matches(tag: bytes, tags: Collection[bytes]) -> bool:
    return tag in tags or ANY in tags
