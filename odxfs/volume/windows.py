"""The windows of files: finding a file's leaves, making a leaf one's own before it changes, and letting leaves go.

Everything that changes state here is synchronous. `load_*` brings into memory what a change will need.
"""

from collections import Counter
from typing import TYPE_CHECKING

import trio

from odxfs.errors import Corrupt
from odxfs.types import BLOCKS_PER_LEAF, LEAF_BYTES, SnapshotId, VolumeId
from odxfs.volume.allocation.space import Space
from odxfs.volume.catalog.interface import Row, Table, volume_of
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.extents import (
    PAGES_PER_TURN,
    WINDOWS_PER_PAGE,
    ExtentMap,
    LeafCache,
    LeafReference,
    LeafReferences,
    allocated_blocks,
    leaf_id,
    page_of,
    reference_to,
    unpack_page,
)
from odxfs.volume.identifiers import Identifiers
from odxfs.volume.leaf import Leaf
from odxfs.volume.quota import Quotas

if TYPE_CHECKING:
    from odxfs.volume.tree.inodes import Inode

_NO_SNAPSHOT, _NEVER = SnapshotId(0), SnapshotId(-1)


class Windows:
    """The extent maps, leaves and leaf holders of a pool, kept consistent with each other and with `space`."""

    def __init__(self, view: CatalogView, space: Space, identifiers: Identifiers) -> None:
        self.view = view
        self._identifiers = identifiers
        self.space = space
        self.leaves = LeafCache(view)
        self.references = LeafReferences()
        self.allocated_blocks: Counter[VolumeId] = Counter()
        """By volume, what its inodes allocate; a block that two of them share counts for both."""
        self.quotas = Quotas(self.allocated_blocks)
        self.latest_snapshots: dict[VolumeId, SnapshotId] = {}
        """The latest snapshot of each volume that has one: what of it was not changed since, that snapshot holds, too."""
        self._changed: dict[int, ExtentMap] = {}

    # -- finding --------------------------------------------------------------------------------------------------

    def extents(self, inode: "Inode", first: int, last: int) -> ExtentMap | None:
        """The file's map if it is in memory for windows first..last."""
        extents = inode.extents
        if extents is None:
            extents = self._changed.get(inode.number)
            if extents is None:
                if inode.allocated_blocks:
                    return None
                extents = ExtentMap(inode.number, self.view, whole=True)
            inode.extents = extents
        return extents if extents.is_loaded(first, last) else None

    async def load_extents(self, inode: "Inode", first: int, last: int) -> ExtentMap:
        """The file's map, in memory for windows first..last on return."""
        while (extents := self.extents(inode, first, last)) is None:
            if inode.extents is None:
                inode.extents = ExtentMap(inode.number, self.view)
            await inode.extents.load(first, last)
        return extents

    def leaf(self, reference: LeafReference) -> Leaf | None:
        """The leaf if it is cached."""
        leaf = self.leaves.get(leaf_id(reference))
        if leaf is not None:
            self.leaves.touch(leaf.id)
        return leaf

    async def load_leaf(self, extents: ExtentMap, reference: LeafReference) -> None:
        """Bring a leaf of a file into the cache for a caller who then looks again what the file's map names.

        Raises Corrupt, but not for a leaf that the file let go meanwhile.
        """
        try:
            await self.leaves.load(reference)
        except Corrupt:
            if reference in extents.windows.values():
                raise

    def missing_leaf(self, extents: ExtentMap, first_block: int, stop_block: int) -> LeafReference:
        """A leaf that a change of these blocks needs and that is not cached; 0 when all are there.

        Windows that are replaced whole need no leaf. Those needed count as used: the leaves that the change makes push
        others out of the cache.
        """
        for window in edge_windows(first_block, stop_block):
            reference = extents.get(window)
            if reference and self.leaf(reference) is None:
                return reference
        return LeafReference(0)

    def hole_blocks(self, extents: ExtentMap, first_block: int, stop_block: int) -> int:
        """How many of the blocks [first, stop) are holes. The leaves of windows that lie in it in part are cached."""
        found = stop_block - first_block
        for window, reference in extents.items(
            first_block // BLOCKS_PER_LEAF, (stop_block - 1) // BLOCKS_PER_LEAF
        ):
            base = window * BLOCKS_PER_LEAF
            low, high = max(first_block - base, 0), min(stop_block - base, BLOCKS_PER_LEAF)
            if high - low == BLOCKS_PER_LEAF:
                found -= allocated_blocks(reference)
                continue
            leaf = self.leaf(reference)
            assert leaf is not None, "the leaf was to be loaded before"
            found -= sum(count for _, count, _ in leaf.pieces(low, high - low))
        return found

    def is_exclusive(self, extents: ExtentMap, window: int) -> bool:
        """Whether the file alone holds the leaf of a window: no other file, no pin, no snapshot."""
        latest = self.latest_snapshots.get(volume_of(extents.number), _NO_SNAPSHOT)
        written = extents.snapshots.get(page_of(window), _NEVER)
        return written >= latest and not self.references.is_shared(extents.get(window))

    def leaf_to_change(self, extents: ExtentMap, window: int) -> Leaf | None:
        """The leaf of a window, if it is cached and may be changed as it is: a quicker `own_leaf` for most of what is written."""
        reference = extents.get(window)
        if not reference or self.references.is_shared(reference):
            return None
        if self.latest_snapshots and not self.is_exclusive(extents, window):
            return None
        return self.leaf(reference)

    # -- changing -------------------------------------------------------------------------------------------------

    def own_leaf(self, extents: ExtentMap, window: int, first: int, count: int) -> Leaf:
        """A leaf of this window that may be changed, for replacing the `count` slots from `first` on.

        A leaf with other holders is copied without these slots; a window replaced whole starts with an empty leaf. The
        caller changes the slots and calls `settle`.
        """
        self._preserve(extents, window)
        reference = extents.get(window)
        if not reference:
            return self._new_leaf()
        if count == BLOCKS_PER_LEAF:
            self.references.drop(reference)
            return self._new_leaf()
        leaf = self.leaf(reference)
        assert leaf is not None, "the leaf was to be loaded before"
        if not self.references.is_shared(reference):
            return leaf
        twin = leaf.copy(self._identifiers.leaf())
        twin.unmap(first, count)
        self.space.share_leaf(twin)
        self.references.drop(reference)
        self.leaves.add(twin)
        return twin

    def settle(self, inode: "Inode", extents: ExtentMap, window: int, leaf: Leaf) -> None:
        """Enter a changed leaf into the file's map."""
        old = extents.get(window)
        new = reference_to(leaf)
        if new != old:
            self._account(inode, allocated_blocks(new) - allocated_blocks(old))
            extents.set(window, new)
            self._changed[inode.number] = extents
        if not new:
            self.leaves.forget(leaf)
            self.view.delete(Table.LEAF, (leaf.id,))
        elif not leaf.dirty:
            self.leaves.mark_dirty(leaf)

    def replace(self, inode: "Inode", extents: ExtentMap, window: int, reference: LeafReference) -> None:
        """Let a window have a leaf that somebody else holds too, or be a hole (0)."""
        self._preserve(extents, window)
        old = extents.get(window)
        if reference:
            self.references.hold(reference)
        if old:
            self.references.drop(old)
        if old != reference:
            self._account(inode, allocated_blocks(reference) - allocated_blocks(old))
            extents.set(window, reference)
            self._changed[inode.number] = extents

    def clear(self, inode: "Inode", extents: ExtentMap, first_block: int, stop_block: int) -> None:
        """Make blocks [first, stop) of a file a hole. The leaves of windows cleared in part are cached."""
        first, last = first_block // BLOCKS_PER_LEAF, (stop_block - 1) // BLOCKS_PER_LEAF
        for window in list(extents.windows.irange(first, last)):
            base = window * BLOCKS_PER_LEAF
            low, high = max(first_block - base, 0), min(stop_block - base, BLOCKS_PER_LEAF)
            if high - low == BLOCKS_PER_LEAF:
                self.replace(inode, extents, window, LeafReference(0))
                continue
            leaf = self.leaf(extents.get(window))
            assert leaf is not None, "the leaf was to be loaded before"
            if leaf.pieces(low, high - low):
                leaf = self.own_leaf(extents, window, low, high - low)
                for place, count in leaf.unmap(low, high - low):
                    self.space.release(place, count)
                self.settle(inode, extents, window, leaf)

    def has_data(self, inode: "Inode") -> bool:
        """Whether there is anything for `discard` to do: leaves, or rows that name none any more."""
        return inode.allocated_blocks > 0 or inode.number in self._changed

    async def discard(self, number: int) -> None:
        """Let every leaf of a deleted file go. A crash meanwhile leaves the rest to be discarded again."""
        changed = self._changed.pop(number, None)
        if changed is not None:
            changed.collect(self.view)
        rows = await self.view.range(Table.EXTENTS, (number, 0), (number + 1, 0))
        for turn, ((_, page), row) in enumerate(rows, 1):
            assert isinstance(page, int)
            self.view.delete(Table.EXTENTS, (number, page))
            self.let_go_page(number, page, row)
            if turn % PAGES_PER_TURN == 0:
                await trio.lowlevel.checkpoint()

    def let_go_page(self, number: int, page: int, row: Row) -> None:
        """A row of Table.EXTENTS is gone: its leaves have one holder less, unless the latest snapshot holds the page."""
        body, written = row
        assert isinstance(body, bytes)
        assert isinstance(written, int)
        latest = self.latest_snapshots.get(volume_of(number), _NO_SNAPSHOT)
        if written < latest:
            self.view.put(Table.EXTENTS_PAST, (latest, number, page), (1, body, written))
            return
        for reference in unpack_page(number, page, body).values():
            self.references.drop(reference)

    async def reap(self, limit: int) -> None:
        """Free the blocks of up to `limit` leaves that nobody holds any more."""
        dead = self.references.dead
        for turn in range(min(limit, len(dead))):
            if not dead:
                return
            reference = dead[0]
            try:
                leaf = await self.leaves.load(reference)
            except Corrupt:
                if reference in dead:
                    raise
                continue
            if not dead or dead[0] != reference:
                continue  # another task reaped it meanwhile
            dead.popleft()
            self.space.release_leaf(leaf)
            self.leaves.forget(leaf)
            self.references.bury(reference)
            self.view.delete(Table.LEAF, (leaf.id,))
            if turn % 16 == 15:
                await trio.lowlevel.checkpoint()

    def collect(self, *, whole: bool = True) -> None:
        """Put changed leaves, extent pages and holder counts into the view; `whole` as LeafCache.collect."""
        self.leaves.collect(self.view, whole=whole)
        for extents in self._changed.values():
            extents.collect(self.view)
        self._changed.clear()
        self.references.collect(self.view)

    def collect_maps(self, volume: VolumeId) -> None:
        """Put those of one volume alone, which nobody changes any more, into the view: what deletes it goes by their rows."""
        for number in [number for number in self._changed if volume_of(number) == volume]:
            self._changed.pop(number).collect(self.view)

    def has_changed_maps(self, volume: VolumeId) -> bool:
        """Whether an extent map of the volume waits to be collected."""
        return any(volume_of(number) == volume for number in self._changed)

    @property
    def has_changes(self) -> bool:
        """Whether `collect` would have anything to put."""
        return bool(self.leaves.dirty_count or self._changed or self.references.has_changes)

    def _preserve(self, extents: ExtentMap, window: int) -> None:
        """Before a page of a map changes: keep it for the latest snapshot, if that holds it and has no row of its own.

        Costs one look into a dictionary, but 512 counts and a row the first time after a snapshot.
        """
        latest = self.latest_snapshots.get(volume_of(extents.number), _NO_SNAPSHOT)
        page = page_of(window)
        written = extents.snapshots.get(page)
        if written is not None and written >= latest:
            return
        row = extents.page_row(page) if written is not None else None
        if row is not None:
            for _, reference in extents.items(page * WINDOWS_PER_PAGE, (page + 1) * WINDOWS_PER_PAGE - 1):
                self.references.hold(reference)
            self.view.put(Table.EXTENTS_PAST, (latest, extents.number, page), (1, *row))
            extents.changed_pages.add(page)  # its row must say so, even if no reference comes to differ
            self._changed[extents.number] = extents
        extents.snapshots[page] = latest

    def _account(self, inode: "Inode", blocks: int) -> None:
        inode.allocated_blocks += blocks
        self.allocated_blocks[inode.volume] += blocks

    def _new_leaf(self) -> Leaf:
        leaf = Leaf(self._identifiers.leaf())
        self.leaves.add(leaf)
        return leaf


def edge_windows(first_block: int, stop_block: int) -> tuple[int, ...]:
    """The windows that the blocks [first, stop) cover in part only."""
    first, last = first_block // BLOCKS_PER_LEAF, (stop_block - 1) // BLOCKS_PER_LEAF
    if first == last:
        return () if stop_block - first_block == BLOCKS_PER_LEAF else (first,)
    head = (first,) if first_block % BLOCKS_PER_LEAF else ()
    return (*head, last) if stop_block % BLOCKS_PER_LEAF else head


def window_of(offset: int) -> int:
    """The window that a byte offset lies in."""
    return offset // LEAF_BYTES
