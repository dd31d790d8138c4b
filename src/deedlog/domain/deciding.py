"""What dispatch knows of an aggregate or a decider: who decides which command, what evolves by which event."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from deedlog.domain.signature import Signature, classes_in
from deedlog.domain.snapshots import StateForm
from deedlog.errors import InvalidDeclaration, InvalidMessage, Misuse
from deedlog.messages.base import Event, place_of
from deedlog.messages.streams import check_stream
from deedlog.types import StreamName


class Deciding(ABC):
    """The one shape of `AggregateType` and `DeciderType`. States are opaque: `evolve` gives the next one."""

    cls: type[Any]
    """The class of its states."""

    form: StateForm | None
    """How its states are saved; None where no snapshots are asked for."""

    def __init__(self, name: str, *, key: str, category: str) -> None:
        self.name = name
        self.key = key
        self.category = category
        self.form = None
        self.decides: dict[type[Any], Callable[..., Any]] = {}
        self.evolves: dict[type[Any], Callable[..., Any]] = {}

    @property
    @abstractmethod
    def place(self) -> str:
        """`file:line` of the declaration."""

    @abstractmethod
    def initial(self) -> Any:
        """The state before the first event."""

    @abstractmethod
    def decide(self, state: Any, command: Any) -> list[Any]:
        """The events that answer `command` on `state`. Raises what the function raises; Misuse when it returns no events."""

    @abstractmethod
    def evolve(self, state: Any, event: Any) -> Any:
        """The state after one more event; it may be the same object. Raises Misuse for an event that nothing evolves by."""

    def stream_of(self, command: Any) -> StreamName:
        """`category-key`. Raises InvalidMessage when the key can't name a stream."""
        return self.stream_named(getattr(command, self.key), type(command).__name__)

    def stream_named(self, key: Any, asked_by: str) -> StreamName:
        """The stream of one key. Raises InvalidMessage, naming `asked_by`, when the key can't name a stream."""
        if key is None:
            raise InvalidMessage(asked_by, self.key, "None names nothing", fix="send the key")
        try:
            return check_stream(f"{self.category}-{key}")
        except InvalidMessage as error:
            raise InvalidMessage(asked_by, self.key, error.problem, fix=error.fix) from None

    def _events(self, command: Any, result: Any) -> list[Any]:
        """What a decide function returned, as a list."""
        if type(result) in self.evolves:
            return [result]
        if result is None:
            return []
        events = list(result) if isinstance(result, list | tuple | Iterator) else [result]
        for event in events:
            if type(event) not in self.evolves:
                raise Misuse(f"deciding {type(command).__name__} gave {event!r}, which {self.name} can't evolve by")
        return events

    def _take(self, known: dict[type[Any], Callable[..., Any]], signature: Signature, message: Any) -> list[type[Any]]:
        """Notes the function of `signature` for each class in the annotation `message`."""
        messages = list(classes_in(message))
        if not messages:
            raise InvalidDeclaration(signature.place, f"{signature.name} is annotated with no message class")
        for cls in messages:
            if cls in known:
                raise InvalidDeclaration(signature.place, f"{cls.__name__} is already handled at {place_of(known[cls])}")
            known[cls] = signature.function
        return messages

    def _take_decide(self, signature: Signature, message: Any) -> Iterator[tuple[type[Any], str]]:
        """Notes a decide function; the events it says that it returns, and where."""
        for command in self._take(self.decides, signature, message):
            names = getattr(command, "__struct_fields__", None) or getattr(command, "__annotations__", {})
            if self.key not in names:
                raise InvalidDeclaration(
                    signature.place,
                    f"{command.__name__} has no field '{self.key}', the key of {self.name}",
                    fix="add the field",
                )
        yield from ((event, signature.place) for event in classes_in(signature.returns))

    def _check_emitted(self, emitted: Iterable[tuple[type[Any], str]], evolving: str) -> None:
        for event, place in emitted:
            if event is not Event and event not in self.evolves:
                raise InvalidDeclaration(
                    place,
                    f"{self.name} emits {event.__name__}, but no {evolving} takes it",
                    fix="add one; its body may be empty",
                )

    def _check_category(self) -> None:
        try:
            check_stream(f"{self.category}-x")
            wrong = "-" in self.category
        except InvalidMessage:
            wrong = True
        if wrong:
            raise InvalidDeclaration(self.place, f"'{self.category}' can't be a category", fix="letters, digits and underscores")
