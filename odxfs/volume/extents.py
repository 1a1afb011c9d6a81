"""Extent maps (which leaf maps which window of a file), the leaves in memory, and how many holders each leaf has."""

from array import array
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import NewType

import trio
from sortedcontainers import SortedDict

from odxfs.errors import Corrupt
from odxfs.types import LeafId, SnapshotId
from odxfs.volume.catalog.interface import Row, Table
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.past import SeenView
from odxfs.volume.leaf import MAX_CHANGES, Leaf
from odxfs.volume.leaf_log import MAX_LOGGED_LEAVES, MAX_LOGGED_SLOTS, Entry, LeafLog

LeafReference = NewType("LeafReference", int)
"""Leaf id * 4096 + the blocks it allocates; 0 is a window that is all hole.

So that sharing a leaf needs no look at the leaf: what a holder must know of it is in the reference. A leaf that can change
has one holder, which then is the only one to follow.
"""

_ALLOCATED_BITS = 12
_ALLOCATED_MASK = (1 << _ALLOCATED_BITS) - 1

WINDOWS_PER_PAGE = 512
"""References in one EXTENTS row: 4 GiB of a file."""
_PAGE_SHIFT = 9

PAGES_PER_TURN = 8
"""Rows that are read or given back before other tasks get their turn."""

LEAF_CACHE_BYTES = 256 * 1024 * 1024
"""Memory for clean leaves: 10,900 dense ones, the working set of an 85 GiB disk written at random."""

_ALWAYS_CACHED = 64
"""Leaves that stay whatever they weigh, so that one operation's leaves do not push each other out."""


def reference_to(leaf: Leaf) -> LeafReference:
    """The reference that a holder of `leaf` keeps at this moment; 0 when it maps nothing."""
    reference: int = leaf.id << _ALLOCATED_BITS | leaf.allocated if leaf.allocated else 0
    return reference  # type: ignore[return-value]  # asked for every write: the call of a NewType takes 50 ns


def page_of(window: int) -> int:
    """The page of an extent map that a window is in."""
    return window >> _PAGE_SHIFT


def leaf_id(reference: LeafReference) -> LeafId:
    """The leaf that a reference names."""
    return reference >> _ALLOCATED_BITS  # type: ignore[return-value]  # as in reference_to


def allocated_blocks(reference: LeafReference) -> int:
    """The blocks that the leaf of a reference allocates, 0 for a hole."""
    return reference & _ALLOCATED_MASK


class ExtentMap:
    """The leaves of one file. Pages are loaded when they are needed; a window of a page not loaded must not be asked for."""

    __slots__ = ("_loaded", "_whole", "changed_pages", "number", "snapshots", "view", "windows")

    def __init__(self, number: int, view: CatalogView | SeenView, *, whole: bool = False) -> None:
        self.number = number
        self.view = view
        """The catalog that the map is read from: as it is, or as a snapshot holds it."""
        self.windows: SortedDict = SortedDict()
        """Window number -> LeafReference, never 0."""
        self.changed_pages: set[int] = set()
        self.snapshots: dict[int, SnapshotId] = {}
        """Page -> the volume's latest snapshot when the page was last changed."""
        self._loaded: set[int] = set()
        self._whole = whole

    def is_loaded(self, first: int, last: int) -> bool:
        """Whether the pages of windows first..last are in memory."""
        if self._whole:
            return True
        first >>= _PAGE_SHIFT
        last >>= _PAGE_SHIFT
        return first in self._loaded and (
            first == last or all(page in self._loaded for page in range(first + 1, last + 1))
        )

    async def load(self, first: int, last: int) -> None:
        """Bring the pages of windows first..last into memory. Raises Corrupt, Stale or StoreFailed."""
        first_page, last_page = first >> _PAGE_SHIFT, last >> _PAGE_SHIFT
        rows = await self.view.range(Table.EXTENTS, (self.number, first_page), (self.number, last_page + 1))
        for turn, ((_, page), (body, snapshot)) in enumerate(rows, 1):
            assert isinstance(page, int)
            assert isinstance(body, bytes)
            assert isinstance(snapshot, int)
            if page not in self._loaded:
                self.windows.update(unpack_page(self.number, page, body))
                self.snapshots[page] = SnapshotId(snapshot)
                self._loaded.add(page)
            if turn % PAGES_PER_TURN == 0:
                await trio.lowlevel.checkpoint()
        self._loaded.update(range(first_page, last_page + 1))

    def get(self, window: int) -> LeafReference:
        """The reference of a window, 0 for a hole."""
        found: LeafReference = self.windows.get(window, 0)
        return found

    def items(self, first: int, last: int) -> Iterator[tuple[int, LeafReference]]:
        """(window, reference) of first..last where there are leaves, ascending. The map must not change meanwhile."""
        for window in self.windows.irange(first, last):
            yield window, self.windows[window]

    def set(self, window: int, reference: LeafReference) -> None:
        """Let a window have another leaf, or none (0)."""
        if reference:
            self.windows[window] = reference
        else:
            self.windows.pop(window, None)
        self.changed_pages.add(window >> _PAGE_SHIFT)

    def page_row(self, page: int) -> Row | None:
        """The columns of Table.EXTENTS for a page that is in memory; None when it is all hole."""
        first = page << _PAGE_SHIFT
        body = array("Q")
        for window, reference in self.items(first, first + WINDOWS_PER_PAGE - 1):
            body.frombytes(bytes(8 * (window - first - len(body))))
            body.append(reference)
        return (body.tobytes(), self.snapshots.get(page, 0)) if body else None

    def collect(self, view: CatalogView) -> None:
        """Put the changed pages into the view."""
        for page in self.changed_pages:
            row = self.page_row(page)
            if row is not None:
                view.put(Table.EXTENTS, (self.number, page), row)
            else:
                view.delete(Table.EXTENTS, (self.number, page))
        self.changed_pages.clear()


def unpack_page(number: int, page: int, body: bytes) -> dict[int, LeafReference]:
    """Window -> reference of one EXTENTS row, holes left out. Raises Corrupt.

    A row ends with the last window that is no hole: a small file takes 8 bytes here and not 4 KiB.
    """
    if len(body) > 8 * WINDOWS_PER_PAGE or len(body) % 8:
        raise Corrupt(f"page {page} of inode {number}'s extent map has {len(body)} bytes")
    first = page << _PAGE_SHIFT
    return {
        first + index: LeafReference(reference)
        for index, reference in enumerate(array("Q", body))
        if reference
    }


def unpack_pin(body: bytes) -> list[LeafReference]:
    """The references of one PIN row. Raises Corrupt."""
    if len(body) % 8:
        raise Corrupt(f"a list of references has {len(body)} bytes")
    return [LeafReference(reference) for reference in array("Q", body)]


class LeafReferences:
    """How many extent maps and pins name each leaf; kept for two or more only, and for none while a leaf waits to be freed.

    All such counts of the pool are in memory (a shared leaf stands for up to 8 MiB and takes about 100 bytes here), so
    that sharing never waits.
    """

    def __init__(self) -> None:
        self.counts: dict[LeafReference, int] = {}
        """Holders where they are not one."""
        self.dead: deque[LeafReference] = deque()
        """Leaves without a holder, whose blocks are still to be released."""
        self._changed: set[LeafReference] = set()

    async def load(self, view: CatalogView) -> None:
        """Read all counts; leaves that were dying go on the list again."""
        for (reference,), (holders,) in await view.range(Table.LEAF_REFS, (0,), ((1 << 63) - 1,)):
            assert isinstance(reference, int)
            assert isinstance(holders, int)
            self.counts[LeafReference(reference)] = holders
            if not holders:
                self.dead.append(LeafReference(reference))

    def hold(self, reference: LeafReference) -> None:
        """One holder more."""
        self.counts[reference] = self.counts.get(reference, 1) + 1
        self._changed.add(reference)

    def drop(self, reference: LeafReference) -> None:
        """One holder less; after the last one the leaf is dead."""
        holders = self.counts.get(reference, 1) - 1
        if holders == 1:
            del self.counts[reference]
        else:
            self.counts[reference] = holders
            if holders == 0:
                self.dead.append(reference)
        self._changed.add(reference)

    def is_shared(self, reference: LeafReference) -> bool:
        """Whether the leaf has two or more holders and so must not change."""
        return reference in self.counts

    def bury(self, reference: LeafReference) -> None:
        """A dead leaf's blocks are released: it is no more."""
        del self.counts[reference]
        self._changed.add(reference)

    @property
    def has_changes(self) -> bool:
        """Whether counts wait for a commit."""
        return bool(self._changed)

    def collect(self, view: CatalogView) -> None:
        """Put the changed counts into the view."""
        for reference in self._changed:
            holders = self.counts.get(reference)
            if holders is None:
                view.delete(Table.LEAF_REFS, (reference,))
            else:
                view.put(Table.LEAF_REFS, (reference,), (holders,))
        self._changed.clear()

    def shared_blocks(self) -> int:
        """Blocks of leaves that have two or more holders."""
        return sum(allocated_blocks(reference) for reference, holders in self.counts.items() if holders)


class LeafCache:
    """The leaves in memory: changed ones until the next freeze, others while they are recent and fit."""

    def __init__(self, view: CatalogView, budget_bytes: int = LEAF_CACHE_BYTES) -> None:
        self._view = view
        self.budget_bytes = budget_bytes
        self._leaves: OrderedDict[LeafId, Leaf] = OrderedDict()
        self._dirty: dict[LeafId, Leaf] = {}
        self._logged: dict[LeafId, Leaf] = {}
        """Leaves whose rows are older than what the log says of them."""
        self._log = LeafLog()
        self.weight_bytes = 0
        self.get = self._leaves.get

    def touch(self, identifier: LeafId) -> None:
        """Note that a cached leaf was used."""
        self._leaves.move_to_end(identifier)

    async def load(self, reference: LeafReference) -> Leaf:
        """The leaf of a reference, read when it is not cached. Raises Corrupt or StoreFailed."""
        leaf = await self.look_at(reference)
        if leaf.id not in self._leaves:
            self.add(leaf)
        return leaf

    async def look_at(self, reference: LeafReference) -> Leaf:
        """The same for one look: a leaf that is read for it drives no other out of memory."""
        identifier = leaf_id(reference)
        leaf = self._leaves.get(identifier)
        if leaf is not None:
            return leaf
        row = await self._view.get(Table.LEAF, (identifier,))
        leaf = self._leaves.get(identifier)  # another task may have been quicker
        if leaf is not None:
            return leaf
        if row is None:
            raise Corrupt(f"leaf {identifier} is missing from the catalog")
        kind, body = row
        assert isinstance(kind, int)
        assert isinstance(body, bytes)
        leaf = Leaf.unpack(identifier, kind, body)
        leaf.changes = []
        if leaf.allocated != allocated_blocks(reference):
            raise Corrupt(f"leaf {identifier} maps {leaf.allocated} blocks, its holder says otherwise")
        return leaf

    def add(self, leaf: Leaf) -> None:
        """Keep a leaf that is new in memory."""
        self._leaves[leaf.id] = leaf
        self._charge(leaf)
        if self.weight_bytes > self.budget_bytes:
            self._evict()

    def mark_dirty(self, leaf: Leaf) -> None:
        """The leaf has changed: keep it, and write it with the next commit."""
        leaf.dirty = True
        self._dirty[leaf.id] = leaf

    def forget(self, leaf: Leaf) -> None:
        """The leaf is no more."""
        if self._leaves.pop(leaf.id, None) is not None:
            self.weight_bytes -= leaf.charged_bytes
        self._logged.pop(leaf.id, None)
        if self._dirty.pop(leaf.id, None) is not None:
            leaf.dirty = False

    @property
    def dirty_count(self) -> int:
        """Leaves that wait for a commit."""
        return len(self._dirty)

    def __len__(self) -> int:
        return len(self._leaves)

    def row(self, identifier: LeafId) -> Row | None:
        """The row of a leaf that the view has not as it is now; None for any other."""
        leaf = self._dirty.get(identifier) or self._logged.get(identifier)
        return leaf.pack() if leaf is not None else None

    def collect(self, view: CatalogView, *, whole: bool = True) -> None:
        """Put the changed leaves into the view: `whole`, with the end of the log, or by the log where few slots changed."""
        if not whole and self._fits_log:
            self._collect_changes(view)
        else:
            for leaf in (self._dirty | self._logged).values():
                self._put(view, leaf)
            self._logged.clear()
            self._log.clear(view)
        self._dirty.clear()
        self._evict()

    @property
    def _fits_log(self) -> bool:
        """A leaf that the log tells of goes on by the log, or its row is written with the end of the log."""
        return (
            len(self._logged) + len(self._dirty) <= MAX_LOGGED_LEAVES
            and self._log.slots + len(self._dirty) * MAX_CHANGES <= MAX_LOGGED_SLOTS
            and all(leaf.changes is not None for leaf in self._dirty.values() if leaf.id in self._logged)
        )

    def _collect_changes(self, view: CatalogView) -> None:
        entries: list[Entry] = []
        for identifier, leaf in self._dirty.items():
            if leaf.changes is None:
                self._put(view, leaf)
                continue
            entries += [(identifier, change) for change in leaf.take_changes()]
            self._logged[identifier] = leaf
            leaf.dirty = False
            self._charge(leaf)
        if entries:
            self._log.write(view, entries)

    def _put(self, view: CatalogView, leaf: Leaf) -> None:
        view.put(Table.LEAF, (leaf.id,), leaf.pack())
        leaf.dirty, leaf.changes = False, []
        self._charge(leaf)

    def _charge(self, leaf: Leaf) -> None:
        weight = leaf.weight_bytes
        self.weight_bytes += weight - leaf.charged_bytes
        leaf.charged_bytes = weight

    def _evict(self) -> None:
        """Let the least recently used clean leaves go until the rest fits."""
        excess = self.weight_bytes - self.budget_bytes
        candidates = len(self._leaves) - _ALWAYS_CACHED
        if excess <= 0 or candidates <= 0:
            return
        leaving: list[Leaf] = []
        for leaf in self._leaves.values():
            if candidates <= 0 or excess <= 0:
                break
            candidates -= 1
            if not leaf.dirty and leaf.id not in self._logged:
                leaving.append(leaf)
                excess -= leaf.charged_bytes
        for leaf in leaving:
            del self._leaves[leaf.id]
            self.weight_bytes -= leaf.charged_bytes
            leaf.charged_bytes = 0
