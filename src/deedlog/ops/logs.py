"""Log lines of a process that runs for long: on stderr, with time and logger."""

import logging

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_to_stderr(level: int = logging.INFO) -> None:
    """Ours from `level` on, those of libraries from warnings on."""
    logging.basicConfig(format=FORMAT, level=logging.WARNING)
    logging.getLogger("deedlog").setLevel(level)
