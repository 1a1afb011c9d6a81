"""Capturing a range and letting it appear elsewhere: by leaf references where windows match, by block counts where not."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import trio

from odxfs.errors import InvalidArgument, NotAFile, QuotaExceeded, Stale
from odxfs.types import BLOCKS_PER_LEAF, LEAF_BYTES
from odxfs.volume.extents import WINDOWS_PER_PAGE, ExtentMap, LeafReference, allocated_blocks, page_of
from odxfs.volume.leaf import Leaf
from odxfs.volume.pins import Pin
from odxfs.volume.windows import Windows
from odxfs.volume.writes import RangePermit, permit_all

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool
    from odxfs.volume.tree.inodes import Inode


CAPTURED_BYTES = 32 * 1024**3
"""What one copy holds of its source in one step, and lets go in another: 4,096 leaves, some ten milliseconds for each."""

MOST_OF_ONE_MOMENT = CAPTURED_BYTES - LEAF_BYTES
"""Copies of up to so many bytes have the source as it was at one moment, wherever they begin."""


def parts_to_capture(offset: int, length: int) -> Iterator[int]:
    """The lengths of the parts, each of one moment, in which a copy to `offset` is made; all but the last end with a leaf."""
    end = offset + length
    while offset < end:
        part = min(end - offset, CAPTURED_BYTES - offset % LEAF_BYTES)
        yield part
        offset += part


class Cloner:
    """Makes pins and lets their blocks appear in files."""

    def __init__(self, pool: "Pool", windows: Windows) -> None:
        self._pool = pool
        self._windows = windows

    async def capture(self, inode: "Inode", offset: int, length: int) -> Pin:
        """See DataPath.capture. Returns without a checkpoint when the extent map is in memory.

        Raises InvalidArgument, NotAFile, Stale, Corrupt or StoreFailed.
        """
        if offset < 0 or length < 0:
            raise InvalidArgument("a range must not be negative")
        while True:
            if not inode.is_file:
                raise NotAFile(f"inode {inode.number} is no file")
            end = min(offset + length, (inode.size + 4095) & ~4095)
            if end <= offset:
                return self._new_pin(offset, 0, (), is_hole=True)
            first, last = offset >> 23, (end - 1) >> 23
            extents = await self._windows.load_extents(inode, first, last)
            if inode.gone:
                raise Stale(f"inode {inode.number} has been deleted")
            if end != min(offset + length, (inode.size + 4095) & ~4095):
                continue
            get = extents.windows.get
            leaves = tuple([get(window, LeafReference(0)) for window in range(first, last + 1)])
            data = self._holds_data(leaves, offset >> 12, (end + 4095) >> 12)
            if isinstance(data, bool):
                return self._new_pin(offset, end - offset, leaves, is_hole=not data)
            await self._windows.load_leaf(extents, data)

    async def share(
        self,
        inode: "Inode",
        first: int,
        stop: int,
        pin: Pin,
        shift: int,
        origin: str = "",
        *,
        may_grow: bool = True,
        permit: RangePermit = permit_all,
    ) -> int:
        """Let blocks [first, stop) of a file be those of the pin, where file block + `shift` is the pin's source block.

        Windows that match whole are shared by reference, a page of the extent map in a step, and others have their turn between
        the steps. The file's size follows in each; without `may_grow` only blocks are shared that lie whole before the end of
        file. Returns the first that is not.
        """
        block = first
        while block < stop:
            window, slot = block >> 11, block & 2047
            extents = await self._windows.load_extents(inode, window, (stop - 1) >> 11)
            if not may_grow:
                stop = min(stop, inode.size >> 12)
                if block >= stop:
                    break
            if slot == 0 and shift % BLOCKS_PER_LEAF == 0 and stop - block >= BLOCKS_PER_LEAF:
                beyond = min(stop >> 11, (page_of(window) + 1) * WINDOWS_PER_PAGE)
                count = (beyond << 11) - block
                self._check(inode, pin)
                permit(block << 12, count << 12)
                self._share_windows(inode, extents, window, beyond, pin, shift >> 11)
            else:  # as far as both the destination's and the source's window reach
                count = min(BLOCKS_PER_LEAF - max(slot, (block + shift) & 2047), stop - block)
                count = await self._share_blocks(
                    inode, block, count, pin, shift, may_grow=may_grow, permit=permit
                )
            if count:
                self._pool.data.content_changed(inode, block << 12, count << 12, origin)
            block += count
            if block < stop:
                await trio.lowlevel.checkpoint()
        return block

    async def require_quota(
        self, inode: "Inode", offset: int, pin: Pin, pin_offset: int, length: int, copied: int | None
    ) -> None:
        """Raise QuotaExceeded when the volume has no room for these bytes of a pin, as things are; a look ahead.

        `copied` are the blocks that they take where they are copied; those that they share are counted here.
        """
        first, stop = offset >> 12, (offset + length + 4095) >> 12
        wanted = await self._allocated_blocks(pin, pin_offset, length) if copied is None else copied
        while True:
            extents = await self._windows.load_extents(inode, first >> 11, (stop - 1) >> 11)
            missing = self._windows.missing_leaf(extents, first, stop)
            if missing:
                await self._windows.load_leaf(extents, missing)
                continue
            growth = wanted - (stop - first) + self._windows.hole_blocks(extents, first, stop)
            try:
                self._windows.quotas.require(inode.volume, growth)
            except QuotaExceeded:
                if self._pool.namespace.orphans.is_settled:
                    raise
                await self._pool.namespace.orphans.settle()  # what is being deleted is still charged
                continue
            return

    async def _allocated_blocks(self, pin: Pin, pin_offset: int, length: int) -> int:
        """How many blocks of a range of a pin are no holes."""
        source = pin.offset + pin_offset
        low, high = source >> 12, (source + length + 4095) >> 12
        wanted = 0
        for window in range(low >> 11, ((high - 1) >> 11) + 1):
            reference, base = pin.leaf_at(window), window << 11
            start, end = max(low - base, 0), min(high - base, BLOCKS_PER_LEAF)
            if not reference or end - start == BLOCKS_PER_LEAF:
                wanted += allocated_blocks(reference)
                continue
            leaf = await self._windows.leaves.load(reference)
            wanted += sum(blocks for _, blocks, _ in leaf.pieces(start, end - start))
        return wanted

    def _check(self, inode: "Inode", pin: Pin) -> None:
        """Before each step: what may have come in between."""
        self._pool.data.check_changeable(inode)
        self._pool.pins.check(pin)

    def _share_windows(
        self, inode: "Inode", extents: ExtentMap, first: int, stop: int, pin: Pin, shift: int
    ) -> None:
        quotas, replace = self._windows.quotas, self._windows.replace
        if inode.volume in quotas.limits:
            windows = range(first, stop)
            growth = sum(allocated_blocks(pin.leaf_at(window + shift)) for window in windows)
            growth -= sum(allocated_blocks(extents.get(window)) for window in windows)
            quotas.require(inode.volume, growth)
        for window in range(first, stop):
            replace(inode, extents, window, pin.leaf_at(window + shift))

    async def _share_blocks(
        self,
        inode: "Inode",
        block: int,
        count: int,
        pin: Pin,
        shift: int,
        *,
        may_grow: bool,
        permit: RangePermit,
    ) -> int:
        """Share a few blocks, which lie in one window on either side and are less than that; returns how many."""
        windows = self._windows
        self._check(inode, pin)
        reference = pin.leaf_at((block + shift) >> 11)
        while True:
            extents = await windows.load_extents(inode, block >> 11, block >> 11)
            source = await windows.leaves.load(reference) if reference else None
            missing = windows.missing_leaf(extents, block, block + count)
            if not missing:
                break
            await windows.load_leaf(extents, missing)
        self._check(inode, pin)
        if not may_grow:
            count = max(0, min(count, (inode.size >> 12) - block))
        if not count:
            return 0
        permit(block << 12, count << 12)
        if source is None:
            windows.clear(inode, extents, block, block + count)
        else:
            self._map_shared(inode, extents, block, count, source, (block + shift) & 2047)
        return count

    def _map_shared(
        self, inode: "Inode", extents: ExtentMap, block: int, count: int, source: Leaf, source_slot: int
    ) -> None:
        windows, space = self._windows, self._windows.space
        window, slot = block >> 11, block & 2047
        pieces = source.pieces(source_slot, count)
        if inode.volume in windows.quotas.limits:
            growth = windows.hole_blocks(extents, block, block + count) - count
            windows.quotas.require(inode.volume, growth + sum(blocks for _, blocks, _ in pieces))
        for _, blocks, place in pieces:
            space.share(place, blocks)
        leaf = windows.own_leaf(extents, window, slot, count)
        for place, blocks in leaf.unmap(slot, count):
            space.release(place, blocks)
        for at, blocks, place in pieces:
            leaf.map(slot + at - source_slot, blocks, place, source.crcs[at : at + blocks])
        windows.settle(inode, extents, window, leaf)

    def _holds_data(self, leaves: tuple[LeafReference, ...], first: int, stop: int) -> bool | LeafReference:
        """Whether any of the blocks [first, stop) holds data; a leaf when it must be loaded to tell."""
        for window, reference in enumerate(leaves, first >> 11):
            if not reference:
                continue
            base = window << 11
            low, high = max(first - base, 0), min(stop - base, BLOCKS_PER_LEAF)
            if allocated_blocks(reference) > BLOCKS_PER_LEAF - (high - low):
                return True  # it maps more blocks than lie outside
            leaf = self._windows.leaf(reference)
            if leaf is None:
                return reference
            if leaf.pieces(low, high - low):
                return True
        return False

    def _new_pin(self, offset: int, length: int, leaves: tuple[LeafReference, ...], *, is_hole: bool) -> Pin:
        held = (LeafReference(0),) * len(leaves) if is_hole else leaves
        pin = Pin(self._pool.identifiers.pin(), offset, length, held, is_hole)
        self._pool.pins.add(pin)
        return pin
