"""A digest of functions as they are written: whether what was folded by them is still what they would fold today."""

import ast
import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from types import CodeType
from typing import Any, TypeAlias

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def digest_of_code(functions: Iterable[Callable[..., Any]], *also: str) -> str:
    """32 hexadecimal digits for these functions, in this order, and the texts in `also`.

    The same in every process that runs the same source. Comments, docstrings and layout don't count; decorators, annotations
    and defaults do. What the functions call is not looked into. Without source it is the byte code, so that another Python
    gives another digest.
    """
    digest = hashlib.blake2b(digest_size=16)
    for text in (*map(_text_of, functions), *also):
        digest.update(f"{len(text)}:{text}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _text_of(function: Callable[..., Any]) -> str:
    plain = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(plain, "__code__", None)
    if code is None:  # written in C, or an object with __call__
        return f"{getattr(plain, '__module__', '')}.{getattr(plain, '__qualname__', type(plain).__qualname__)}"
    node = _node_of(code)
    return ast.unparse(node) if node is not None else _byte_code(code)


def _byte_code(code: CodeType) -> str:
    return f"{code.co_code.hex()} {code.co_names} {[_constant(value) for value in code.co_consts]}"


def _constant(value: Any) -> str:
    if isinstance(value, CodeType):
        return _byte_code(value)
    return str(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)  # sets have no order of their own


def _node_of(code: CodeType) -> _Function | None:
    """The function in its file's syntax tree; None where the source is not there or is another."""
    try:
        lines, _ = inspect.findsource(code)
        candidates = _functions_of("".join(lines)).get(code.co_firstlineno, [])
    except (OSError, SyntaxError, ValueError, IndexError):
        return None
    for node in candidates:
        name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
        if name == code.co_name and (not isinstance(node, ast.Lambda) or _is_at(node, code)):
            return node
    return None


def _is_at(node: ast.Lambda, code: CodeType) -> bool:
    """Two lambdas may share a line: the one that these instructions stand in."""
    start, end = (node.body.lineno, node.body.col_offset), (node.body.end_lineno or 0, node.body.end_col_offset or 0)
    places = [(line, column) for line, _, column, _ in code.co_positions() if line and column]
    return all(start <= place <= end for place in places)


@lru_cache(maxsize=64)
def _functions_of(source: str) -> dict[int, list[_Function]]:
    """Every function of a file by its first line, decorators included, without docstrings."""
    found: dict[int, list[_Function]] = {}
    for node in _without_docstrings(ast.parse(source)):
        decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
        found.setdefault(min((node.lineno, *(d.lineno for d in decorators))), []).append(node)
    return found


def _without_docstrings(tree: ast.AST) -> Iterator[_Function]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.Pass()]
            yield node
        elif isinstance(node, ast.Lambda):
            yield node
