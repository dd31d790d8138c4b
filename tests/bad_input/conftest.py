"""A running service on a file that holds one box, and the proof that a bad input left it as it was."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from deedlog import App
from tests.bad_input.boxes import Fill, GetBox, open_boxes, stored


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "boxes.db"


@pytest.fixture
async def app(path: Path) -> AsyncIterator[App]:
    """Started, with one box; all that is stored when it ends."""
    app = open_boxes(path)
    async with app:
        await app.execute(Fill("first", "text"), id="first")
        await app.catch_up()
        yield app


@pytest.fixture
async def unchanged(app: App, path: Path) -> AsyncIterator[Callable[[], None]]:
    """Asserts that nothing is stored that was not before; at the end also that the service goes on."""
    before = stored(path)

    def check() -> None:
        assert stored(path) == before

    yield check
    check()
    receipt = await app.execute(Fill("after", "all is well"))
    answer = await app.ask(GetBox("after"), after=receipt.token, timeout=30)
    assert answer.value.text == "all is well"
