"""A whole inspection of a running app after a restart, in order."""

import random
from collections.abc import Iterable
from pathlib import Path

from deedlog import App
from tests.torture.checks import (
    Acks,
    Findings,
    Known,
    check_closings,
    check_commands,
    check_order,
    check_receipts,
    check_states,
    check_sums,
    commands_of,
    send,
)
from tests.torture.mending import check_journal, check_mended, check_rolled_back, mend
from tests.torture.plain import Stored, log_of, rows_by_model, rows_of, select

OLDER = 30
"""So many acknowledged commands of earlier rounds are sent again after each restart, besides those of the last."""


async def check_read_models(app: App, path: Path, log: list[Stored], known: Known, found: Findings, dice: random.Random) -> None:
    """P5, P6: the live rows are those of the plain model, and those of a rebuild; the auditor's count is right."""
    await app.catch_up()
    live = rows_of(path)
    found.expect("rows of the live read models", live, rows_by_model(log, known.left))
    check_journal(path, found)
    await check_mended(app, known, found)
    for name, runner in app.running.runners.items():
        checkpoint = await app.running.reads.current(runner.projection.projected)
        counted = (checkpoint.position, checkpoint.events) if checkpoint else None
        found.expect(f"checkpoint of {name}", counted, (len(log), len(log)))
        await app.rebuild(name)
    found.expect("rows after a rebuild", rows_of(path), live)
    await check_rolled_back(app, path, known, found, dice)


async def inspect(
    app: App, path: Path, last: Acks, known: Known, unknown: Iterable[str], found: Findings, dice: random.Random
) -> None:
    """All that must be true of a file. `known` gets those commands that were unknown and are acknowledged now."""
    await mend(app, known, found, dice)
    await check_states(app, path, log_of(path), found)
    known.forget(commands_of(path)[0], found)
    older = dice.sample(sorted(known.acks), min(OLDER, len(known.acks)))
    await check_receipts(app, last | {id: known.acks[id] for id in older}, found)
    known.acks |= last | await send(app, unknown)
    log = log_of(path)
    stored, known.times = commands_of(path)
    check_order(log, found)
    check_commands(stored, log, known, found)
    check_closings(path, log, known, found)
    check_sums(log, found)
    await check_read_models(app, path, log, known, found, dice)
    found.expect("SQLite's own check", select(path, "pragma quick_check"), [("ok",)])
