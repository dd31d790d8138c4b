"""Words for a failed expectation: what was expected, what came instead, and where they part."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NoReturn

import msgspec


def fail(headline: str, *parts: str) -> NoReturn:
    """Raises AssertionError with one paragraph for each part that is not empty."""
    __tracebackhide__ = True  # pytest then shows the line of the test
    raise AssertionError("\n\n".join((headline, *(part for part in parts if part))))


def listed(title: str, things: Sequence[Any]) -> str:
    """`title` and one line for each thing."""
    return "\n".join((f"  {title}:", *(f"    {thing!r}" for thing in things or (NOTHING,))))


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()


def parted(expected: Sequence[Any], actual: Sequence[Any], what: str) -> str:
    """Where two lists part, thing by thing and field by field; empty when they are equal."""
    pairs = enumerate(zip_longest(expected, actual, fillvalue=NOTHING), 1)
    lines = [f"    {line}" for number, (wanted, came) in pairs for line in _apart(wanted, came, f"{what} {number}")]
    return "\n".join(("  difference:", *lines)) if lines else ""


def apart(wanted: Mapping[str, Any], actual: Any) -> str:
    """One line for each of the named fields, or keys, in which `actual` differs; empty when it has them all."""
    has = actual if isinstance(actual, Mapping) else {name: getattr(actual, name, NOTHING) for name in wanted}
    return "\n".join(f"    {line}" for name, value in wanted.items() for line in _apart(value, has.get(name, NOTHING), name))


def _apart(expected: Any, actual: Any, path: str) -> list[str]:
    if expected == actual:
        return []
    pairs: Iterable[tuple[str, Any, Any]] = ()
    if type(expected) is type(actual):
        pairs = _parts(expected, actual)
    lines = [line for step, wanted, came in pairs for line in _apart(wanted, came, path + step)]
    return lines or [f"{path}: expected {expected!r}, got {actual!r}"]


def _parts(expected: Any, actual: Any) -> Iterator[tuple[str, Any, Any]]:
    """What two values of one type consist of: the path of each part, and both values."""
    for name in fields_of(expected):
        yield f".{name}", getattr(expected, name), getattr(actual, name)
    if isinstance(expected, dict):
        for key in {**expected, **actual}:
            yield f"[{key!r}]", expected.get(key, NOTHING), actual.get(key, NOTHING)
    if isinstance(expected, list | tuple):
        for index, (wanted, came) in enumerate(zip_longest(expected, actual, fillvalue=NOTHING)):
            yield f"[{index}]", wanted, came


def fields_of(value: Any) -> tuple[str, ...]:
    """The field names of a struct, dataclass or attrs object; empty for anything else."""
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    return (*getattr(value, "__dataclass_fields__", ()), *(a.name for a in getattr(value, "__attrs_attrs__", ())))
