"""Who moves projections: a name for the leases, and whether the bearer of one is still alive."""

import os
import socket
import sys

from deedlog.ids import new_id
from deedlog.types import Clock

_here: set[str] = set()
"""Names of the workers of this process that have not ended."""


class Worker:
    """One app's runners in one process. `clock` is what its leases are measured by."""

    def __init__(self, clock: Clock) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{new_id()[-12:]}"
        self.clock = clock
        _here.add(self.name)

    def end(self) -> None:
        """It moves nothing any more, whatever leases it has left."""
        _here.discard(self.name)


def is_gone(name: str) -> bool:
    """Whether that worker surely lives no more: it was on this machine, and its process has ended.

    Then nobody waits for its lease to run out. A wrong guess (a process of another container) does no harm: the epoch fences.
    """
    host, _, rest = name.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdigit() or sys.platform == "win32":
        return False
    if int(rest) == os.getpid():
        return name not in _here
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
