"""Pools for tests that are not async: a trio run in a thread, and calls into it that return when they are done."""

import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import trio

from odxfs.volume import Pool, open_pool

T = TypeVar("T")


class OpenedPool:
    """A pool that is kept open by a task of the portal."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.closing = trio.Event()
        self.closed = trio.Event()


class Portal:
    """`call(function, ...)` runs an async function in the thread's trio run. A context manager."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=trio.run, args=(self._main,), name="portal", daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> "Portal":
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *failure: object) -> None:
        self.call(self._end)
        self._thread.join()

    def call(self, function: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Run `await function(*arguments)` and return its result or raise its error."""
        return trio.from_thread.run(function, *arguments, trio_token=self._token)

    def open_pool(self, directory: Path) -> OpenedPool:
        """Open a pool and keep it open until `close_pool`."""
        return self.call(self._start, directory)

    def close_pool(self, opened: OpenedPool) -> None:
        """Leave the pool as its owner does who ends in order."""
        self.call(self._close, opened)

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._done = trio.Event()
        async with trio.open_nursery() as self._nursery:
            self._ready.set()
            await self._done.wait()

    async def _end(self) -> None:
        self._done.set()

    async def _start(self, directory: Path) -> OpenedPool:
        opened: OpenedPool = await self._nursery.start(self._keep, directory)
        return opened

    async def _keep(self, directory: Path, *, task_status: trio.TaskStatus[OpenedPool]) -> None:
        async with open_pool(directory, owner="model") as pool:
            opened = OpenedPool(pool)
            task_status.started(opened)
            await opened.closing.wait()
        opened.closed.set()

    async def _close(self, opened: OpenedPool) -> None:
        opened.closing.set()
        await opened.closed.wait()
