"""What runs beside the callers in a child: what operators, importers and other processes do, over and over."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from deedlog import DeedlogError, Misuse
from tests.faults.bank import unfoldable
from tests.torture.load import Load, imported_of, say
from tests.torture.service import MODELS

Worker: TypeAlias = Callable[[Load, random.Random], Awaitable[None]]
WHO = {"by": "torture", "why": "it is time"}
LONGEST_PAUSE = 0.1
REFUSALS = ("generation", "keys that the live rows have")
"""What an operator may be told: no generation is kept or was rolled back; a rebuild with folds that fail would park keys."""
FOLDS = tuple(name for name in MODELS if name != "journal")


async def repeat(load: Load, worker: Worker, most: float) -> None:
    """Over and over, after a break of at most so many seconds."""
    dice = random.Random(f"{load.seed}-{worker.__name__}")
    while True:
        await asyncio.sleep(dice.uniform(most / 8, most))
        try:
            await worker(load, dice)
        except Misuse as error:
            if not any(words in error.message for words in REFUSALS):
                raise
        except DeedlogError:  # another process does the same
            continue


async def rebuild(load: Load, dice: random.Random) -> None:
    await load.app.rebuild(dice.choice(MODELS))


async def rebuild_calmly(load: Load, dice: random.Random) -> None:
    """Not what is inline: it would be behind for a while."""
    await load.app.rebuild(dice.choice(["OwnerTotal", "journal"]))


async def roll_back(load: Load, dice: random.Random) -> None:
    name = dice.choice(FOLDS)
    projections = load.app.running.projections
    await projections.rollback(name)
    if dice.random() < 0.5:
        await projections.switch(name)


async def pause(load: Load, dice: random.Random) -> None:
    name = dice.choice(MODELS)
    await load.app.running.projections.pause(name, **WHO)
    await asyncio.sleep(dice.uniform(0, LONGEST_PAUSE))
    await load.app.running.projections.resume(name)


async def verify(load: Load, dice: random.Random) -> None:
    await load.app.running.projections.verify(dice.choice(FOLDS))


async def repair(load: Load, dice: random.Random) -> None:
    await load.app.running.projections.repair(dice.choice(FOLDS))


async def retry(load: Load, dice: random.Random) -> None:
    """As somebody does who has mended the folds, or only thinks so."""
    held = set(unfoldable)
    if dice.random() < 0.5:
        unfoldable.clear()
    try:
        await load.app.running.projections.letters_of(dice.choice(MODELS)).retry()
    finally:
        unfoldable.update(held)


async def import_events(load: Load, dice: random.Random) -> None:
    """A few deposits from elsewhere, behind accounts that commands go to."""
    id = load.next_import()
    done = await load.app.running.store.import_events([load.imported(f"account-{e.account}", e, id) for e in imported_of(id)])
    say(f"{id} {done.stream} {done.version} {done.position} {done.count}")


async def close(load: Load, dice: random.Random) -> None:
    """Closes a new stream: of an account that no command goes to."""
    id = load.next_import()
    stream = f"closed-{id}"
    store = load.app.running.store
    await store.import_events([load.imported(stream, event, id) for event in imported_of(id)])
    closing = await store.close_stream(stream, by="torture", why="it is time")
    say(f"CLOSED {stream} {closing.version}")


async def forget(load: Load, dice: random.Random) -> None:
    await load.app.running.store.forget_commands(load.forget_before, dice.randrange(1, 20))


CALM: dict[Worker, float] = {rebuild_calmly: 0.08, forget: 0.08, retry: 0.3, verify: 0.5, repair: 0.5}
"""These leave what is inline at the head of the log; with the seconds of the longest break."""
WILD: dict[Worker, float] = {rebuild: 0.08, roll_back: 0.2, pause: 0.3, import_events: 0.08, close: 0.08}


def workers(load: Load) -> list[Awaitable[None]]:
    wanted = CALM if load.options.calm else {**CALM, **WILD}
    return [repeat(load, worker, most) for worker, most in wanted.items()]
