"""The next segment, made by a worker thread before it is needed.

To make a file may take as long as the disk likes, and allocation happens on the trio thread. So when little room is left the file
is made beforehand, and while a disk is slow it is made in no other way: who needs it then waits, and nobody else.
"""

import trio

from odxfs.errors import NoSpace, StoreFailed
from odxfs.volume.allocation.space import Space
from odxfs.volume.blocks.segments import Segments
from odxfs.volume.blocks.threads import DiskThreads
from odxfs.volume.disk_condition import DiskCondition


class NextSegment:
    """Of one pool; `run` is its only task."""

    def __init__(self, space: Space, segments: Segments, condition: DiskCondition) -> None:
        self._space = space
        self._segments = segments
        self._condition = condition
        self._threads: DiskThreads = condition.threads
        self._is_making = False
        self._wanted = trio.Event()
        self._settled = trio.Event()
        space.on_little_room = self.want
        segments.may_wait = self._may_wait

    def want(self) -> None:
        """There is little room left, or none."""
        if not self._segments.has_next:
            self._wanted.set()

    async def run(self) -> None:
        """Make one whenever it is wanted, and still is when its turn comes; until cancelled."""
        while True:
            await self._wanted.wait()
            if self._space.has_little_room and not self._segments.has_next:
                await self._make()
            self._wanted = trio.Event()
            self._settled.set()
            self._settled = trio.Event()

    async def made(self) -> bool:
        """After NoSpace: whether a segment was all that was missing, and is there now."""
        if self._may_wait() and not self._segments.has_next:
            return False
        self.want()
        if self._wanted.is_set():
            await self._settled.wait()
        return self._segments.has_next

    def _may_wait(self) -> bool:
        return not self._is_making and not self._threads.is_slow

    async def _make(self) -> None:
        """Without room on the disk there is none: whoever needs it finds that out by himself."""
        self._is_making = True
        try:
            self._segments.keep_next(
                *await self._threads.run_to_the_end("making a segment", self._segments.prepare_next)
            )
        except NoSpace:
            return
        except StoreFailed as error:
            self._condition.latch(str(error))
        finally:
            self._is_making = False
