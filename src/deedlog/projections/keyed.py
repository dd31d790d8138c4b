"""A read model as a keyed fold: its handlers, read once from the class and checked."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from deedlog.domain.signature import Signature, classes_in, refuse_unannotated
from deedlog.errors import InvalidDeclaration, Misuse
from deedlog.messages.base import identity_of, is_message_class
from deedlog.messages.code import digest_of_code
from deedlog.projections.declare import MARK, KeySpec, Mark
from deedlog.reads.model import Index, Key, ReadModel, RowType, is_of

Mode: TypeAlias = Literal["async", "inline", "live"]
"""When a read model is folded: beside the commands, in the commit of each append, or when it is read."""


class Lookup:
    """Another model's row that a handler asks for by parameter: the key is the event's field of that model's key name."""

    def __init__(self, parameter: str, cls: type[Any]) -> None:
        self.parameter = parameter
        self.cls = cls
        self.model: RowType  # bound when all models of the app are known


class Handler:
    """One marked method: for which events, which rows, and what it does."""

    def __init__(self, fold: "KeyedFold", name: str, method: Any, mark: Mark) -> None:
        self.fold = fold
        self.model = fold.model
        self.role = mark.role
        self.start_missing = mark.start_missing
        self.said = [_said(mark.key), _said(mark.where)]
        self.static = isinstance(method, staticmethod)
        self.function: Callable[..., Any] = getattr(fold.model.cls, name) if mark.role == "starts" else method
        function = getattr(method, "__func__", method)
        self.signature = Signature(function, owner=fold.model.cls, method=not self.static)
        self.place = self.signature.place
        if mark.role == "starts" and not isinstance(method, classmethod | staticmethod):
            raise InvalidDeclaration(self.place, f"{self.signature.name} makes a row", fix="put @classmethod under @starts")
        if mark.role != "starts" and isinstance(method, classmethod | staticmethod):
            raise InvalidDeclaration(self.place, f"{self.signature.name} changes a row", fix="make it a plain method")
        self.events = [cls for cls in classes_in(self.signature.first) if is_message_class(cls)]
        if not self.events:
            raise InvalidDeclaration(self.place, f"{self.signature.name} is annotated with no event class")
        self.lookups = [self._lookup(name, a) for name, a in list(self.signature.parameters.items())[1:]]
        self.plain = False  # set by its projection: nothing but the row of each key has a part in it
        self.column: str | None = None
        self.kind = self.model.columns[self.model.key]
        if mark.where is not None:
            self._read_where(mark.where)
        else:
            self.keys_of = self._value(mark.key if mark.key is not None else self.model.key, self.model.key)

    def _lookup(self, name: str, annotation: Any) -> Lookup:
        classes = list(classes_in(annotation))
        optional = type(None) in get_args(annotation)
        if len(classes) != 1 or not issubclass(classes[0], ReadModel) or not optional:
            raise InvalidDeclaration(
                self.place,
                f"{self.signature.name}: '{name}' is neither the event nor another read model's row",
                fix="annotate it as `OtherModel | None`",
            )
        for event in self.events:
            self._check_field(event, self._key_of_class(classes[0]) or "", f"the key of {classes[0].__name__}")
        return Lookup(name, classes[0])

    def _key_of_class(self, cls: type[Any]) -> str | None:
        return self.fold.keys_by_class.get(cls)

    def _read_where(self, where: Any) -> None:
        pairs = {where: where} if isinstance(where, str) else dict(where)
        if len(pairs) != 1:
            raise InvalidDeclaration(self.place, "where= takes one column", fix="where='column' or where={'column': 'field'}")
        ((column, spec),) = pairs.items()
        if (column,) not in [index[:1] for index in self.model.indexes]:
            raise InvalidDeclaration(
                self.place,
                f"where='{column}' needs an index on it",
                fix=f"add '{column}' to indexes= of {self.model.name}",
            )
        self.column = column
        self.kind = self.model.columns[column]
        self.keys_of = self._value(spec, column)

    def _value(self, spec: KeySpec, meaning: str) -> Callable[[Any], Any]:
        self.computes = callable(spec)
        if callable(spec):
            return spec
        for event in self.events:
            self._check_field(event, spec, meaning)
        return attrgetter(spec)

    def _check_field(self, event: type[Any], field: str, meaning: str) -> None:
        names = getattr(event, "__struct_fields__", None) or getattr(event, "__annotations__", {})
        if field not in names and not hasattr(event, field):
            raise InvalidDeclaration(
                self.place,
                f"{event.__name__} has no field '{field}' ({meaning} of {self.model.name})",
                fix="say key=… or where=…",
            )

    def keys(self, event: Any) -> Sequence[Key]:
        """The keys (or values of the `where` column) that `event` concerns, each once. No row has the value None."""
        found = self.keys_of(event)
        if type(found) is self.kind.type and (type(found) is not str or found.isascii()):
            return (found,)
        keys = tuple(dict.fromkeys(found)) if isinstance(found, list | tuple | set | frozenset | Iterator) else (found,)
        if None in keys:
            if self.column is None:
                raise Misuse(
                    f"{self.signature.name}: the key of {type(event).__name__} is None", fix="return [] where no row is meant"
                )
            keys = tuple(key for key in keys if key is not None)
        for key in keys:
            if type(key) is not self.kind.type and not is_of(self.kind, key):
                raise Misuse(f"{self.signature.name}: {key!r} is no {self.kind.kind}", fix=f"find {self.model.name} by one")
            if isinstance(key, str) and not key.isascii() and not _is_text(key):
                raise Misuse(f"{self.signature.name}: {key!r} has half a surrogate pair", fix="make keys of valid Unicode")
        return keys


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shape_of(event: type[Any]) -> list[object]:
    """Name, version and fields of an event class: another shape of it makes other rows."""
    identity = identity_of(event)
    return [identity.name, identity.version, msgspec.json.encode(msgspec.json.schema(event), order="deterministic").decode()]


def _said(spec: Any) -> Any:
    """A key or `where` as far as it can be compared: field names; of a function only that it is one."""
    if isinstance(spec, Mapping):
        return {column: _said(inner) for column, inner in spec.items()}
    return spec if spec is None or isinstance(spec, str) else "function"


class KeyedFold:
    """A read model with its handlers."""

    def __init__(self, model: RowType, keys_by_class: dict[type[Any], str], *, version: int = 1, mode: Mode = "async") -> None:
        refuse_unannotated(model.cls)
        self.model = model
        self.version = version
        self.mode = mode
        self.keys_by_class = keys_by_class
        self.handlers = [Handler(self, name, method, mark) for name, method, mark in _marked(model.cls)]
        if not self.handlers:
            raise InvalidDeclaration(model.place, f"{model.name} folds no event", fix="mark methods with @starts, @on, @ends")
        if not any(handler.role == "starts" or handler.start_missing for handler in self.handlers):
            raise InvalidDeclaration(
                model.place, f"no row of {model.name} ever starts", fix="add @starts, or @on(start_missing=True)"
            )
        if any(h.start_missing for h in self.handlers):
            required = [name for name in list(model.columns)[: model.defaults] if name != model.key]
            if required:
                raise InvalidDeclaration(
                    model.place,
                    f"start_missing: {', '.join(required)} of {model.name} have no default",
                    fix="give them one",
                )

    def definition(self) -> list[object]:
        """What the fold reads and does, for noticing changes: its methods as they are written, not what they call."""
        said = [
            [h.role, h.start_missing, h.said, [_shape_of(e) for e in h.events], [lookup.cls.__name__ for lookup in h.lookups]]
            for h in self.handlers
        ]
        code = digest_of_code([h.function for h in self.handlers] + [h.keys_of for h in self.handlers if h.computes])
        return [*self.model.definition(), said, code, self.version]


def keyed_fold(
    cls: type[Any],
    keys_by_class: dict[type[Any], str],
    *,
    key: str,
    table: str | None = None,
    indexes: Sequence[Index] = (),
    search: Sequence[str] = (),
    version: int = 1,
    mode: Mode = "async",
) -> KeyedFold:
    """The fold of a read model class. Raises InvalidDeclaration with file and line."""
    model = RowType(cls, key=key, table=table, indexes=indexes, search=search)
    if mode not in get_args(Mode):
        raise InvalidDeclaration(model.place, f"mode '{mode}' of {model.name}", fix=f"one of {', '.join(get_args(Mode))}")
    return KeyedFold(model, keys_by_class, version=version, mode=mode)


def _marked(cls: type[Any]) -> list[tuple[str, Any, Mark]]:
    """Marked methods, base classes first; an override replaces what it overrides."""
    found: dict[str, tuple[str, Any, Mark]] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            mark = getattr(getattr(value, "__func__", value), MARK, None)
            if isinstance(mark, Mark):
                found[name] = (name, value, mark)
            else:
                found.pop(name, None)
    return list(found.values())
