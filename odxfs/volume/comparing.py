"""Has a range of a file changed since it was pinned? Answered by the places of its blocks, without reading any.

A pinned leaf never changes, and whoever writes into its window makes a copy of it that keeps the places of all other blocks.
Re-packing leaves both alone: the leaf has two holders, and the copy's blocks are counted as shared. So a block of the file is
as it was exactly as long as it is at the place that the pin knows.
"""

from typing import TYPE_CHECKING

from odxfs.types import BLOCKS_PER_LEAF
from odxfs.volume.extents import LeafReference
from odxfs.volume.leaf import Leaf
from odxfs.volume.pins import Pin
from odxfs.volume.windows import Windows

if TYPE_CHECKING:
    from odxfs.volume.tree.inodes import Inode


async def is_as_pinned(windows: Windows, inode: "Inode", pin: Pin) -> bool:
    """See DataPath.is_as_pinned."""
    first, stop = pin.offset >> 12, (pin.offset + pin.length + 4095) >> 12
    for window in range(first >> 11, ((stop - 1) >> 11) + 1 if pin.length else 0):
        base = window << 11
        low, high = max(first - base, 0), min(stop - base, BLOCKS_PER_LEAF)
        if not await _is_same(windows, inode, window, pin.leaf_at(window), range(low, high)):
            return False
    return True


async def _is_same(
    windows: Windows, inode: "Inode", window: int, pinned: LeafReference, slots: range
) -> bool:
    """Whether the file's window has the pinned leaf, or one that names the same places in these slots."""
    while True:
        extents = await windows.load_extents(inode, window, window)
        reference = extents.get(window)
        if reference == pinned:
            return True
        before = await windows.leaves.load(pinned) if pinned else None
        if reference and windows.leaf(reference) is None:
            await windows.load_leaf(extents, reference)
            continue
        now = windows.leaf(reference) if reference else None
        return all(_place(before, slot) == _place(now, slot) for slot in slots)


def _place(leaf: Leaf | None, slot: int) -> int:
    return leaf.place_of(slot) if leaf is not None else 0
