"""Writing: data goes to free blocks first, then the leaves come to name them, all at once.

A write is staged (blocks allocated, bytes written, checksums computed), which nobody can see, and then applied in one step
without a checkpoint. What staging relied on (the old bytes around an unaligned write) is compared again before applying.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import trio

from odxfs.errors import StoreFailed
from odxfs.types import BLOCK_BYTES, BLOCKS_PER_LEAF, Buffer
from odxfs.volume.allocation.space import LARGE_BLOCKS
from odxfs.volume.blocks.segments import Segments
from odxfs.volume.blocks.threads import DiskThreads
from odxfs.volume.checksums import crc32c, crcs_of
from odxfs.volume.extents import ExtentMap, LeafReference
from odxfs.volume.leaf import Run
from odxfs.volume.reads import Reader
from odxfs.volume.windows import Windows

if TYPE_CHECKING:
    from odxfs.volume.tree.inodes import Inode

INLINE_BYTES = 1024 * 1024
"""Longest write done on the trio thread, where the last ones were quick: 0.3 ms when their pages are cached."""

SHORT_BYTES = 256 * 1024
"""Longest write done there in any case."""

_QUICK_SECONDS = 0.001
"""What a write of up to 1 MiB may keep the trio thread from others. When the kernel must find pages, or makes writers wait
for the disk, it takes 3 ms and more: then a worker thread does it, at half the throughput, until it is quick again."""

_ZEROS = bytes(BLOCK_BYTES)


class Edge(NamedTuple):
    """A block that a write changes in part."""

    place: int
    crc: int
    block: int
    """Its number in the file."""


Edges = dict[Edge, Buffer]
"""The old bytes of such blocks, read beforehand."""


class Staged(NamedTuple):
    """Blocks that are written and that nothing names yet."""

    first: int
    """The first block of the file that they are for."""
    runs: list[Run]
    crcs: Sequence[int]


RangePermit = Callable[[int, int], None]
"""Raises where an offset and a length in bytes must not be changed; changes nothing of the volume and does not wait."""


def permit_all(_offset: int, _length: int) -> None:
    """For who has nothing to say."""


def whole_or_edge(offset: int, length: int) -> int:
    """The bytes at the beginning of a range that are changed in one step: a part of a block, or all the whole blocks."""
    if offset % BLOCK_BYTES:
        return min(length, BLOCK_BYTES - offset % BLOCK_BYTES)
    return length - length % BLOCK_BYTES or length


Missing = LeafReference | Edge
"""What must be brought into memory before a write can go on."""


class Writer:
    """Stages and applies writes."""

    def __init__(self, windows: Windows, segments: Segments, reader: Reader, threads: DiskThreads) -> None:
        self._windows = windows
        self._space = windows.space
        self._streams = windows.space.streams
        self._segments = segments
        self._threads = threads
        self._reader = reader
        self._quotas = windows.quotas
        self.uncommitted_blocks = 0
        """Blocks written since the last freeze and not given up again; a little less when others were given up besides."""
        self._is_quick = True
        self.on_failure: Callable[[str], None] = lambda _: None
        """Told when the disk does not take data: nothing more may be written to it. A full disk is no failure."""

    def goes_inline(self, length: int, *, in_haste: bool = False) -> bool:
        """Whether a write of so many bytes is for `try_write`; else `write_large` lets others be served meanwhile.

        `in_haste` says that others would make it be done again.
        """
        return (length <= SHORT_BYTES or (length <= INLINE_BYTES and (self._is_quick or in_haste))) and not (
            self._threads.is_slow
        )

    def try_write(self, inode: "Inode", offset: int, data: memoryview, edges: Edges) -> Missing | None:
        """Write now if all that is needed is in memory; else nothing has changed and what is missing is returned.

        The extent map must be loaded. Raises NoSpace, QuotaExceeded, StoreFailed or Corrupt; then nothing has changed.
        """
        if len(data) == BLOCK_BYTES and not offset & 4095 and self._overwrite(inode, offset >> 12, data):
            return None
        first, stop = offset >> 12, (offset + len(data) + 4095) >> 12
        extents = self._windows.extents(inode, first >> 11, (stop - 1) >> 11)
        assert extents is not None, "the extent map was to be loaded before"
        missing = self._windows.missing_leaf(extents, first, stop)
        if missing:
            return missing
        buffers = self._buffers(inode, extents, offset, data, edges)
        if not isinstance(buffers, list):
            return buffers
        if self._quotas.limits:
            self._require_quota(inode, extents, first, stop)
        runs = self._allocate(inode, first, stop - first)
        try:
            staged = self._stage(first, runs, buffers)
        except BaseException as error:
            self._give_up(runs, error)
            raise
        self._apply(inode, extents, staged)
        return None

    async def write_large(
        self,
        inode: "Inode",
        offset: int,
        data: memoryview,
        edges: Edges,
        *,
        may_grow: bool = True,
        at_end: bool = False,
        permit: RangePermit,
    ) -> Missing | None:
        """Like `try_write`, but the bytes are written in a worker thread.

        Also Missing when the file changed around the edges meanwhile, was cut off where it may not grow, or does not end at
        `offset` any more where it shall (`at_end`): the caller fetches what is missing and comes again.
        """
        first, stop = offset >> 12, (offset + len(data) + 4095) >> 12
        extents = self._windows.extents(inode, first >> 11, (stop - 1) >> 11)
        assert extents is not None, "the extent map was to be loaded before"
        missing = self._windows.missing_leaf(extents, first, stop)
        if missing:
            return missing
        buffers = self._buffers(inode, extents, offset, data, edges)
        if not isinstance(buffers, list):
            return buffers
        before = self._surroundings(inode, extents, offset, len(data))
        if self._quotas.limits:
            self._require_quota(inode, extents, first, stop)
        runs = self._allocate(inode, first, stop - first)
        staging = ExitStack()
        staging.enter_context(self._space.staging(runs))

        def give_up(error: BaseException | None) -> None:
            staging.close()
            self._give_up(runs, error)

        try:
            staged = await self._threads.run(
                "a write", self._stage, first, runs, buffers, on_abandoned=give_up
            )
        except trio.Cancelled:  # the thread may go on: then the blocks are its own until it has ended
            raise
        except BaseException as error:
            give_up(error)
            raise
        staging.close()
        missing = self._windows.missing_leaf(extents, first, stop)
        is_cut_off = not may_grow and offset + len(data) > inode.size
        is_overtaken = at_end and offset != inode.size
        if (
            missing
            or inode.gone
            or is_cut_off
            or is_overtaken
            or before != self._surroundings(inode, extents, offset, len(data))
        ):
            self._space.give_back(runs)
            return missing or LeafReference(0)
        try:
            self._require_quota(inode, extents, first, stop)
            permit(offset, len(data))
        except Exception:
            self._space.give_back(runs)
            raise
        self._apply(inode, extents, staged)
        return None

    def has_block(self, extents: ExtentMap, block: int) -> bool:
        """Whether a block of a file is not a hole. Its leaf is cached."""
        return self._edge(extents, block).place != 0

    # -- inside ---------------------------------------------------------------------------------------------------

    def _overwrite(self, inode: "Inode", block: int, data: memoryview) -> bool:
        """Write one whole block over another, where no leaf must be copied or loaded for it; else False, and nothing has changed.

        What is done to disks of virtual machines most, without what one block does not need: runs, edges, windows, copies of
        leaves. It takes half the time of the way that all other writes go (9 us instead of 17).
        """
        extents, slot = inode.extents, block & 2047
        leaf = self._windows.leaf_to_change(extents, block >> 11) if extents is not None else None
        if leaf is None or leaf.places is None or not leaf.places[slot]:
            return False
        runs = self._allocate(inode, block, 1)
        place = runs[0][0]
        try:
            self._segments.write(place, (data,))
        except BaseException as error:
            self._give_up(runs, error)
            raise
        self._space.adopt(place, 1)
        self._segments.touch(place)
        self._space.release(leaf.replace(slot, place, crc32c(data)), 1)
        if not leaf.dirty:
            self._windows.leaves.mark_dirty(leaf)
        self.uncommitted_blocks += 1 - self._space.take_given_up()
        return True

    def _require_quota(self, inode: "Inode", extents: ExtentMap, first: int, stop: int) -> None:
        if inode.volume in self._quotas.limits:
            self._quotas.require(inode.volume, self._windows.hole_blocks(extents, first, stop))

    def _surroundings(self, inode: "Inode", extents: ExtentMap, offset: int, length: int) -> tuple[int, ...]:
        """What the padding of an unaligned write was made from: equal before and after means it still holds.

        With the checksums: a place that was freed may have come back to the same block with other bytes.
        """
        end = offset + length
        found: list[int] = []
        if offset & 4095:
            found += self._edge(extents, offset >> 12)
        if end & 4095:
            found += [*self._edge(extents, end >> 12), min(inode.size, (end | 4095) + 1)]
        return tuple(found)

    def _edge(self, extents: ExtentMap, block: int) -> Edge:
        """A block of a file; a hole is at place 0, and one whose leaf is not cached at -1."""
        reference = extents.get(block >> 11)
        if not reference:
            return Edge(0, 0, block)
        leaf = self._windows.leaf(reference)
        if leaf is None:
            return Edge(-1, 0, block)
        place = leaf.place_of(block & 2047)
        return Edge(place, leaf.crcs[block & 2047] if place else 0, block)

    def _buffers(
        self, inode: "Inode", extents: ExtentMap, offset: int, data: memoryview, edges: Edges
    ) -> list[memoryview] | Missing:
        """The data as whole blocks: the edges padded with the old bytes, the middle as it is."""
        head, end = offset & 4095, offset + len(data)
        tail = end & 4095
        if not head and not tail:
            return [data]
        first, last = offset >> 12, (end - 1) >> 12
        buffers: list[memoryview] = []
        if head or first == last:
            needed = head > 0 or end < inode.size
            old = self._old_block(extents, first, edges) if needed else _ZEROS
            if isinstance(old, Edge | int):
                return old
            block = bytearray(old)
            taken = min(len(data), BLOCK_BYTES - head)
            block[head : head + taken] = data[:taken]
            buffers.append(memoryview(block))
            if first == last:
                return buffers
            data = data[taken:]
        if tail:
            old = self._old_block(extents, last, edges) if end < inode.size else _ZEROS
            if isinstance(old, Edge | int):
                return old
            block = bytearray(old)
            block[:tail] = data[len(data) - tail :]
            data = data[: len(data) - tail]
            return [*buffers, *((data,) if len(data) else ()), memoryview(block)]
        return [*buffers, data]

    def _old_block(self, extents: ExtentMap, block: int, edges: Edges) -> Buffer | Missing:
        edge = self._edge(extents, block)
        if not edge.place:
            return _ZEROS
        if (
            edge.place < 0
        ):  # a write that needs no leaf but for this block: all others of the window are replaced
            return extents.get(block >> 11)
        return edges.get(edge) or self._reader.block_at_nowait(edge.place, edge.crc) or edge

    def _allocate(self, inode: "Inode", first: int, blocks: int) -> list[Run]:
        try:
            if blocks < LARGE_BLOCKS:
                return self._streams.allocate(inode.number, first, blocks)
            return self._space.allocate(blocks)
        except StoreFailed as error:  # a segment could not be made
            self.on_failure(str(error))
            raise

    def _give_up(self, runs: list[Run], error: BaseException | None) -> None:
        """Blocks could not be written, or nobody wants them any more: nothing names them, and no thread writes to them."""
        self._space.give_back(runs)
        if isinstance(error, StoreFailed):
            self.on_failure(str(error))

    def _stage(self, first: int, runs: list[Run], buffers: list[memoryview]) -> Staged:
        """Write `buffers` to the blocks of `runs`. Blocking; changes no state, but notes how long a long one took."""
        is_long = runs[0][1] >= LARGE_BLOCKS
        begun = perf_counter() if is_long else 0.0
        if len(runs) == 1:
            self._segments.write(runs[0][0], buffers)
        else:
            for (place, _), parts in zip(runs, _split(buffers, runs), strict=True):
                self._segments.write(place, parts)
        if len(buffers) == 1 and len(buffers[0]) == BLOCK_BYTES:
            return Staged(first, runs, (crc32c(buffers[0]),))
        if is_long:
            self._is_quick = perf_counter() - begun < _QUICK_SECONDS
        return Staged(first, runs, crcs_of(*buffers))

    def _apply(self, inode: "Inode", extents: ExtentMap, staged: Staged) -> None:
        """Let the file's leaves name the staged blocks; frees what they named before."""
        block, runs, crcs = staged
        stop = block + len(crcs)
        done = 0
        ready = -1
        for start, count in runs:
            self._space.adopt(start, count)
            self._segments.touch(start)
            place, end = start, start + count
            while place < end:
                window, slot = block >> 11, block & 2047
                length = min(end - place, BLOCKS_PER_LEAF - slot)
                if window != ready:
                    ready = window
                    leaf = self._windows.own_leaf(
                        extents, window, slot, min(stop - block, BLOCKS_PER_LEAF - slot)
                    )
                for old_place, old_count in leaf.map(slot, length, place, crcs[done : done + length]):
                    self._space.release(old_place, old_count)
                self._windows.settle(inode, extents, window, leaf)
                block, place, done = block + length, place + length, done + length
        self.uncommitted_blocks += done - self._space.take_given_up()


def _split(buffers: Iterable[memoryview], runs: list[Run]) -> list[list[memoryview]]:
    """Cut whole-block buffers along the runs they go to."""
    waiting = list(reversed(list(buffers)))
    split: list[list[memoryview]] = []
    for _, count in runs:
        wanted, parts = count * BLOCK_BYTES, list[memoryview]()
        while wanted:
            buffer = waiting.pop()
            if len(buffer) > wanted:
                waiting.append(buffer[wanted:])
                buffer = buffer[:wanted]
            parts.append(buffer)
            wanted -= len(buffer)
        split.append(parts)
    return split
