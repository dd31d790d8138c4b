"""A module's declarations as production reads them, for use without stores."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from deedlog.definition import Definition
from deedlog.domain.deciding import Deciding
from deedlog.errors import Misuse
from deedlog.messages.codec import Codec
from deedlog.module import Module
from deedlog.projections.projection import Projection, model_of
from deedlog.reads.model import RowType

T = TypeVar("T")


class Wiring:
    """Raises InvalidDeclaration, as the app would at its start."""

    def __init__(self, module: Module) -> None:
        definition = Definition(module, _AnyService())
        self.projections = definition.projections
        self._codec = Codec(definition.registry)
        self._deciders = {command: kind for kind in definition.aggregates for command in kind.decides}
        self._handled = {handler.command for handler in definition.command_handlers}

    def as_stored(self, message: T) -> T:
        """The message as it comes back from JSON. Raises InvalidMessage for one that can't be stored."""
        data = self._codec.encode(message)
        return self._codec.registry.of(type(message)).decoder.decode(data)  # type: ignore[no-any-return]

    def decider_of(self, command: Any) -> Deciding:
        """The aggregate that decides a command. Raises Misuse when none does."""
        name = type(command).__name__
        found = self._deciders.get(type(command))
        if found is not None:
            return found
        if type(command) in self._handled:
            raise Misuse(f"{name} is answered by a command handler, not by an aggregate", fix="test it with memory_app(…)")
        known = ", ".join(sorted(cls.__name__ for cls in self._deciders)) or "none"
        raise Misuse(f"no aggregate decides {name}", fix=f"declared commands: {known}")

    def model_of(self, cls: type[Any]) -> tuple[Projection, RowType]:
        """The projection and row type of a read model. Raises Misuse for a class that is none."""
        found = model_of(self.projections, cls)
        if found is None:
            known = ", ".join(sorted(m.name for p in self.projections for m in p.projected.models)) or "none"
            raise Misuse(f"{cls.__name__} is no read model of this module", fix=f"declared: {known}")
        return found


class _AnyService(Mapping[Any, Any]):
    """Stands in for the services of handlers that are never called here."""

    def __getitem__(self, wanted: Any) -> None:
        return None

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0
