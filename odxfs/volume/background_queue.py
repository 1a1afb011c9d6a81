"""Work that goes on behind its caller's back, one thing after the other, and is finished by the next owner if need be."""

import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

from odxfs.errors import ReadOnly, VolumeError

T = TypeVar("T")

_log = logging.getLogger(__name__)


class BackgroundQueue(Generic[T]):
    """Does `work` for each thing that is queued; `run` is its only task. What it does must bear being cut off and done again."""

    def __init__(self, work: Callable[[T], Awaitable[None]], what: str) -> None:
        self._work = work
        self._what = what
        """Completes "deleting ... failed"."""
        self._queue_in, self._queue = trio.open_memory_channel[T](float("inf"))
        self._settled = trio.Event()
        self.waiting = 0
        """Things queued or under way."""

    def enqueue(self, thing: T) -> None:
        """Have it done; returns at once."""
        self.waiting += 1
        self._queue_in.send_nowait(thing)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to be done."""
        return not self.waiting

    async def settle(self) -> None:
        """Wait until everything queued is done, or has failed."""
        while not self.is_settled:
            await self._settled.wait()

    async def run(self) -> None:
        """Do what is queued, until cancelled."""
        async for thing in self._queue:
            try:
                await self._work(thing)
            except ReadOnly as error:  # the log says that of the pool
                _log.info("%s %s has to wait until the pool is opened again: %s", self._what, thing, error)
            except VolumeError as error:
                # What marks it as to be done stays: nothing is lost but the space, until the pool is opened again.
                _log.error("%s %s has to wait until the pool is opened again: %s", self._what, thing, error)
            self.waiting -= 1
            if self.is_settled:
                self._settled.set()
                self._settled = trio.Event()
