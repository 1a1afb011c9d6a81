"""The next segment, made by a worker thread before it is needed.

To make a file may take as long as the disk likes, and allocation happens on the trio thread. So when little room is left the file
is made beforehand, and while a disk is slow it is made in no other way: who needs it then waits, and nobody else.
"""

import trio

from odxfs.errors import NoSpace, StoreFailed
from odxfs.volume.allocation.space import Space
from odxfs.volume.blocks.segments import Segments
from odxfs.volume.disk_condition import DiskCondition


class _Round:
    """One look at whether a segment is needed, and the making of it."""

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.has_room = True
        """False when the disk had no room for it."""


class NextSegment:
    """Of one pool; `run` is its only task."""

    def __init__(self, space: Space, segments: Segments, condition: DiskCondition) -> None:
        self._space = space
        self._segments = segments
        self._condition = condition
        self._runs = False
        self._wanted = trio.Event()
        self._round = _Round()
        space.on_little_room = self.want
        segments.may_wait = self._may_wait

    def want(self) -> None:
        """There is little room left, or none."""
        self._wanted.set()

    async def run(self) -> None:
        """Make one whenever it is wanted and still is when its turn comes, until cancelled."""
        self._runs = True
        try:
            while True:
                await self._wanted.wait()
                self._wanted = trio.Event()
                this, self._round = self._round, _Round()
                try:
                    if self._space.has_little_room and not self._segments.has_next:
                        this.has_room = await self._make()
                finally:
                    this.ended.set()
        finally:
            self._runs = False
            self._round.ended.set()

    async def wait(self) -> bool:
        """After SegmentBeingMade: return when it is worth to try again; False: the disk had no room for a segment."""
        this = self._round
        self.want()
        await this.ended.wait()
        return this.has_room

    def _may_wait(self) -> bool:
        """Whether a segment may be made on the trio thread. It must where nobody else does it (while a pool is closed)."""
        return not self._runs or not (self._segments.next_is_being_made or self._condition.threads.is_slow)

    async def _make(self) -> bool:
        segments = self._segments
        segments.next_is_being_made = True
        try:
            descriptor = await self._condition.threads.run_to_the_end(
                "making a segment", segments.make_file, segments.count
            )
            segments.keep_next(descriptor)
        except NoSpace:
            return False
        except StoreFailed as error:
            self._condition.latch(str(error))
        finally:
            segments.next_is_being_made = False
        return True
