"""What a service does when the disk is full, and when there is space again.

`python -m tests.faults.space FILE` has no space because of a limit on the size of files.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from decimal import Decimal

from deedlog import App, Receipt, Stale, Unavailable
from tests.faults.bank import Deposit, GetBalance, Open, bank_app

ENOUGH = 5_000
"""So many commands fill whatever is small."""


async def full_and_then_not(path: str, take: Callable[[App], None], give_back: Callable[[App], None]) -> None:
    """Takes all space away under a running app, and gives it back. Fails with an AssertionError."""
    async with bank_app(f"sqlite:///{path}") as app:
        await app.execute(Open("a", "Ann"), id="open")
        await app.catch_up()
        take(app)
        acknowledged, refusal = await until_refused(app)
        assert refusal.fix
        assert not isinstance(refusal, Stale)
        await still_reads(app, len(acknowledged))
        for outcome in await asyncio.gather(*(deposit(app, f"more{n}") for n in range(16)), return_exceptions=True):
            assert isinstance(outcome, Unavailable), outcome
        await still_reads(app, len(acknowledged))
        give_back(app)
        receipt = await deposit(app, "afterwards")
        assert receipt.position == 1 + len(acknowledged) + 1
        answer = await app.ask(GetBalance("a"), after=receipt.token, timeout=20)
        assert answer.value.deposits == len(acknowledged) + 1
        for id, acknowledged_then in acknowledged.items():
            assert await deposit(app, id) == acknowledged_then
    async with bank_app(f"sqlite:///{path}") as app:
        assert await app.running.store.head() == 1 + len(acknowledged) + 1


async def until_refused(app: App) -> tuple[dict[str, Receipt], Unavailable]:
    """The receipts of what was stored, and the error of what was not."""
    acknowledged: dict[str, Receipt] = {}
    for number in range(ENOUGH):
        try:
            acknowledged[f"d{number}"] = await deposit(app, f"d{number}")
        except Unavailable as error:
            return acknowledged, error
    raise AssertionError(f"{ENOUGH} commands, and there is still space")


async def deposit(app: App, id: str) -> Receipt:
    return await app.execute(Deposit("a", Decimal(1)), id=id, actor="a name that takes space " * 40)


async def still_reads(app: App, deposits: int) -> None:
    assert (await app.ask(GetBalance("a"))).value.owner == "Ann"
    assert await app.running.store.head() == 1 + deposits
    assert len(await app.running.store.read_all(0, ENOUGH)) == 1 + deposits


def limit_files(to: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (to, resource.RLIM_INFINITY))


def main(path: str) -> None:
    import resource

    def take(app: App) -> None:
        limit_files(os.stat(f"{path}-wal").st_size + 100_000)  # noqa: PTH116

    asyncio.run(full_and_then_not(path, take, lambda app: limit_files(resource.RLIM_INFINITY)))


if __name__ == "__main__":
    main(sys.argv[1])
