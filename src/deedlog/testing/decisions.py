"""Given events, when a command, then events or a refusal: decisions without a store, an event loop or a clock."""

import copy
import re
from collections.abc import Callable
from typing import Any

from deedlog.errors import DomainError
from deedlog.testing.expect import apart, fail, fields_of, listed, parted
from deedlog.testing.wiring import Wiring


class History:
    """What has happened to one aggregate."""

    def __init__(self, wiring: Wiring, events: tuple[Any, ...]) -> None:
        self._wiring = wiring
        self.events = events

    def when(self, command: Any) -> "Decision":
        """Decides `command` on the state that the events leave. Raises what production would raise, except refusals."""
        __tracebackhide__ = True
        return Decision(self._wiring, self.events, command)


class Decision:
    """What an aggregate answered. `events` is empty when it refused; `refusal` says why; `state` is what it is now.

    Each `then…` returns this decision, so that expectations chain; `when` goes on with the next command.
    """

    def __init__(self, wiring: Wiring, before: tuple[Any, ...], command: Any) -> None:
        __tracebackhide__ = True
        kind = wiring.decider_of(command)
        kind.stream_of(command)  # refuses a key that can't name a stream
        self._wiring = wiring
        self._before = before
        self.command = wiring.as_stored(command)
        self.events: tuple[Any, ...] = ()
        self.refusal: DomainError | None = None
        self.state = kind.initial()
        for event in before:
            self.state = kind.evolve(self.state, wiring.as_stored(event))
        untouched = copy.deepcopy(self.state)
        try:
            self.events = tuple(wiring.as_stored(event) for event in kind.decide(self.state, self.command))
        except DomainError as error:
            self.refusal = error
        self._check_untouched(untouched)
        for event in self.events:
            self.state = kind.evolve(self.state, event)

    def _check_untouched(self, before: Any) -> None:
        """Deciding must not mutate: what it would change is not in the log. Fields that can't be compared are passed over."""
        __tracebackhide__ = True
        twin = copy.deepcopy(before)
        changed = [
            f"    {name}: {getattr(before, name)!r} became {getattr(self.state, name)!r}"
            for name in fields_of(before)
            if getattr(before, name) == getattr(twin, name) != getattr(self.state, name)
        ]
        if not fields_of(before) and before == twin != self.state:  # a state of a decider may be a plain value
            changed = [f"    {before!r} became {self.state!r}"]
        if changed:
            fail(
                f"deciding {self.command!r} changed the state",
                "\n".join(changed),
                "  return an event and change the state where it evolves (@evolve)",
            )

    def then(self, *events: Any) -> "Decision":
        """These events, in this order, and no others."""
        __tracebackhide__ = True
        expected = [self._wiring.as_stored(event) for event in events]
        if self.refusal is not None:
            fail(f"{self.command!r} was refused: {self.refusal}", listed("expected", expected))
        difference = parted(expected, self.events, "event")
        if difference:
            fail(f"{self.command!r} gave other events", listed("expected", expected), listed("actual", self.events), difference)
        return self

    def then_nothing(self) -> "Decision":
        """Neither events nor a refusal."""
        __tracebackhide__ = True
        return self.then()

    def then_refused(self, match: str = "", *, code: str | None = None, **data: Any) -> "Decision":
        """A refusal whose text has the regular expression `match`, with this `code` and at least these `data`."""
        __tracebackhide__ = True
        refusal = self.refusal
        if refusal is None:
            fail(f"{self.command!r} was not refused", listed("actual", self.events))
        shown = f"  actual: {type(refusal).__name__}: {refusal}"
        if not re.search(match, str(refusal)):
            fail(f"{self.command!r} was refused with other words", f"  expected: {match}", shown)
        if code is not None and refusal.code != code:
            fail(f"{self.command!r} was refused with code {refusal.code!r}, not {code!r}", shown)
        wrong = apart(data, refusal.data)
        if wrong:
            fail(f"{self.command!r} was refused with other data", wrong, shown)
        return self

    def then_state(self, check: Callable[[Any], object] | None = None, **fields: Any) -> "Decision":
        """The state afterwards has these fields, and `check` of it is not false: `.then_state(price=Decimal(5))`."""
        __tracebackhide__ = True
        wrong = apart(fields, self.state)
        if wrong:
            fail(f"after {self.command!r} the state is another", wrong, listed("state", [self.state]))
        if check is not None and check(self.state) is False:
            fail(f"after {self.command!r} the state does not pass the check", listed("state", [self.state]))
        return self

    def when(self, command: Any) -> "Decision":
        """Decides the next command, on what has happened so far."""
        __tracebackhide__ = True
        return Decision(self._wiring, (*self._before, *self.events), command)
