"""The page for whoever is woken up: every error and log line that it quotes is provoked, and has these words."""

import asyncio
import logging
import re
import sys

import pytest

from deedlog.projections import runner
from deedlog.sqlite import database
from tests.docs.going_wrong import PROVOCATIONS, heard
from tests.docs.pages import ROOT
from tests.faults.test_read_only import used

NAMES = (
    "Stale|Building|Superseded|NotFound|InvalidMessage|Unavailable|Misuse|Corrupt|DeadlineExceeded"
    "|WrongExpectedVersion|ConditionFailed|StreamClosed|DuplicateMessage"
)
QUOTE = re.compile(rf"`((?:{NAMES}): [^`]+)`|log: `([^`]+)`|`(it stands still: [^`]+)`")
PAGE = (ROOT / "docs" / "what-can-go-wrong.md").read_text("utf-8")
QUOTED = sorted({first or second or third for first, second, third in QUOTE.findall(PAGE)})


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Everything that all provocations said."""
    heard.clear()
    listening = logging.Handler()
    listening.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("deedlog.projections")
    level = logger.level
    logger.addHandler(listening)
    logger.setLevel(logging.INFO)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runner, "MAX_PARKED", 1)
            patch.setattr(database, "BUSY_SECONDS", 0.05)
            for provoke in PROVOCATIONS:
                asyncio.run(provoke(tmp_path_factory.mktemp(provoke.__name__)))
    finally:
        logger.removeHandler(listening)
        logger.setLevel(level)
    if sys.platform != "win32":
        for name, mode in (("bank.db", "444"), ("bank.db-lock", "444")):
            heard.extend(line.replace(" ", ": ", 1) for line in used(name, mode))
    return "\n".join(heard)


def test_the_page_quotes_what_is_provoked() -> None:
    assert len(QUOTED) > 25


@pytest.mark.parametrize("quoted", QUOTED)
def test_what_the_page_quotes_is_what_is_said(quoted: str, said: str) -> None:
    assert re.search(".*".join(map(re.escape, quoted.split("…"))), said), said
