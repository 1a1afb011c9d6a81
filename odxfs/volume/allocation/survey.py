"""The survey: a slow walk over the leaves of all files, which tells how fragmented they are and which are worth re-packing.

It reads the extent maps from the catalog, page after page and round after round, and needs nothing of those who write.
"""

from dataclasses import dataclass

import trio

from odxfs.errors import Corrupt
from odxfs.types import InodeNumber
from odxfs.volume.catalog.interface import Key, Table, successor
from odxfs.volume.checksums import crc32c
from odxfs.volume.extents import LeafReference, allocated_blocks, leaf_id, unpack_page
from odxfs.volume.leaf import Leaf
from odxfs.volume.windows import Windows

WORTH_PIECES = 256
"""More pieces than this in a leaf make it worth re-packing: 32 KiB on average, so that reading it costs the disk 256 reads."""

_LEAVES_PER_CHECKPOINT = 16


@dataclass(frozen=True, slots=True)
class Fragmented:
    """A leaf in many pieces, as it was when the survey met it."""

    inode: InodeNumber
    window: int
    reference: LeafReference
    print: int
    """A checksum of its places: equal later on means that nothing was written since."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a whole round has seen."""

    leaves: int = 0
    """Leaves with so many blocks that they could be fragmented."""
    pieces: int = 0
    """Contiguous runs of blocks in them."""


def print_of(leaf: Leaf) -> int:
    """Changes whenever the leaf comes to name other blocks or others' bytes. Only of a dense leaf.

    The checksums are in it because a block that was written over twice may be in its old place again.
    """
    return crc32c(leaf.crcs, crc32c(leaf.places)) if leaf.places is not None else 0


class Survey:
    """One walk, for one task."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._key: Key = (0, 0)
        self._page: list[tuple[InodeNumber, int, LeafReference]] = []
        self._leaves = self._pieces = 0
        self.last = Round()
        self.rounds = 0

    async def step(self, leaves: int) -> list[Fragmented]:
        """Look at up to `leaves` leaves, or to the end of the round; returns those that are worth re-packing."""
        found: list[Fragmented] = []
        for turn in range(leaves):
            if not self._page and not await self._next_page():
                self.last, self.rounds = Round(self._leaves, self._pieces), self.rounds + 1
                self._leaves = self._pieces = 0
                break
            if not self._page:
                continue
            inode, window, reference = self._page.pop()
            leaf = await self._look_at(reference)
            if leaf is not None and self._count(leaf) > WORTH_PIECES:
                found.append(Fragmented(inode, window, reference, print_of(leaf)))
            if turn % _LEAVES_PER_CHECKPOINT == _LEAVES_PER_CHECKPOINT - 1:
                await trio.lowlevel.checkpoint()
        return found

    async def _next_page(self) -> bool:
        """Go on to the next page of an extent map; False after the last one, and then begin anew."""
        rows = await self._windows.view.range(Table.EXTENTS, self._key, (1 << 62,), 1)
        if not rows:
            self._key = (0, 0)
            return False
        ((number, page), row) = rows[0]
        self._key = successor((number, page))
        assert isinstance(number, int)
        assert isinstance(page, int)
        assert isinstance(row[0], bytes)
        try:
            references = unpack_page(number, page, row[0])
        except Corrupt:
            return True  # for the check and whoever reads the file to say
        worth = [
            (InodeNumber(number), window, reference)
            for window, reference in references.items()
            if allocated_blocks(reference) > WORTH_PIECES
        ]
        self._page = worth[::-1]
        return True

    async def _look_at(self, reference: LeafReference) -> Leaf | None:
        """The leaf as it is now, without making room for it in the cache; None when it is gone or damaged."""
        identifier = leaf_id(reference)
        leaf = self._windows.leaves.get(identifier)
        if leaf is not None:
            return leaf
        row = await self._windows.view.get(Table.LEAF, (identifier,))
        if row is None:
            return None
        kind, body = row
        assert isinstance(kind, int)
        assert isinstance(body, bytes)
        try:
            return Leaf.unpack(identifier, kind, body)
        except Corrupt:
            return None

    def _count(self, leaf: Leaf) -> int:
        pieces = leaf.count_pieces()
        self._leaves += 1
        self._pieces += pieces
        return pieces
