"""Named fault points: places where a test, or `DEEDLOG_FAULT=`, makes the process die, stop or fail.

Each write transaction has three, by the name of its work (see `WORKS`):

    append.begin     before it holds the lock
    append.commit    all is written, nothing is committed
    append.done      committed, and nobody has heard of it

Nothing is armed unless somebody asks: `append.commit=kill@3` kills the process when it comes there for the third time.
"""

import signal
import threading
from typing import Literal, TypeAlias, get_args

from deedlog.errors import Misuse, Unavailable

Action: TypeAlias = Literal["kill", "stop", "fail"]
STEPS = ("begin", "commit", "done")
WORKS = (
    "schema",
    "append",
    "close",
    "import",
    "snapshot",
    "forget",
    "prepare",
    "project",
    "rebuild",
    "switch",
    "lease",
)
POINTS = tuple(f"{work}.{step}" for work in WORKS for step in STEPS)


class _Fault:
    """What is to happen at one point, the `at`-th time that somebody comes there (kill, stop) or until then (fail)."""

    def __init__(self, action: Action, at: int) -> None:
        self.action = action
        self.at = at
        self.seen = 0

    def hit(self, point: str) -> None:
        self.seen += 1
        if self.action == "fail" and self.seen <= self.at:
            raise Unavailable(f"fault point {point}: told to fail", fix="try again; somebody set DEEDLOG_FAULT")
        if self.seen == self.at:
            what = signal.SIGKILL if self.action == "kill" else signal.SIGSTOP
            signal.pthread_kill(threading.get_ident(), what)  # to this thread: with os.kill it may run on before the stop


armed: dict[str, _Fault] = {}


def arm(spec: str) -> None:
    """Arms `point=action` or `point=action@count`, several with commas; an empty text arms nothing and disarms all.

    `kill` and `stop` (SIGSTOP) happen at the count-th time, `fail` (Unavailable) up to it. Raises Misuse for words it does
    not know.
    """
    armed.clear()
    for part in filter(None, (part.strip() for part in spec.split(","))):
        point, _, what = part.partition("=")
        action, _, count = what.partition("@")
        if point not in POINTS:
            raise Misuse(f"DEEDLOG_FAULT: there is no fault point '{point}'", fix=f"one of {', '.join(POINTS)}")
        if action not in get_args(Action) or not (count or "1").isdigit() or count == "0":
            raise Misuse(f"DEEDLOG_FAULT: '{what}' at {point}", fix="kill, stop or fail, and @count from 1 on")
        armed[point] = _Fault(action, int(count or 1))  # type: ignore[arg-type]  # one of them, looked at above


def hit(work: str, step: str) -> None:
    """Somebody came to a point. To be called as `if armed: hit(…)`."""
    fault = armed.get(f"{work}.{step}")
    if fault is not None:
        fault.hit(f"{work}.{step}")
