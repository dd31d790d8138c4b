"""Reads what a declared function asks for, and refuses with file and line what can't work."""

import inspect
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, Union, get_args, get_origin

from deedlog.errors import InvalidDeclaration
from deedlog.messages.base import place_of


class Signature:
    """The parameters and the return annotation of a function, resolved; `self` or `cls` left out."""

    def __init__(self, function: Callable[..., Any], *, owner: type[Any] | None = None, method: bool = False) -> None:
        self.function = function
        self.place = place_of(function)
        self.name = function.__qualname__
        try:
            names = None if owner is None else {owner.__name__: owner}  # a class inside a function is not yet global
            hints = typing.get_type_hints(function, localns=names)
        except (NameError, TypeError) as error:
            raise InvalidDeclaration(
                self.place, f"{self.name}: {error}", fix="annotate with names that exist at module level"
            ) from error
        if method:
            self.refuse_async()
        parameters = list(inspect.signature(function).parameters.values())[1 if method else 0 :]
        for parameter in parameters:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise InvalidDeclaration(self.place, f"{self.name} takes *{parameter.name}", fix="name each parameter")
            if parameter.name not in hints:
                raise InvalidDeclaration(
                    self.place, f"{self.name}: '{parameter.name}' has no annotation", fix="annotate it with its class"
                )
        self.parameters = {parameter.name: hints[parameter.name] for parameter in parameters}
        self.returns = hints.get("return", Any)

    def refuse_async(self) -> None:
        """Raises InvalidDeclaration for an async function, where the function decides or folds."""
        if inspect.iscoroutinefunction(self.function) or inspect.isasyncgenfunction(self.function):
            raise InvalidDeclaration(
                self.place, f"{self.name} is async", fix="make it plain: it decides or folds, what it needs comes in the message"
            )

    @property
    def first(self) -> Any:
        """The annotation of the message parameter. Raises InvalidDeclaration when there is none."""
        for annotation in self.parameters.values():
            return annotation
        raise InvalidDeclaration(self.place, f"{self.name} takes no message", fix="add a parameter annotated with its class")

    def only_message(self) -> Any:
        """The annotation of the one parameter. Raises InvalidDeclaration when there are more."""
        if len(self.parameters) > 1:
            extra = ", ".join(list(self.parameters)[1:])
            raise InvalidDeclaration(
                self.place,
                f"{self.name} also takes {extra}",
                fix="it gets the message only; use a command handler for more",
            )
        return self.first


def refuse_unannotated(cls: type[Any]) -> None:
    """Raises InvalidDeclaration for `free = 100` in a class body: without an annotation it is no field. CAPITALS may be."""
    for name, value in vars(cls).items():
        plain = not callable(value) and not hasattr(value, "__get__")
        if plain and not name.startswith("__") and not name.isupper() and name not in vars(cls).get("__annotations__", {}):
            raise InvalidDeclaration(
                place_of(cls),
                f"{cls.__name__}.{name} has no annotation, so it is no field",
                fix=f"write {name}: {type(value).__name__}",
            )


def classes_in(annotation: Any) -> Iterable[type[Any]]:
    """The classes an annotation names: `A | B`, `list[A]`, `Iterator[A | B] | None` → A, B. Never NoneType."""
    if annotation is None or annotation is type(None) or annotation is Any:
        return
    origin = get_origin(annotation)
    if hasattr(annotation, "__value__"):  # `type Banking = Open | Deposit`, from Python 3.12 on
        yield from classes_in(annotation.__value__)
        return
    if origin is None:
        if isinstance(annotation, type):
            yield annotation
        return
    if origin in (Union, types.UnionType, list, tuple, set, frozenset) or (
        isinstance(origin, type) and issubclass(origin, Iterable)
    ):
        for inner in get_args(annotation):
            yield from classes_in(inner)
