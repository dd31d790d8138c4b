"""UUIDv7 as text: ids that sort by the time they were made. Source: RFC 9562, section 5.7."""

import random
import time
from collections.abc import Callable
from typing import TypeAlias

IdSource: TypeAlias = Callable[[], str]

_random_bits = random.SystemRandom().getrandbits
_last = 0


def _own_uuid7() -> str:
    """A new UUIDv7; rises within a process, also when the clock is set back.

    48 bits of milliseconds and 12 bits of counter form one rising number; 62 bits are random.
    """
    global _last
    now = time.time_ns() // 1_000_000 << 12
    _last = now if now > _last else _last + 1
    high = (_last >> 12) << 16 | 0x7000 | _last & 0xFFF
    text = f"{high << 64 | 1 << 63 | _random_bits(62):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _fastest() -> IdSource:
    try:
        from uuid_utils import uuid7
    except ImportError:
        return _own_uuid7
    return lambda: str(uuid7())


new_id: IdSource = _fastest()
"""A new UUIDv7 as text, from `uuid_utils` where it is installed (extra `ids`)."""
