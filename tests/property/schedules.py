"""Event loops whose order of work is decided by a seed, so that a bad interleaving is found again."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class SeededLoop(asyncio.SelectorEventLoop):
    """Puts a callback off by a round now and then: what is ready together runs in an order that the seed decides."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    def call_soon(  # type: ignore[override]  # the types of `args` say no more here
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        if self._chance.random() < 0.3:
            return super().call_soon(self._once_more, callback, args, context)
        return super().call_soon(callback, *args, context=context)

    def _once_more(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None) -> None:
        super().call_soon(callback, *args, context=context)


def run(chance: random.Random, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of `main()` on a loop of its own. Without threads, the same chance gives the same interleaving."""
    with asyncio.Runner(loop_factory=lambda: SeededLoop(chance)) as runner:
        return runner.run(main())


async def rounds(count: int) -> None:
    """Lets others run `count` times."""
    for _ in range(count):
        await asyncio.sleep(0)
