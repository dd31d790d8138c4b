"""When a state is saved so that a load need not fold from the start, and how a state becomes text and comes back."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from deedlog.errors import InvalidDeclaration
from deedlog.messages.code import digest_of_code


class Snapshots(msgspec.Struct, frozen=True):
    """When to save the state of a stream: as soon as one of these says so.

    `every`: so many events since the last one. `bytes`: so many of event data since the last one. `age`: at a load that had
    events to fold, when the last one is older, or there is none. Raise `version` when what the evolving code *calls* has
    changed; a change of that code itself, or of the state's fields, is noticed.
    """

    every: int | None = None
    bytes: int | None = None
    age: timedelta | None = None
    version: int = 1

    def is_due(self, events: int, size: int, age: timedelta | None = None) -> bool:
        """Whether a state is to be saved that is `events` events, `size` bytes and `age` after the last; None: not asked."""
        return events > 0 and (
            (self.every is not None and events >= self.every)
            or (self.bytes is not None and size >= self.bytes)
            or (self.age is not None and age is not None and age > self.age)
        )

    def problem(self) -> str:
        """What is wrong with it; empty when nothing is."""
        limits = (self.every, self.bytes, self.age)
        if all(limit is None for limit in limits):
            return "Snapshots() never saves one"
        if (self.every is not None and self.every < 1) or (self.bytes is not None and self.bytes < 1):
            return f"{self} saves nothing new"
        return f"{self} has a negative age" if self.age is not None and self.age < timedelta(0) else ""


class StateForm:
    """States of one class as JSON text. `definition` is a digest of the code that folds them.

    Raises InvalidDeclaration at `place` for a policy that can't work, or a class of states that can't be stored.
    """

    def __init__(self, name: str, place: str, state: Any, folding: Sequence[Callable[..., Any]], policy: Snapshots) -> None:
        self.policy = policy
        if problem := policy.problem():
            raise InvalidDeclaration(place, f"{name}: {problem}", fix="Snapshots(every=100)")
        try:
            self._decoder = msgspec.json.Decoder(state)
            schema = json.dumps(msgspec.json.schema(state), sort_keys=True, default=repr)
        except (TypeError, NameError) as error:
            raise InvalidDeclaration(
                place, f"a snapshot of {name} can't be stored: {error}", fix="give its state plain data types, or no snapshots="
            ) from error
        self._encode = msgspec.json.Encoder().encode
        self.definition = digest_of_code(folding, schema, str(policy.version))

    def encode(self, state: Any) -> str:
        """The text of a state. Raises ValueError for one that would come back as another."""
        data = self._encode(state)
        if self._decoder.decode(data) != state:
            raise ValueError("it comes back from JSON as another: a value is not of the field's type, or has no equality")
        return data.decode()

    def decode(self, text: str) -> Any:
        """The state of a text. Raises msgspec.DecodeError where the text does not fit."""
        return self._decoder.decode(text)
