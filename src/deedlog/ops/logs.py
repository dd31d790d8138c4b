"""Log lines of a process that runs for long: on stderr, with time and logger."""

import logging

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_to_stderr(*chatty: str) -> None:
    """Our loggers and the `chatty` ones from INFO on, those of libraries from warnings on."""
    logging.basicConfig(format=FORMAT, level=logging.WARNING)
    for name in ("deedlog", *chatty):
        logging.getLogger(name).setLevel(logging.INFO)
