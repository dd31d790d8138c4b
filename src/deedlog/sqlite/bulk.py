"""Inserting many rows with few calls.

Each call into SQLite lets go of Python's global lock and must get it back, up to 5 ms behind a busy event loop. `executemany`
does that for every row; here 64 rows share one statement.
"""

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

CHUNKS = (64, 32, 16, 8, 4, 2, 1)
MAX_PARAMETERS = 32_766
"""What SQLite takes in one statement, unless it was built otherwise."""


def insert_many(connection: sqlite3.Connection, head: str, rows: Sequence[Sequence[Any]], tail: str = "") -> None:
    """Runs `head values (…), (…) tail` for all rows, which are of one width, in order."""
    done = 0
    while done < len(rows):
        most = min(len(rows) - done, MAX_PARAMETERS // len(rows[done]))
        size = next(size for size in CHUNKS if size <= most)
        part = rows[done : done + size]
        connection.execute(_statement(head, len(part[0]), size, tail), list(chain.from_iterable(part)))
        done += size


@lru_cache(maxsize=512)
def _statement(head: str, width: int, size: int, tail: str) -> str:
    row = f"({', '.join('?' * width)})"
    return f"{head} values {', '.join([row] * size)} {tail}"
