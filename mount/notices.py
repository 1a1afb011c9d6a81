"""Notices to the kernel that may block: told by worker threads, in lanes that do not wait for each other.

The kernel takes a notice of a name when it has the directory's lock, which a program may hold that waits for us or for a client
of the share. So each directory is a lane, and all old pages are one: what is stuck in a few keeps nothing else from being told.
"""

from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Generic, TypeVar

import trio

MOST_THREADS = 16
"""Lanes that are told at a time, each by a thread of its own."""

L = TypeVar("L", bound=Hashable)
N = TypeVar("N")


class _Lane(Generic[N]):
    """What is to be told next, each notice once; what is being told; and who wants to know when the former is told."""

    __slots__ = ("events", "next", "under_way")

    def __init__(self) -> None:
        self.next: dict[N, None] = {}
        self.under_way: dict[N, None] = {}
        self.events: list[trio.Event] = []


class Notices(Generic[L, N]):
    """`tell` takes one lane's notices in a worker thread and may block; `told` is called on the trio thread afterwards."""

    def __init__(
        self, tell: Callable[[Iterable[N]], None], told: Callable[[Iterable[N]], None] | None = None
    ) -> None:
        self._tell = tell
        self._told = told
        self._lanes: dict[L, _Lane[N]] = {}
        """Those that have something to tell or are telling; each has a task once `run` has begun."""
        self._threads = trio.CapacityLimiter(MOST_THREADS)
        self._nursery: trio.Nursery | None = None

    def add(self, key: L, notice: N) -> None:
        """Tell it a moment later, after what the lane was given before; once more where it is being told now."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
            if self._nursery is not None:
                self._nursery.start_soon(self._serve, key, lane)
        lane.next[notice] = None

    def is_untold(self, key: L, notice: N) -> bool:
        """Whether the kernel may not know it yet."""
        lane = self._lanes.get(key)
        return lane is not None and (notice in lane.next or notice in lane.under_way)

    async def caught_up(self, keys: Collection[L] = ()) -> None:
        """Return when everything is told that was added until now to the lanes of `keys`; without any, to all."""
        events = []
        for key, lane in self._lanes.items():
            if keys and key not in keys:
                continue
            event = trio.Event()
            lane.events.append(event)
            events.append(event)
        for event in events:
            await event.wait()

    async def run(self) -> None:
        """Tell until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                for key, lane in self._lanes.items():
                    nursery.start_soon(self._serve, key, lane)
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def _serve(self, key: L, lane: _Lane[N]) -> None:
        while lane.next or lane.events:
            lane.under_way, lane.next = lane.next, {}
            events, lane.events = lane.events, []
            await trio.to_thread.run_sync(self._tell, lane.under_way, limiter=self._threads)
            if self._told is not None:
                self._told(lane.under_way)
            lane.under_way = {}
            for event in events:
                event.set()
        del self._lanes[key]
