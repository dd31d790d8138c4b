"""The digest of functions: it changes with what they do, not with how it is laid out."""

import importlib.util
import linecache
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deedlog.messages.code import digest_of_code

Load = Callable[[str], Any]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Runs a text as a module; each gets a file of its own."""

    def run(text: str) -> Any:
        file = tmp_path / f"part{len(list(tmp_path.iterdir()))}.py"
        file.write_text(text, "utf-8")
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return run


def test_layout_comments_and_docstrings_do_not_count(load: Load) -> None:
    bare = load("def f(a: int) -> int:\n    return a + 1\n")
    dressed = load('# why\n\ndef f(a:int)->int:\n    """Says it."""\n    # and how\n    return (a\n        + 1)\n')
    assert digest_of_code([bare.f]) == digest_of_code([dressed.f])


@pytest.mark.parametrize(
    "other",
    [
        "def f(a: int) -> int:\n    return a + 2\n",
        "def f(a: float) -> int:\n    return a + 1\n",
        "def f(a: int = 0) -> int:\n    return a + 1\n",
        "def mark(f): return f\n@mark\ndef f(a: int) -> int:\n    return a + 1\n",
    ],
    ids=["body", "annotation", "default", "decorator"],
)
def test_what_a_function_does_counts(load: Load, other: str) -> None:
    one = load("def f(a: int) -> int:\n    return a + 1\n")
    assert digest_of_code([one.f]) != digest_of_code([load(other).f])


def test_two_lambdas_of_one_line_are_told_apart(load: Load) -> None:
    module = load("pair = (lambda a: a + 1), (lambda a: a + 2)\nmoved = [\n    lambda a: a + 2,  # here\n]\n")
    one, two = module.pair
    assert digest_of_code([one]) != digest_of_code([two])
    assert digest_of_code([two]) == digest_of_code(module.moved)


def test_order_and_what_is_added_count(load: Load) -> None:
    module = load("def f(): return 1\ndef g(): return 2\n")
    given = {
        digest_of_code([module.f, module.g]),
        digest_of_code([module.g, module.f]),
        digest_of_code([module.f]),
        digest_of_code([module.f], "1"),
        digest_of_code([module.f], "1", ""),
    }
    assert len(given) == 5


def test_methods_and_class_methods_are_read_like_functions(load: Load) -> None:
    text = "class A:\n    @classmethod\n    def f(cls): return {}\n    def g(self): return 2\n"
    one, same, other = load(text.format(1)), load(text.format(1)), load(text.format(3))
    assert digest_of_code([one.A.f, one.A().g]) == digest_of_code([same.A.f, same.A.g])
    assert digest_of_code([one.A.f]) != digest_of_code([other.A.f])


def test_without_source_the_byte_code_counts() -> None:
    def made(text: str) -> Any:
        names: dict[str, Any] = {}
        exec(compile(text, "<nowhere>", "exec"), names)
        return names["f"]

    linecache.clearcache()
    one = digest_of_code([made("def f(a):\n    return a + 1\n")])
    assert one == digest_of_code([made("\n# moved\ndef f(a):\n    return a + 1\n")])
    assert one != digest_of_code([made("def f(a):\n    return a + 2\n")])
    assert one != digest_of_code([made("def f(a):\n    return [x + 1 for x in a]\n")])


def test_a_function_without_code_is_known_by_its_name() -> None:
    assert digest_of_code([len]) != digest_of_code([abs])
