"""Names of streams: `category-id`, and what may be one."""

import re
from zlib import crc32

from deedlog.errors import InvalidMessage
from deedlog.types import StreamName

BUCKETS = 1024
MAX_STREAM_BYTES = 255
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,60}-[A-Za-z0-9_.:-]{1,180}").fullmatch
"""Most names: nothing further to look at."""


def category_of(stream: StreamName) -> str:
    """The part before the first hyphen."""
    return stream.partition("-")[0]


def bucket_of(stream: StreamName) -> int:
    """0 to 1023, stable over processes, versions and languages: CRC-32 of the UTF-8 name, modulo 1024."""
    return crc32(stream.encode()) % BUCKETS


def check_stream(stream: StreamName) -> StreamName:
    """The name itself. Raises InvalidMessage for one that a database would change, cut or confuse."""
    if _PLAIN(stream) is not None:
        return stream
    try:
        size = len(stream.encode())
    except UnicodeEncodeError:
        raise _bad_stream(stream, "it has half a surrogate pair") from None
    if size > MAX_STREAM_BYTES:
        raise _bad_stream(stream, f"{size} bytes, at most {MAX_STREAM_BYTES}")
    category, hyphen, key = stream.partition("-")
    if not category or not hyphen or not key:
        raise _bad_stream(stream, "it is not of the form category-id")
    if stream.startswith("$"):
        raise _bad_stream(stream, "names that start with $ are reserved")
    if not stream.isprintable() or stream != stream.strip() or key != key.lstrip():
        raise _bad_stream(stream, "it has control characters, line breaks, or white space at an end of its id")
    return stream


def _bad_stream(stream: StreamName, problem: str) -> InvalidMessage:
    shown = stream if len(stream) <= 60 else f"{stream[:60]}…"
    return InvalidMessage("stream name", "$", f"{shown!r}: {problem}", fix="use a short printable id")
