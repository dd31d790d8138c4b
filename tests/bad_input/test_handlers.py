"""What a command handler may not return: refused with the name and the fix, and nothing of it stored, nor what came with it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from deedlog import App, Append, Command, DeedlogError, Event, InvalidMessage, Misuse
from deedlog.errors import UnknownMessage, WrongExpectedVersion
from deedlog.types import Exactly
from tests.bad_input.boxes import Emptied, Fill, open_boxes

Unchanged = Callable[[], None]
GOOD = Append("box-good", [Emptied("good")])
STREAMS: dict[str, str] = {
    "reserved": "$all-1",
    "reserved and short": "$-x",
    "no hyphen": "boxes",
    "no category": "-x",
    "no id": "box-",
    "empty": "",
    "a blank id": "box- ",
    "256 bytes": "box-" + "x" * 252,
    "half a surrogate pair": "box-\ud800",
    "NUL": "box-\0",
    "a newline in the category": "bo\nx-a",
    "a blank before": " box-a",
}


class Undeclared(Event):
    box: str


class Return(Command):
    what: str


RESULTS: dict[str, tuple[Any, type[DeedlogError]]] = {
    **{f"stream, {name}": ([GOOD, Append(stream, [Emptied("a")])], InvalidMessage) for name, stream in STREAMS.items()},
    "an undeclared event": ([GOOD, Append("box-a", [Undeclared("a")])], UnknownMessage),
    "no event": ([GOOD, Append("box-a", [5])], UnknownMessage),
    "an event of a wrong type": ([GOOD, Append("box-a", [Emptied(5)])], InvalidMessage),  # type: ignore[arg-type]  # meant
    "a wrong version": ([GOOD, Append("box-a", [Emptied("a")], Exactly(7))], WrongExpectedVersion),
    "text": ("box-a", Misuse),
    "an event alone": (Emptied("a"), Misuse),
    "a number": (5, Misuse),
    "nought": (0, Misuse),
    "an append and a number": ([GOOD, 5], Misuse),
}


@pytest.fixture
async def app(path: Path) -> AsyncIterator[App]:
    """As elsewhere, and with a handler that returns what the table says."""
    app = open_boxes(path)

    @app.command_handler
    def give_back(command: Return) -> Any:
        return RESULTS[command.what][0]

    async with app:
        await app.execute(Fill("first", "text"), id="first")
        await app.catch_up()
        yield app


@pytest.mark.parametrize("case", RESULTS)
async def test_what_a_handler_may_not_return_is_refused_whole(app: App, unchanged: Unchanged, case: str) -> None:
    with pytest.raises(RESULTS[case][1]) as caught:
        await app.execute(Return(case), id="c")
    assert caught.value.fix


@pytest.mark.parametrize("events", [[], ()], ids=["list", "tuple"])
async def test_an_append_without_events_stores_none(app: App, events: Any) -> None:
    RESULTS["empty"] = (Append("box-a", events), Misuse)
    receipt = await app.execute(Return("empty"))
    assert (receipt.stream, receipt.version, receipt.position, receipt.events) == ("box-a", 0, 1, ())
