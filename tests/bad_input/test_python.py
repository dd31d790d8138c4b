"""Bad input through `app.execute` and `app.ask`: an error that names the field and the fix, and nothing stored (P10)."""

from collections.abc import Callable
from typing import Any

import pytest

from deedlog import App, Command, InvalidMessage, NotFound, Query
from deedlog.errors import UnknownMessage
from tests.bad_input.boxes import (
    BAD_IDS,
    BAD_KEYS,
    BAD_TOKENS,
    BAD_VALUES,
    GOOD_KEYS,
    Fill,
    GetBox,
    ListBoxes,
)

Unchanged = Callable[[], None]


@pytest.mark.parametrize("case", BAD_KEYS)
async def test_a_key_that_can_name_no_stream_is_refused(app: App, unchanged: Unchanged, case: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        await app.execute(Fill(BAD_KEYS[case]), id="c")
    assert (caught.value.path, caught.value.message_name) == ("box", "Fill")
    assert caught.value.fix
    assert len(str(caught.value)) < 500


async def test_each_key_that_can_name_a_stream_names_its_own(app: App) -> None:
    tokens = [(await app.execute(Fill(key, name))).token for name, key in GOOD_KEYS.items()]
    for name, key in GOOD_KEYS.items():
        answer = await app.ask(GetBox(key), after=tokens[-1])
        assert answer.value.text == name
        assert [event.stream for event in await app.running.store.read_stream(f"box-{key}")] == [f"box-{key}"]


@pytest.mark.parametrize("case", BAD_VALUES)
async def test_a_value_that_cannot_be_carried_is_refused(app: App, unchanged: Unchanged, case: str) -> None:
    fields, path = BAD_VALUES[case]
    with pytest.raises(InvalidMessage) as caught:
        await app.execute(Fill(**{"box": "b", **fields}), id="c")
    assert (caught.value.path, caught.value.message_name) == (path, "Fill")
    assert caught.value.fix
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("case", BAD_IDS)
async def test_an_id_that_is_none_is_refused(app: App, unchanged: Unchanged, case: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        await app.execute(Fill("b"), id=BAD_IDS[case])
    assert caught.value.path == "id"
    assert caught.value.fix


@pytest.mark.parametrize("field", ["correlation_id", "causation_id", "traceparent", "actor", "tenant"])
@pytest.mark.parametrize("value", ["\ud800", "x" * 2_000_000, 5], ids=["half a surrogate pair", "2 MB", "a number"])
async def test_metadata_that_cannot_be_kept_is_refused(app: App, unchanged: Unchanged, field: str, value: Any) -> None:
    with pytest.raises(InvalidMessage) as caught:
        await app.execute(Fill("b"), **{field: value})
    assert caught.value.path == field
    assert caught.value.fix


@pytest.mark.parametrize("case", BAD_TOKENS)
async def test_a_token_that_is_none_is_refused(app: App, unchanged: Unchanged, case: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        await app.ask(GetBox("first"), after=BAD_TOKENS[case])
    assert caught.value.message_name == "token"
    assert caught.value.fix
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("key", [*BAD_KEYS.values(), "never"], ids=[*BAD_KEYS, "of nobody"])
async def test_a_row_that_cannot_be_is_not_found(app: App, unchanged: Unchanged, key: str) -> None:
    with pytest.raises(NotFound) as caught:
        await app.ask(GetBox(key))
    assert caught.value.key == key


@pytest.mark.parametrize("limit", [0, -1, 1_001, 2**63 - 1])
async def test_a_limit_outside_is_refused(app: App, unchanged: Unchanged, limit: int) -> None:
    with pytest.raises(InvalidMessage) as caught:
        await app.ask(ListBoxes(limit=limit))
    assert caught.value.path == "limit"
    assert caught.value.fix


PAGES = ["", "x", "é", "====", "bnVsbA", "W10", "WyJib3giLFtdXQ", "WyJib3giLFsxXV0", "A" * 100_000, "\ud800", "W1tbW1tb", "MQ"]


@pytest.mark.parametrize("page", PAGES, ids=[f"page {number}" for number in range(len(PAGES))])
async def test_a_page_that_is_none_is_refused(app: App, unchanged: Unchanged, page: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        await app.ask(ListBoxes(page=page))
    assert caught.value.path == "page"
    assert caught.value.fix
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
async def test_a_staleness_that_is_none_is_refused(app: App, unchanged: Unchanged, seconds: float) -> None:
    with pytest.raises(InvalidMessage) as caught:
        await app.ask(GetBox("first"), max_staleness=seconds)
    assert caught.value.path == "max_staleness"


class Undeclared(Command):
    box: str


class Unheard(Query[int]):
    box: str


async def test_a_command_that_nobody_declared_is_refused_with_those_there_are(app: App, unchanged: Unchanged) -> None:
    with pytest.raises(UnknownMessage, match="Fill"):
        await app.execute(Undeclared("b"), id="c")


async def test_a_query_that_nobody_declared_is_refused_with_those_there_are(app: App, unchanged: Unchanged) -> None:
    with pytest.raises(UnknownMessage, match="GetBox"):
        await app.ask(Unheard("b"))


@pytest.mark.parametrize("thing", [None, 5, "Fill", {"box": "b"}, Fill], ids=repr)
async def test_a_thing_that_is_no_message_is_refused(app: App, unchanged: Unchanged, thing: Any) -> None:
    with pytest.raises(UnknownMessage):
        await app.execute(thing)
