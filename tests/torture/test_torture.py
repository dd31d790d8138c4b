"""The short form of `make torture`: each fault point once and a few kills at random, in `make test`."""

import re
from collections import Counter
from pathlib import Path

import pytest

import deedlog
from deedlog import faults
from tests.torture.life import MOST, plans
from tests.torture.lives import lives

SEED = "short"
AT_RANDOM = 4
USED = re.compile(r"(?:transaction|_write)\(\s*\"(\w+)\"")


@pytest.mark.timeout(120)
def test_killed_at_each_point_it_loses_nothing_and_does_nothing_twice() -> None:
    halves = faults.POINTS[::2], faults.POINTS[1::2]
    files = [
        (f"{SEED}{number}", plans(f"{SEED}{number}", len(half) + AT_RANDOM, [*half, *[None] * AT_RANDOM], surely=True))
        for number, half in enumerate(halves)
    ]
    records = list(lives(files))
    assert [what for record in records for what in record.wrong] == []
    kills = sum((record.kills for record in records), Counter[str]())
    assert [point for point in faults.POINTS if not kills[point]] == [], "no child came there: see tests/torture/background.py"
    assert all(record.checks > 1_000 for record in records)


def test_each_work_is_reached() -> None:
    """A new work needs a worker in tests/torture/background.py that comes to it, and a count in MOST."""
    assert set(MOST) == set(faults.WORKS)
    used = {work for path in Path(deedlog.__path__[0]).rglob("*.py") for work in USED.findall(path.read_text("utf-8"))}
    assert used == set(faults.WORKS)
