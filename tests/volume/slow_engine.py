"""A metadata engine that takes its time, as one over a network does."""

import random
from typing import Any

import trio


class SlowEngine:
    """A metadata engine over a network: answers come after a while, in which others have their turn."""

    def __init__(self, engine: Any, choose: random.Random) -> None:
        self._engine = engine
        self._choose = choose

    async def get(self, *arguments: Any) -> Any:
        await self._wait()
        found = await self._engine.get(*arguments)
        await self._wait()
        return found

    async def range(self, *arguments: Any) -> Any:
        await self._wait()
        found = await self._engine.range(*arguments)
        await self._wait()
        return found

    async def _wait(self) -> None:
        for _ in range(self._choose.choice((0, 1, 3, 10))):
            await trio.lowlevel.checkpoint()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)
