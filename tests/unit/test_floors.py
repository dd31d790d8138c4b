"""Imports go down the floors only.

Reads every import of every module in src/deedlog: at the top, inside functions, under TYPE_CHECKING, and by name
through `import_module("…")`. The tables below draw the house; a new room or arrow is added here, with its reason.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "deedlog"
ROOT = "deedlog"

FRONT_DOOR = "the front door"
FLOORS: Mapping[str, int] = {
    "errors": 0,
    "types": 0,
    "ids": 0,
    "faults": 0,
    "messages": 1,
    "sqlite": 1,  # plumbing shared by the sqlite adapters: a driver's room
    "domain": 2,
    "store": 2,
    "reads": 2,
    "messaging": 2,
    "commands": 3,
    "projections": 3,
    "tables": 3,
    "consistency": 3,
    "queries": 3,
    "relay": 3,
    "processes": 3,
    "app": 4,
    "sync": 4,  # the app for callers that block: handed an app, so that it need not import one
    "definition": 4,
    "projecting": 4,
    "running": 4,
    "module": 4,
    FRONT_DOOR: 4,
    "http": 5,
    "ops": 5,
    "testing": 5,
}

# Rooms that a room may import on its own floor. Everything else goes down.
ARROWS: Mapping[str, frozenset[str]] = {
    "types": frozenset({"errors"}),
    "ids": frozenset({"errors", "types"}),
    "faults": frozenset({"errors"}),
    "commands": frozenset({"consistency"}),
    "projections": frozenset({"consistency"}),
    "queries": frozenset({"consistency", "projections"}),
    "definition": frozenset({"module"}),
    "projecting": frozenset({"definition"}),
    "running": frozenset({"definition", "projecting"}),
    "app": frozenset({"running", "projecting", "module", "definition", "sync"}),
    FRONT_DOOR: frozenset({"app", "module"}),
    "ops": frozenset({"http"}),
}

# Rooms with adapters, and the modules of the room that an adapter may import.
PORTS: Mapping[str, frozenset[str]] = {
    "store": frozenset({"port", "batch", "importing", "coalescer", "signal"}),
    "reads": frozenset({"port", "model", "values"}),
    "messaging": frozenset({"port"}),
}
ADAPTERS = frozenset({"memory", "sqlite", "postgres", "mysql", "sql", "redis", "mongo", "search", "nats", "rabbitmq", "kafka"})

# Where a library may be imported; one that is not listed may be imported anywhere.
# sqlite3 has its own rule: only in a file or folder whose name starts with sqlite.
LIBRARIES: Mapping[str, frozenset[str]] = {
    "starlette": frozenset({"http"}),
    "uvicorn": frozenset({"http", "ops"}),
    "httptools": frozenset({"http", "ops"}),
    "uvloop": frozenset({"http", "ops"}),
    "click": frozenset({"ops"}),
    "rich": frozenset({"ops"}),
    "uuid_utils": frozenset({"ids", "types"}),
    "sqlalchemy": frozenset(),
}


class Place(NamedTuple):
    """A module of ours, by its names below the package: `store.sqlite.log` is ("store", "sqlite", "log")."""

    parts: tuple[str, ...]

    @property
    def room(self) -> str:
        return self.parts[0] if self.parts else FRONT_DOOR

    @property
    def adapter(self) -> str | None:
        """`sqlite` in store/sqlite/…, store/sqlite.py and store/sqlite_log.py; None outside an adapter."""
        if self.room not in PORTS or len(self.parts) < 2:
            return None
        name = self.parts[1]
        return next((known for known in ADAPTERS if name == known or name.startswith(f"{known}_")), None)

    @property
    def speaks_sqlite(self) -> bool:
        return any(part.startswith("sqlite") for part in self.parts)

    def __str__(self) -> str:
        return ".".join((ROOT, *self.parts))


class Import(NamedTuple):
    line: int
    target: str


def place_of(path: str) -> Place:
    parts = Path(path).with_suffix("").parts
    return Place(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: str, text: str, modules: frozenset[str]) -> Iterator[Import]:
    """Every import in a file, with absolute names; `from p import m` means module p.m where that is one of ours."""
    place = place_of(path)
    package = place.parts if Path(path).stem == "__init__" else place.parts[:-1]
    for node in ast.walk(ast.parse(text, path)):
        match node:
            case ast.Import(names=names):
                yield from (Import(node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                above = (ROOT, *package)[: len(package) + 2 - level] if level else ()
                base = ".".join((*above, module) if module else above)
                for alias in names:
                    inner = f"{base}.{alias.name}"
                    yield Import(node.lineno, inner if inner in modules else base)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(target)), *_]):
                if name in {"import_module", "__import__"}:
                    yield Import(node.lineno, target)
            case _:
                pass


def refusal(source: Place, target: str) -> str | None:
    """Why `source` may not import `target`, or None."""
    top, *rest = target.split(".")
    if top == ROOT:
        return own_refusal(source, Place(tuple(rest)))
    if top in {"sqlite3", "_sqlite3"}:
        return None if source.speaks_sqlite else "sqlite3 belongs in a file or folder named sqlite"
    if not top:
        return "write the absolute name, so that this test can read it"
    rooms = LIBRARIES.get(top)
    if rooms is None or source.room in rooms:
        return None
    return f"{top} belongs in {' or '.join(sorted(rooms)) or 'no room yet'}"


def own_refusal(source: Place, target: Place) -> str | None:
    for place in (source, target):
        if place.room not in FLOORS:
            return f"unknown room '{place.room}': add it to FLOORS in tests/unit/test_floors.py"
    if source.adapter is not None:
        return adapter_refusal(source, target)
    if source.room == target.room or target.room in ARROWS.get(source.room, frozenset()):
        return None
    here, there = FLOORS[source.room], FLOORS[target.room]
    if there < here:
        return None
    way = "sideways" if there == here else "up"
    return f"{source.room} (floor {here}) imports {way} to {target.room} (floor {there})"


def adapter_refusal(source: Place, target: Place) -> str | None:
    if target.room != source.room:
        allowed = FLOORS[target.room] <= 1
        return None if allowed else f"an adapter knows its port and floors 0 and 1, not {target.room}"
    if target.adapter == source.adapter or (len(target.parts) > 1 and target.parts[1] in PORTS[source.room]):
        return None
    if target.adapter is not None:
        return f"adapter {source.adapter} imports adapter {target.adapter}: siblings do not know each other"
    ports = " or ".join(f"{ROOT}.{source.room}.{name}" for name in sorted(PORTS[source.room]))
    return f"of its room an adapter may import {ports} only"


def violations(tree: Mapping[str, str]) -> list[str]:
    """One line for each refused import, of a tree given as path below the package → source text."""
    modules = frozenset(str(place_of(path)) for path in tree)
    found: list[str] = []
    for path, text in sorted(tree.items()):
        source = place_of(path)
        if source.room not in FLOORS:
            found.append(f"{path}: unknown room '{source.room}': add it to FLOORS in tests/unit/test_floors.py")
            continue
        for line, target in imports_of(path, text, modules):
            reason = refusal(source, target)
            if reason is not None:
                found.append(f"{path}:{line}: {target}: {reason}")
    return found


def test_imports_go_down_the_floors() -> None:
    tree = {path.relative_to(SOURCE).as_posix(): path.read_text("utf-8") for path in SOURCE.rglob("*.py")}
    assert "__init__.py" in tree
    found = violations(tree)
    assert not found, "\n" + "\n".join(found)


FAKE_HOUSE: Mapping[str, str] = {
    "__init__.py": "",
    "errors.py": "",
    "messages/__init__.py": "",
    "messages/codec.py": "",
    "domain/__init__.py": "",
    "store/__init__.py": "",
    "store/port.py": "",
    "store/sqlite/__init__.py": "",
    "store/sqlite/log.py": "",
    "store/memory.py": "",
    "sqlite/__init__.py": "",
    "commands/__init__.py": "",
    "consistency/__init__.py": "",
    "app.py": "",
    "module.py": "",
}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param("domain/new.py", "from deedlog.messages import codec", id="down"),
        pytest.param("domain/new.py", "from .other import x\nfrom ..errors import Refused", id="relative"),
        pytest.param("commands/new.py", "import deedlog.consistency", id="arrow"),
        pytest.param("__init__.py", "from deedlog.app import App\nfrom .module import Module", id="front-door"),
        pytest.param("ops/new.py", "import click, rich.table, uvicorn\nfrom deedlog import App", id="ops"),
        pytest.param(
            "store/sqlite/log.py",
            "import sqlite3\nfrom deedlog.store import port\nfrom deedlog.sqlite import x\nfrom . import errors",
            id="adapter",
        ),
        pytest.param("sqlite/new.py", "import sqlite3\nfrom deedlog.errors import Refused", id="driver-room"),
        pytest.param("projections/sqlite_rows.py", "from sqlite3 import Connection", id="sqlite-by-name"),
        pytest.param("domain/new.py", "import json, msgspec, starlette_like", id="free-library"),
    ],
)
def test_the_reader_lets_pass_what_the_house_allows(path: str, text: str) -> None:
    assert violations({**FAKE_HOUSE, path: text}) == []


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        pytest.param("domain/new.py", "import deedlog.commands", "imports up to commands", id="up"),
        pytest.param("domain/new.py", "from deedlog.store.port import Store", "sideways to store", id="sideways"),
        pytest.param("errors.py", "from .messages import codec", "imports up to messages", id="relative"),
        pytest.param("errors.py", "from deedlog import messages", "imports up to messages", id="module-from-package"),
        pytest.param("errors.py", "from . import App", "imports up to the front door", id="front-door"),
        pytest.param("errors.py", "def f():\n    import deedlog.app", "errors.py:2", id="in-a-function"),
        pytest.param(
            "errors.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from deedlog.app import App",
            "errors.py:3",
            id="type-checking",
        ),
        pytest.param("errors.py", "import importlib\nimportlib.import_module('deedlog.app')", "up to app", id="by-name"),
        pytest.param("errors.py", "__import__('.app')", "write the absolute name", id="by-relative-name"),
        pytest.param("module.py", "from deedlog.app import App", "sideways to app", id="module-to-app"),
        pytest.param("app.py", "from deedlog import App", "sideways to the front door", id="app-to-front-door"),
        pytest.param("http/new.py", "import deedlog.ops", "sideways to ops", id="http-to-ops"),
        pytest.param("store/sqlite/log.py", "from ..memory import MemoryStore", "do not know each other", id="siblings"),
        pytest.param("store/sqlite/log.py", "import deedlog.store", "deedlog.store.port", id="adapter-to-room"),
        pytest.param("store/memory.py", "import deedlog.domain", "knows its port", id="adapter-to-other-room"),
        pytest.param("sqlite/new.py", "import deedlog.messages", "sideways to messages", id="driver-room-on-F0-only"),
        pytest.param("commands/new.py", "import sqlite3", "sqlite3 belongs", id="sqlite3"),
        pytest.param("ops/new.py", "from starlette.routing import Route", "starlette belongs in http", id="starlette"),
        pytest.param("app.py", "import click", "click belongs in ops", id="click"),
        pytest.param("tables/new.py", "from sqlalchemy import select", "no room yet", id="sqlalchemy"),
        pytest.param("attic/__init__.py", "", "unknown room 'attic': add it to FLOORS", id="unknown-room"),
        pytest.param("app.py", "import deedlog.attic", "unknown room 'attic': add it to FLOORS", id="to-unknown-room"),
    ],
)
def test_the_reader_finds_what_the_house_forbids(path: str, text: str, said: str) -> None:
    found = violations({**FAKE_HOUSE, path: text})
    assert len(found) == 1
    assert said in found[0]
