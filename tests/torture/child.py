"""The child that is killed: `python -m tests.torture.child FILE SEED [OPTIONS]` works on a file until somebody stops it."""

import asyncio
import sys

import msgspec

from tests.faults.bank import short_leases, unfoldable
from tests.torture.background import workers
from tests.torture.load import Load, Options
from tests.torture.service import torture_app


async def main(url: str, seed: str, options: Options) -> None:
    unfoldable.update(options.unfoldable)
    async with torture_app(url) as app:
        load = Load(app, seed, options)
        await asyncio.gather(load.work(), *workers(load))


if __name__ == "__main__":
    short_leases()
    path, seed, *rest = sys.argv[1:]
    asyncio.run(main(f"sqlite:///{path}", seed, msgspec.json.decode(rest[0] if rest else "{}", type=Options)))
