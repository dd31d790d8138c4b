"""How a read model says which events concern which rows: `@starts`, `@on`, `@ends`.

By default the row's key is the event's field of the same name. `key=` computes it (one key or several), `where=` finds rows by
an indexed column. Further parameters annotated with another read model get that model's row, as it was at the event.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar, overload

import msgspec

F = TypeVar("F", bound="Callable[..., Any] | classmethod[Any, ..., Any] | staticmethod[..., Any]")
KeySpec: TypeAlias = str | Callable[[Any], Any]
WhereSpec: TypeAlias = str | Mapping[str, KeySpec]

MARK = "__deedlog_fold__"


class Mark(msgspec.Struct, frozen=True):
    """What a decorator said about a method."""

    role: str
    key: KeySpec | None = None
    where: WhereSpec | None = None
    start_missing: bool = False


def _mark(method: Any, mark: Mark) -> Any:
    setattr(getattr(method, "__func__", method), MARK, mark)
    return method


@overload
def starts(method: F, /) -> F: ...
@overload
def starts(*, key: KeySpec) -> Callable[[F], F]: ...
def starts(method: Any = None, /, *, key: KeySpec | None = None) -> Any:
    """Marks the class method that makes a row from an event. A row that is there already is replaced."""
    mark = Mark("starts", key)
    return _mark(method, mark) if method is not None else lambda later: _mark(later, mark)


@overload
def on(method: F, /) -> F: ...
@overload
def on(*, key: KeySpec | None = None, start_missing: bool = False) -> Callable[[F], F]: ...
@overload
def on(*, where: WhereSpec) -> Callable[[F], F]: ...
def on(
    method: Any = None,
    /,
    *,
    key: KeySpec | None = None,
    where: WhereSpec | None = None,
    start_missing: bool = False,
) -> Any:
    """Marks the method that changes a row by an event. Rows that are not there are left alone.

    `key`: field of the event, or a function from the event to one key or a list of keys. `where`: an indexed column, the same
    field in the event (or column → field or function): all rows with that value. `start_missing`: a row that is not there
    starts with the key and the defaults of all other fields.
    """
    mark = Mark("on", key, where, start_missing)
    return _mark(method, mark) if method is not None else lambda later: _mark(later, mark)


@overload
def ends(method: F, /) -> F: ...
@overload
def ends(*, key: KeySpec | None = None) -> Callable[[F], F]: ...
@overload
def ends(*, where: WhereSpec) -> Callable[[F], F]: ...
def ends(method: Any = None, /, *, key: KeySpec | None = None, where: WhereSpec | None = None) -> Any:
    """Marks the method whose event removes the row. Its body may be empty; it is called before the row goes."""
    mark = Mark("ends", key, where)
    return _mark(method, mark) if method is not None else lambda later: _mark(later, mark)
