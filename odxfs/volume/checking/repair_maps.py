"""Mending what maps files to blocks: a leaf that is damaged or gone becomes a hole, all that is counted is counted anew.

Changes are put into the view; nothing is committed here.
"""

from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from odxfs.errors import Corrupt
from odxfs.types import BLOCK_BYTES, LEAF_BYTES, LeafId, SnapshotId
from odxfs.volume.allocation.group import BLOCKS_PER_GROUP, GROUPS_PER_SEGMENT, Group
from odxfs.volume.blocks.segments import Segments
from odxfs.volume.catalog.interface import Key, Table
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.sound import all_rows
from odxfs.volume.checking.leaf_check import Leaves, count_blocks, sound_leaf, walk_leaves
from odxfs.volume.checking.map_check import PAGES
from odxfs.volume.extents import (
    WINDOWS_PER_PAGE,
    LeafReference,
    allocated_blocks,
    leaf_id,
    unpack_page,
)


@dataclass(frozen=True, slots=True)
class LostRange:
    """A range of a file that has become a hole; bytes."""

    inode: int
    snapshot: SnapshotId
    """0 for the file as it is now."""
    offset: int
    length: int
    blocks: int | None
    """Blocks of it that had data, None when that is not known."""


@dataclass(slots=True)
class MendedMaps:
    """What the rest of a repair must know."""

    mapped: Counter[int] = field(default_factory=Counter)
    """Inode -> blocks that its map allocates."""
    ends: dict[int, int] = field(default_factory=dict)
    """Inode -> the byte behind its last block."""
    lost: list[LostRange] = field(default_factory=list)


async def mend_maps(view: CatalogView, segments: Segments) -> MendedMaps:
    """Mend leaves, extent pages, holder counts, pins, space and the headers of segments. All rows are well-formed.

    Raises VolumeError.
    """
    leaves = await walk_leaves(view, None, lambda identifier, _: view.delete(Table.LEAF, (identifier,)))
    mended, holders = MendedMaps(), Counter[LeafReference]()
    kept = await _mend_kept_pages(view, leaves, holders, mended)
    await _mend_pages(view, leaves, holders, kept, mended)
    async for key, _ in all_rows(view, Table.PIN):
        view.delete(Table.PIN, key)
    await _count_holders(view, leaves, holders)
    await _find_ends(view, mended)
    segments.mend_headers(max(segments.count, leaves.segments))
    await _count_blocks(view, leaves, segments.count)
    return mended


async def _mend_kept_pages(
    view: CatalogView, leaves: Leaves, holders: Counter[LeafReference], mended: MendedMaps
) -> dict[Key, int]:
    """Returns the latest snapshot for which each page was kept."""
    kept: dict[Key, int] = {}
    async for key, (present, body, written) in all_rows(view, Table.EXTENTS_PAST):
        snapshot, number, page = key
        kept[number, page] = max(kept.get((number, page), 0), snapshot)
        if not present:
            continue
        fresh = _mended(snapshot, number, page, body, leaves, holders, mended.lost)
        if fresh is None:
            view.put(Table.EXTENTS_PAST, key, (0, None, None))
        elif fresh != body:
            view.put(Table.EXTENTS_PAST, key, (1, fresh, written))
    return kept


async def _mend_pages(
    view: CatalogView,
    leaves: Leaves,
    holders: Counter[LeafReference],
    kept: dict[Key, int],
    mended: MendedMaps,
) -> None:
    snapshots = [key[0] async for key, _ in all_rows(view, Table.SNAPSHOT)]
    latest = max(snapshots, default=0)
    async for key, (body, written) in all_rows(view, Table.EXTENTS):
        number, page = key
        fresh = _mended(SnapshotId(0), number, page, body, leaves, holders, mended.lost)
        if fresh is None:
            view.delete(Table.EXTENTS, key)
            continue
        mended.mapped[number] += sum(map(allocated_blocks, unpack_page(number, page, fresh).values()))
        since = kept.get(key, 0)
        if not since <= written <= latest:
            written = since  # noqa: PLW2901 - a page is kept before it changes, so it did not change since
        view.put(Table.EXTENTS, key, (fresh, written))


def _mended(
    snapshot: SnapshotId,
    number: int,
    page: int,
    body: bytes,
    leaves: Leaves,
    holders: Counter[LeafReference],
    lost: list[LostRange],
) -> bytes | None:
    """A page that names leaves as they are; None when it is all hole."""
    first = page * WINDOWS_PER_PAGE
    try:
        if not 0 <= page < PAGES:
            raise Corrupt("a page past the largest file")
        references = unpack_page(number, page, body)
    except Corrupt:
        if 0 <= page < PAGES:
            lost.append(LostRange(number, snapshot, first * LEAF_BYTES, WINDOWS_PER_PAGE * LEAF_BYTES, None))
        return None
    fresh = array("Q")
    for window, reference in references.items():
        if leaves.allocated.get(leaf_id(reference)) != allocated_blocks(reference):
            # Also a leaf that maps another number of blocks: it may be another file's by a damaged number.
            lost.append(
                LostRange(number, snapshot, window * LEAF_BYTES, LEAF_BYTES, allocated_blocks(reference))
            )
            continue
        fresh.frombytes(bytes(8 * (window - first - len(fresh))))
        fresh.append(reference)
        holders[reference] += 1
    return fresh.tobytes() or None


async def _count_holders(view: CatalogView, leaves: Leaves, holders: Counter[LeafReference]) -> None:
    """Counts where they are not one; leaves that nobody holds go, and their blocks with them."""
    async for key, _ in all_rows(view, Table.LEAF_REFS):
        view.delete(Table.LEAF_REFS, key)
    for reference, count in holders.items():
        if count > 1:
            view.put(Table.LEAF_REFS, (reference,), (count,))
    held = {leaf_id(reference) for reference in holders}
    for identifier in leaves.allocated.keys() - held:
        row = await view.get(Table.LEAF, (identifier,))
        assert row is not None
        count_blocks(leaves.owners, sound_leaf(identifier, *row), -1)  # type: ignore[arg-type]
        view.delete(Table.LEAF, (identifier,))


async def _find_ends(view: CatalogView, mended: MendedMaps) -> None:
    """Where the last block of each file ends."""
    async for (number, page), (body, _) in all_rows(view, Table.EXTENTS):
        references = unpack_page(number, page, body)
        window = max(references)
        identifier = LeafId(leaf_id(references[window]))
        row = await view.get(Table.LEAF, (identifier,))
        assert row is not None
        first, count, _ = sound_leaf(identifier, *row).pieces(0, 2048)[-1]  # type: ignore[arg-type]
        mended.ends[number] = window * LEAF_BYTES + (first + count) * BLOCK_BYTES


async def _count_blocks(view: CatalogView, leaves: Leaves, segments: int) -> None:
    """Bitmaps and counts of every group, as the leaves have them."""
    known = {key[0] async for key, _ in all_rows(view, Table.SPACE)}
    nobody = np.zeros(BLOCKS_PER_GROUP, dtype=np.uint32)
    inside = range(segments * GROUPS_PER_SEGMENT)
    for number in known - set(inside):
        view.delete(Table.SPACE, (number,))
    for number in inside:
        owners = leaves.owners.get(number, nobody)
        if number not in known and not owners.any():
            continue
        group = Group(number, np.packbits(owners > 0, bitorder="little").tobytes())
        if (owners >= 2).any():
            group.need_counts()[:] = np.where(owners >= 2, owners, 0)
        view.put(Table.SPACE, (number,), group.row())
