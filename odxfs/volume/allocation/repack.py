"""Re-packing: what a disk that was written at random has in many pieces is put together again, when nobody writes to it.

Only leaves that one file alone holds, with blocks that no other leaf names: so nothing that is shared is ever copied, and no
space is taken but for a moment. The data is read and verified, written to free blocks in long runs, and then, in one step
and if the leaf is what it was, the leaf names the new blocks and the old ones are freed. For everybody else nothing has
happened: no time changes, nobody is told. A crash meanwhile leaves the old blocks or the new ones, as the commits say.
"""

import logging
from array import array
from collections import OrderedDict
from typing import TYPE_CHECKING

import trio

from odxfs.errors import Corrupt, NoSpace, NotFound, StoreFailed, VolumeError
from odxfs.types import BLOCK_BYTES, BLOCKS_PER_LEAF, LeafId
from odxfs.volume.allocation.survey import Fragmented, Survey, print_of
from odxfs.volume.leaf import Leaf, Run
from odxfs.volume.reads import Piece

if TYPE_CHECKING:
    from odxfs.volume.extents import ExtentMap
    from odxfs.volume.pool import Pool
    from odxfs.volume.tree.inodes import Inode

TURN_SECONDS = 1.0

QUIET_NS = 60_000_000_000
"""A leaf that was written in the last minute is likely to be written again."""

_SURVEYED_LEAVES = 64
"""Leaves looked at in a turn, 50 us each: 1 TB in half an hour."""

_BUSY_BLOCKS = 256
"""Blocks that others write in a turn from which on the pool is busy."""

_LEAVES_A_TURN = {True: 1, False: 8}
"""Leaves re-packed in a turn when the pool is busy and when it is not: 8 and 64 MiB/s."""

_WAITING = 1024
"""Leaves noted to be re-packed; the survey meets the others again."""

_DAMAGED = 1024
"""Leaves with damaged blocks that are remembered so as not to be read again and again."""

_LEAST_GAIN = 4
"""Blocks are moved when that leaves at most one piece where there were so many."""

_log = logging.getLogger(__name__)


class Repacker:
    """Re-packs leaves in turns; `run` is its only task. Memory: 8 MiB for the leaf under way, and the list of the noted."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._windows = pool.windows
        self.survey = Survey(pool.windows)
        self._waiting: OrderedDict[tuple[int, int], tuple[Fragmented, int]] = OrderedDict()
        self._damaged: OrderedDict[LeafId, None] = OrderedDict()
        self._round_began = self._surveyed_commits = -1
        self._written = 0
        self.leaves = 0
        """Leaves re-packed since the pool was opened."""
        self.blocks = 0
        """Blocks moved for that."""

    async def run(self) -> None:
        """Take a turn every TURN_SECONDS, until cancelled."""
        while True:
            await trio.sleep(TURN_SECONDS)
            await self.turn(self._pool.clock())

    async def turn(self, now_ns: int) -> None:
        """Look at some leaves, and re-pack some that were noted QUIET_NS ago or longer and have not changed since."""
        pool = self._pool
        if not pool.is_writing_easy or pool.space.is_pressed:
            return
        try:
            if self._surveyed_commits != pool.committer.commits:
                await self.note_fragmented(now_ns)
            for _ in range(_LEAVES_A_TURN[self._is_busy()]):
                noted = self._next(now_ns)
                if noted is None or not pool.is_writing_easy:
                    break
                await self.repack(noted)
        except NoSpace:
            _log.debug("no room to re-pack")
        except VolumeError as error:
            _log.info("re-packing has to wait: %s", error)

    async def repack(self, noted: Fragmented) -> bool:
        """Re-pack one leaf; False when it is no more what was noted, is shared, damaged, or there is no better place for it.

        Raises NoSpace, Corrupt (of the catalog) or StoreFailed; then nothing has changed.
        """
        try:
            inode = await self._pool.namespace.inodes.get(noted.inode)
        except NotFound:
            return False
        extents = await self._windows.load_extents(inode, noted.window, noted.window)
        if extents.get(noted.window) != noted.reference:
            return False
        await self._windows.load_leaf(extents, noted.reference)
        leaf = self._movable(inode, extents, noted)
        if leaf is None:
            return False
        pieces = leaf.pieces(0, BLOCKS_PER_LEAF)
        runs = self._better_place(leaf.allocated, len(pieces))
        if runs is None:
            return False
        try:
            with self._pool.space.staging(runs):
                moved = await self._copy(leaf, runs)
            leaf = self._movable(inode, extents, noted) if moved else None
        except BaseException:
            self._pool.space.give_back(runs)
            raise
        if leaf is None:
            self._pool.space.give_back(runs)
            return False
        self._move(leaf, runs)
        return True

    async def note_fragmented(self, now_ns: int) -> None:
        """One step of the survey. It may rest after a round in which nothing was committed, until something is."""
        rounds = self.survey.rounds
        begin = self._pool.committer.commits
        for found in await self.survey.step(_SURVEYED_LEAVES):
            key = found.inode, found.window
            noted = self._waiting.get(key)
            if noted is not None and noted[0] == found:
                continue
            if len(self._waiting) < _WAITING and found.reference >> 12 not in self._damaged:
                self._waiting[key] = found, now_ns
                self._waiting.move_to_end(key)
        if self.survey.rounds != rounds:
            if self._round_began == begin:  # nothing has changed in a whole round
                self._surveyed_commits = begin
            self._round_began = begin

    # -- inside ---------------------------------------------------------------------------------------------------

    def _next(self, now_ns: int) -> Fragmented | None:
        for key, (noted, since_ns) in self._waiting.items():
            if now_ns - since_ns < QUIET_NS:
                return None
            del self._waiting[key]
            return noted
        return None

    def _is_busy(self) -> bool:
        """Whether others write much."""
        pool = self._pool
        written = pool.committer.committed_blocks + pool.writer.uncommitted_blocks - self.blocks
        busy = written - self._written > _BUSY_BLOCKS
        self._written = written
        return busy

    def _movable(self, inode: "Inode", extents: "ExtentMap", noted: Fragmented) -> Leaf | None:
        """The leaf if it is what was noted and nobody but this file has anything of it."""
        if inode.gone or extents.get(noted.window) != noted.reference:
            return None
        leaf = self._windows.leaf(noted.reference)
        if leaf is None or leaf.places is None or print_of(leaf) != noted.print:
            return None
        if not self._windows.is_exclusive(extents, noted.window) or self._pool.space.has_shared(leaf):
            return None
        return leaf

    def _better_place(self, blocks: int, pieces: int) -> list[Run] | None:
        """Free blocks in much fewer pieces. Raises NoSpace or StoreFailed."""
        try:
            runs = self._pool.space.allocate(blocks)
        except StoreFailed as error:  # a segment could not be made
            self._pool.writer.on_failure(str(error))
            raise
        if len(runs) * _LEAST_GAIN <= pieces:
            return runs
        self._pool.space.give_back(runs)
        return None

    async def _copy(self, leaf: Leaf, runs: list[Run]) -> bool:
        """Copy the blocks of a leaf to `runs`; False when one is damaged, which whoever reads it will be told."""
        pool = self._pool
        try:
            buffer = await pool.reader.read_pieces(_pieces_in_a_row(leaf), leaf.allocated * BLOCK_BYTES)
        except Corrupt:
            self._damaged[leaf.id] = None
            if len(self._damaged) > _DAMAGED:
                self._damaged.popitem(last=False)
            return False
        try:
            await pool.threads.run_to_the_end("re-packing", self._write, memoryview(buffer), runs)
        except StoreFailed as error:
            pool.writer.on_failure(str(error))
            raise
        return True

    def _write(self, buffer: memoryview, runs: list[Run]) -> None:
        for place, count in runs:
            self._pool.segments.write(place, (buffer[: count * BLOCK_BYTES],))
            buffer = buffer[count * BLOCK_BYTES :]

    def _move(self, leaf: Leaf, runs: list[Run]) -> None:
        """Let the leaf name the new blocks and free the old ones. No checkpoint since it was last looked at."""
        pool, space = self._pool, self._pool.space
        space.release_leaf(leaf)
        leaf.move(runs)
        for place, count in runs:
            space.adopt(place, count)
            pool.segments.touch(place)
        if not leaf.dirty:
            pool.windows.leaves.mark_dirty(leaf)
        pool.writer.uncommitted_blocks += leaf.allocated
        self.leaves += 1
        self.blocks += leaf.allocated
        pool.committer.note_change()


def _pieces_in_a_row(leaf: Leaf) -> list[Piece]:
    """The blocks of a leaf, to be read one behind the other without the holes."""
    pieces, position = list[Piece](), 0
    for first, count, place in leaf.pieces(0, BLOCKS_PER_LEAF):
        pieces.append(Piece(position, count, place, array("I", leaf.crcs[first : first + count])))
        position += count * BLOCK_BYTES
    return pieces
