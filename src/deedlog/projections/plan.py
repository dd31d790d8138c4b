"""What a batch of events asks for, before any row is there: which handlers, which keys, which rows to load. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from deedlog.messages.envelope import RecordedEvent
from deedlog.projections.keyed import Handler
from deedlog.projections.projection import Projection
from deedlog.reads.model import Key
from deedlog.reads.values import STREAM, Letter, Parked, Place, Wanted

Folded: TypeAlias = tuple[RecordedEvent, Any]
"""A recorded event with its decoded object, or with the error that decoding it gave."""
Selected: TypeAlias = Mapping[str, Collection[Key]]
"""By read model, the keys that are wanted; models that are not in it are wanted whole."""
NOTHING = Parked()


class Step(msgspec.Struct, frozen=True, gc=False):
    """One handler's part in one event: the keys (or values of its `where` column) that it concerns."""

    recorded: RecordedEvent
    event: Any
    handler: Handler
    keys: Sequence[Any]


class Plan(msgspec.Struct, frozen=True):
    """What to do for a batch, in order, the rows that it needs, and the events whose keys can't be told."""

    steps: Sequence[Step]
    wanted: Wanted
    letters: Sequence[Letter]


def plan(projection: Projection, batch: Iterable[Folded], parked: Parked = NOTHING, selected: Selected | None = None) -> Plan:
    """The plan of a batch. An event that can't be decoded, or whose key can't be computed, parks its stream."""
    steps: list[Step] = []
    keys: dict[str, set[Key]] = {fold.model.name: set() for fold in projection.folds}
    where: dict[tuple[str, str], set[Any]] = {}
    letters: list[Letter] = []
    streams = {key for model, key in parked.places if model == STREAM} if parked.places else set()
    handlers, skips = projection.handlers, parked.skips
    for recorded, event in batch:
        if streams and recorded.stream in streams:
            letters.append(letter_of(recorded, STREAM, recorded.stream))
            continue
        if skips and skipped(parked, (STREAM, recorded.stream), recorded):
            continue
        try:
            if isinstance(event, Exception):
                raise event
            found = [Step(recorded, event, handler, handler.keys(event)) for handler in handlers[type(event)]]
        except Exception as error:
            letters.append(letter_of(recorded, STREAM, recorded.stream, error))
            streams.add(recorded.stream)
            continue
        for step in found:
            handler = step.handler
            model = handler.model.name
            if handler.column is not None:
                where.setdefault((model, handler.column), set()).update(step.keys)
            else:
                if selected is not None and model in selected:
                    step = msgspec.structs.replace(step, keys=[key for key in step.keys if key in selected[model]])
                    if not step.keys:
                        continue
                keys[model].update(step.keys)
            for lookup in handler.lookups:
                if (key := getattr(event, lookup.model.key)) is not None:
                    keys[lookup.model.name].add(key)
            steps.append(step)
    return Plan(steps, Wanted(keys, where), letters)


def skipped(parked: Parked, place: Place, recorded: RecordedEvent) -> bool:
    return bool(parked.skips) and recorded.position in parked.skips.get(place, ())


def letter_of(recorded: RecordedEvent, model: str, key: Key, error: BaseException | str | None = None) -> Letter:
    """A dead letter, parked at the event's own time: a fold knows no clock."""
    words = error if isinstance(error, str) or error is None else f"{type(error).__name__}: {error}"
    return Letter(model, key, recorded.position, recorded.stream, recorded.name, recorded.recorded_at, words)
