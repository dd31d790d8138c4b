"""Every page does what it says: its code runs, it prints what is shown, its links lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, README, ROOT, anchors_of, blocks_of, links_of, name_of, output_below, prose_of, run

WITH_CODE = [page for page in PAGES if page != README and any(block.language == "python" for block in blocks_of(page))]
LANGUAGES = {"python", "text", "console", "json", "sql", "toml", ""}
PATH = re.compile(r"`(?P<path>(?:src|tests|docs|examples|benchmarks|changes)/[\w./-]+)`")


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_the_code_of_a_page_runs_and_prints_what_is_shown(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEEDLOG_STORE", raising=False)
    for block, printed in run(page, tmp_path):
        assert printed == output_below(page, block), f"{name_of(page)}:{block.line}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links_of(page):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in anchors_of(file), f"{name_of(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_path_that_is_named_exists(page: Path) -> None:
    for found in PATH.finditer(prose_of(page)):
        assert (ROOT / found["path"]).exists(), f"{name_of(page)} names {found['path']}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_its_language(page: Path) -> None:
    assert {block.language for block in blocks_of(page)} <= LANGUAGES


def test_every_page_is_linked_from_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target).resolve() for target in links_of(index)}
    missing = [name_of(page) for page in PAGES if page not in (README, index) and page not in linked]
    assert not missing
