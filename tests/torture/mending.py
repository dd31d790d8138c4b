"""What an operator does after a bad night: resume, retry, decide what is left out; and what must be true of it then."""

import random
from pathlib import Path

from deedlog import App
from deedlog.projections.letters import Letters
from tests.torture.checks import Findings, Known
from tests.torture.plain import Rows, Stored, log_of, rows_by_model, rows_of, select, without
from tests.torture.service import MODELS

LEAVES_OUT = 0.25
"""So often an event (or all of a key) is left out for good, where something is parked."""
ROLLS_BACK = 0.3
PARKED = "select model, json_extract(key, '$') from deedlog_letters where generation = {}"
LIVE = "select name, generation, position from deedlog_projections where live = 1"
TABLES = {"deedlog_events", "deedlog_projections", "balance", "owner_total", "ledger", "journal"}
WHO = {"by": "torture", "why": "it is time"}


def check_at_once(path: Path, known: Known, found: Findings, *, calm: bool) -> None:
    """Before anything runs: rows are those of their checkpoint, but for parked keys; what is inline is at the head, if calm."""
    if {name for (name,) in select(path, "select name from sqlite_schema")} >= TABLES:
        _check_rows(path, log_of(path), rows_of(path), known, found, calm=calm)
        check_journal(path, found)


def _check_rows(path: Path, log: list[Stored], rows: Rows, known: Known, found: Findings, *, calm: bool) -> None:
    for name, generation, position in select(path, LIVE):
        parked = set(select(path, PARKED.format(generation)))
        wanted = rows_by_model(log[:position], known.left)
        for model in name.split("+"):
            what = f"{model} at {position}, before the restart"
            found.expect(what, without(rows[model], model, parked), without(wanted[model], model, parked))
        if name == "Ledger" and calm:
            found.expect("position of what is inline", position, len(log))


def check_journal(path: Path, found: Findings) -> None:
    """Each account's lines were written in order, also those that were parked for a while."""
    last: dict[str, int] = {}
    for position, account in select(path, "select position, account from journal order by rowid"):
        found.expect(f"line of {position} behind that of {last.get(account, 0)}", position > last.get(account, 0), True)
        last[account] = position


async def mend(app: App, known: Known, found: Findings, dice: random.Random) -> None:
    """Takes up all that is parked; now and then something is left out of a row for good."""
    projections = app.running.projections
    for name in dice.sample(MODELS, len(MODELS)):
        letters = projections.letters_of(name)
        if dice.random() < LEAVES_OUT:
            await _leave_out(app, letters, known, dice)
        found.expect(f"parked again of {name}", list(await letters.retry()), [])
    await app.catch_up()
    for name in MODELS:  # a row that looks up a parked one may have been parked behind the retry
        await projections.letters_of(name).retry()


async def _leave_out(app: App, letters: Letters, known: Known, dice: random.Random) -> None:
    await app.catch_up()  # what is parked for a key stays the same from here on
    failed = await letters.list(failed=True)
    if not failed:
        return
    letter = dice.choice(failed)
    if dice.random() < 0.5:
        known.left.add((letter.model, str(letter.key), letter.position))
        await letters.skip(letter.place, letter.position, **WHO)
    else:
        known.left |= {(one.model, str(one.key), one.position) for one in await letters.list(letter.place, limit=100_000)}
        await letters.purge([letter.place], **WHO)


async def check_mended(app: App, known: Known, found: Findings) -> None:
    """Nothing is parked, what was left out is what somebody decided, the auditor is silent, and a rebuild would say the same."""
    projections = app.running.projections
    skips = set()
    for name in MODELS:
        letters = projections.letters_of(name)
        found.expect(f"letters of {name}", list(await letters.list()), [])
        skips |= {(skip.model, str(skip.key), skip.position) for skip in await letters.skips()}
        if name != "journal":
            compared = (await projections.verify(name)).comparison
            found.expect(f"differences of {name}", (compared.different, compared.examples), (0, []))
    found.expect("what was left out", skips, known.left)
    found.expect("alerts", await projections.audit(whole=True), [])


async def check_rolled_back(app: App, path: Path, known: Known, found: Findings, dice: random.Random) -> None:
    """Now and then the generation before is live again, and perhaps this one after all: its rows are the same."""
    projections = app.running.projections
    for name in ("Balance", "Ledger"):
        if dice.random() < ROLLS_BACK:
            await projections.rollback(name)
            await app.catch_up()
            if dice.random() < 0.5:
                await projections.switch(name)
                await app.catch_up()
            found.expect(f"rows after {name} was rolled back", rows_of(path), rows_by_model(log_of(path), known.left))
