"""Deciders: an aggregate as three plain functions, `initial`, `decide` and `evolve`, and a state of any class.

`decide(command, state)` answers with events; `evolve(state, event)` returns the next state, so that states may be immutable.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from deedlog.domain.deciding import Deciding
from deedlog.domain.signature import Signature
from deedlog.domain.snapshots import Snapshots, StateForm
from deedlog.errors import InvalidDeclaration, Misuse
from deedlog.messages.base import place_of

Functions: TypeAlias = Callable[..., Any] | Sequence[Callable[..., Any]]
"""One function for all messages, or several, each for those of its annotation."""


class DeciderType(Deciding):
    """A decider, read once. Raises InvalidDeclaration."""

    def __init__(
        self,
        name: str,
        *,
        key: str,
        initial: Callable[[], Any],
        decide: Functions,
        evolve: Functions,
        snapshots: Snapshots | None = None,
    ) -> None:
        super().__init__(name, key=key, category=name)
        self._initial = initial
        self._functions = _listed(decide)
        self._check_category()
        self.cls = self._class_of_initial()
        for function in _listed(evolve):
            self._add_evolve(Signature(function))
        emitted = [pair for function in self._functions for pair in self._add_decide(Signature(function))]
        if not self.decides:
            raise InvalidDeclaration(self.place, f"decider {name} decides no command", fix="name a function in decide=")
        self._check_emitted(emitted, "evolve function")
        if snapshots is not None:
            state = self._two(Signature(self._functions[0]), "command, state")[1]
            self.form = StateForm(name, self.place, state, (initial, *_listed(evolve)), snapshots)

    @cached_property
    def place(self) -> str:
        return place_of(next(iter(self._functions), self._initial))

    def _class_of_initial(self) -> type[Any]:
        try:
            state = self._initial()
        except TypeError as error:
            fix = "initial() takes nothing and returns the state before any event"
            raise InvalidDeclaration(place_of(self._initial), f"decider {self.name}: {error}", fix=fix) from error
        if hasattr(state, "__await__"):
            state.close()
            raise InvalidDeclaration(place_of(self._initial), f"initial of decider {self.name} is async", fix="make it plain")
        return type(state)

    def _add_decide(self, signature: Signature) -> Any:
        return self._take_decide(signature, self._two(signature, "command, state")[0])

    def _add_evolve(self, signature: Signature) -> None:
        self._take(self.evolves, signature, self._two(signature, "state, event")[1])
        if signature.returns is type(None):
            raise InvalidDeclaration(signature.place, f"{signature.name} returns None", fix="return the next state")

    @staticmethod
    def _two(signature: Signature, names: str) -> list[Any]:
        signature.refuse_async()
        annotations = list(signature.parameters.values())
        if len(annotations) != 2:
            taken = ", ".join(signature.parameters) or "nothing"
            raise InvalidDeclaration(signature.place, f"{signature.name} takes {taken}", fix=f"it is called with ({names})")
        return annotations

    def initial(self) -> Any:
        return self._initial()

    def decide(self, state: Any, command: Any) -> list[Any]:
        return self._events(command, self.decides[type(command)](command, state))

    def evolve(self, state: Any, event: Any) -> Any:
        function = self.evolves.get(type(event))
        if function is None:
            raise Misuse(
                f"decider {self.name} has no evolve function for {type(event).__name__}",
                fix="the stream has such an event: add one",
            )
        evolved = function(state, event)
        if evolved is None:
            raise Misuse(f"{function.__qualname__} returned None for {type(event).__name__}", fix="return the next state")
        return evolved


def _listed(functions: Functions) -> tuple[Callable[..., Any], ...]:
    return (functions,) if callable(functions) else tuple(functions)
