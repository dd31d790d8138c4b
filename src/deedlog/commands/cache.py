"""The write-side cache: stream → the state after its last event. It can't lie: each append still checks the version."""

from collections import OrderedDict
from typing import Any

from deedlog.types import StreamName, Version

MAX_AGGREGATES = 10_000


class Cached:
    """An aggregate's state at a version; ahead of the log while appends are on their way: then `tip` is its last event's id.

    `saved` is the version of the last snapshot, `size` the bytes of event data since.
    """

    __slots__ = ("saved", "size", "state", "tip", "version")

    def __init__(self, state: Any, version: Version, saved: Version = 0) -> None:
        self.state = state
        self.version = version
        self.tip: str | None = None
        self.saved = saved
        self.size = 0


class AggregateCache:
    """The most recently used states of one process."""

    def __init__(self, size: int = MAX_AGGREGATES) -> None:
        self._size = size
        self._entries: OrderedDict[StreamName, Cached] = OrderedDict()

    def get(self, stream: StreamName) -> Cached | None:
        found = self._entries.get(stream)
        if found is not None:
            self._entries.move_to_end(stream)
        return found

    def put(self, stream: StreamName, cached: Cached) -> None:
        self._entries[stream] = cached
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, stream: StreamName, cached: Cached) -> None:
        """Forgets this very state; a newer one that took its place stays."""
        if self._entries.get(stream) is cached:
            del self._entries[stream]
