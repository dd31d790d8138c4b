"""Events that somebody else wrote into the log, which no app can read: it starts, and other streams go on."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from deedlog import App, Corrupt
from tests.bad_input.boxes import Emptied, Fill, GetBox, open_boxes

Row = tuple[str, int, str]

POISON: dict[str, Row] = {
    "an undeclared name": ("Exploded", 1, '{"box":"b"}'),
    "an undeclared version": ("Filled", 9, '{"box":"b"}'),
    "version 0": ("Filled", 0, '{"box":"b"}'),
    "an empty name": ("", 1, '{"box":"b"}'),
    "no JSON": ("Filled", 1, "not json"),
    "nothing": ("Filled", 1, ""),
    "half an object": ("Filled", 1, '{"box":"b"'),
    "a wrong type": ("Filled", 1, '{"box":"b","number":"1"}'),
    "no key": ("Filled", 1, "{}"),
    "null": ("Filled", 1, "null"),
    "a list": ("Filled", 1, "[]"),
    "a NUL": ("Filled", 1, '{"box":"b\0"}'),
    "10,000 deep": ("Filled", 1, '{"box":"b","anything":' + "[" * 10_000 + "]" * 10_000 + "}"),
}


def poison(path: Path, stream: str, row: Row) -> None:
    """Puts an event at the end of the log, past all that checks."""
    name, version, data = row
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            """insert into deedlog_events
                 (stream, version, category, bucket, name, name_version, data, metadata, recorded_at, id)
               select ?, coalesce((select max(version) from deedlog_events where stream = ?), 0) + 1,
                      'box', 0, ?, ?, ?, '{}', 0, 'poison'""",
            (stream, stream, name, version, data),
        )


@pytest.fixture(params=POISON)
def poisoned(request: pytest.FixtureRequest, path: Path) -> Callable[[], App]:
    """An app on a file that has one such event, in the stream box-b."""
    row = POISON[request.param]

    def open_again() -> App:
        poison(path, "box-b", row)
        return open_boxes(path)

    return open_again


async def filled(path: Path) -> None:
    async with open_boxes(path) as app:
        await app.execute(Fill("a"))
        await app.execute(Fill("b"))
        await app.catch_up()


async def test_other_streams_go_on(path: Path, poisoned: Callable[[], App]) -> None:
    await filled(path)
    async with poisoned() as app:
        receipt = await app.execute(Fill("a", "more"), id="again")
        assert (receipt.version, receipt.position) == (2, 4)
        assert await app.execute(Fill("a", "more"), id="again") == receipt
        assert (await app.execute(Fill("new"))).position == 5


async def test_a_command_on_that_stream_is_refused_with_the_place(path: Path, poisoned: Callable[[], App]) -> None:
    await filled(path)
    async with poisoned() as app:
        for _ in range(2):
            with pytest.raises(Corrupt, match="position 3") as caught:
                await app.execute(Fill("b"), id="c")
            assert caught.value.fix
        assert await app.running.store.head() == 3
        assert await app.running.store.command("c") is None


async def test_an_event_that_was_written_by_hand_in_the_right_form_is_read_like_any_other(path: Path) -> None:
    await filled(path)
    poison(path, "box-b", ("Emptied", 1, '{"box":"b"}'))
    async with open_boxes(path) as app:
        (*_, last) = await app.running.store.read_stream("box-b")
        assert app.running.codec.decode(last) == Emptied("b")
        assert (await app.execute(Fill("b"))).version == 3


async def test_rows_of_other_streams_go_on(path: Path, poisoned: Callable[[], App]) -> None:
    """P8: the projection parks what it can't read, with its stream, and goes on."""
    await filled(path)
    async with poisoned() as app:
        receipt = await app.execute(Fill("a", "more"))
        answer = await app.ask(GetBox("a"), after=receipt.token, timeout=30)
        assert (answer.value.text, answer.freshness.position) == ("more", 4)
