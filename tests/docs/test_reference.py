"""The reference pages against the code: no verb, header or error is missing, none is made up."""

import re
from datetime import UTC, datetime

from click import Command, Group

import deedlog
from deedlog.errors import ConditionFailed, DeedlogError, StreamClosed
from deedlog.http.operations import KEPT_HEADERS, parameters
from deedlog.http.problems import problem
from deedlog.ops.cli import main
from tests.docs.pages import ROOT, prose_of

CLI, ERRORS, GLOSSARY, HTTP = (ROOT / "docs" / name for name in ("cli.md", "errors.md", "glossary.md", "http.md"))
SAMPLES: dict[str, DeedlogError] = {
    "Refused": deedlog.Refused("no"),
    "InvalidMessage": deedlog.InvalidMessage("Name", "field", "wrong"),
    "UnknownMessage": deedlog.UnknownMessage("command", "Name", []),
    "WrongExpectedVersion": deedlog.WrongExpectedVersion("a-1", "2", 3),
    "ConditionFailed": ConditionFailed("email:a@b.c", 1, 2),
    "StreamClosed": StreamClosed("a-1", "Ann", "moved", datetime(2026, 1, 1, tzinfo=UTC)),
    "DuplicateMessage": deedlog.DuplicateMessage("id"),
    "Conflict": deedlog.Conflict("first"),
    "NotFound": deedlog.NotFound("Row", "1"),
    "DeadlineExceeded": deedlog.DeadlineExceeded(1.0, 1.0, stored=None),
    "Stale": deedlog.Stale("position 2", 1, 0.1),
    "Building": deedlog.Building("View", 1, 2),
    "Superseded": deedlog.Superseded("View", "no", fix="x"),
    "Unavailable": deedlog.Unavailable("later"),
    "InvalidDeclaration": deedlog.InvalidDeclaration("file:1", "wrong"),
    "NotSupported": deedlog.NotSupported("not here"),
    "MissingExtra": deedlog.MissingExtra("http"),
    "Misuse": deedlog.Misuse("wrong"),
    "Corrupt": deedlog.Corrupt("damaged"),
}


def verbs_of(group: Group, prefix: str) -> dict[str, Command]:
    found: dict[str, Command] = {}
    for name, command in group.commands.items():
        found |= verbs_of(command, f"{prefix} {name}") if isinstance(command, Group) else {f"{prefix} {name}": command}
    return found


def rows_of(page: str, columns: int) -> list[list[str]]:
    """The rows of the page's tables that have so many columns."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")]
    return [row for row in rows if len(row) == columns]


def test_every_verb_is_on_the_page_and_none_is_made_up() -> None:
    verbs = verbs_of(main, "deedlog")
    page = prose_of(CLI)
    assert set(re.findall(r"^\| `(deedlog [a-z ]+)` \|", page, re.MULTILINE)) == set(verbs)
    options = {option for verb in verbs.values() for parameter in verb.params for option in parameter.opts}
    assert set(re.findall(r"`(--[a-z-]+)", page)) <= options | {"--help"}


def test_every_header_is_on_the_page_and_none_is_made_up() -> None:
    sent = {str(parameter["name"]) for parameter in parameters(30).values()}
    named = {name for row in rows_of(prose_of(HTTP), 3) for name in re.findall(r"`([A-Za-z-]+)`", row[0])}
    assert named == sent | set(KEPT_HEADERS) | {"Last-Modified"}


def test_every_error_is_on_the_page_with_its_status() -> None:
    rows = {row[0].strip("`"): row[3] for row in rows_of(prose_of(ERRORS), 4)}
    del rows["error"]
    statuses = {name: re.findall(r"\d{3}", status)[0] for name, status in rows.items() if "-" not in name}
    assert statuses == {name: str(problem(error).status) for name, error in SAMPLES.items()}


def test_every_error_of_the_front_door_is_explained() -> None:
    page = prose_of(ERRORS)
    for name in deedlog.__all__:
        thing = getattr(deedlog, name)
        if isinstance(thing, type) and issubclass(thing, DeedlogError):
            assert f"`{name}`" in page, name


def test_the_glossary_is_in_order_and_says_each_word_once() -> None:
    words = [row[0] for row in rows_of(prose_of(GLOSSARY), 2)]
    words = [word for word in words if word[0].isalpha() and word != "word"]
    assert words == sorted(set(words))
