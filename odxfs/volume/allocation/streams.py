"""Streams: small writes that go on where another ended get neighbouring blocks, whatever is written in between.

Copy on write takes a new block for every write, in the order of writing. So files that grow in turns, or a disk that is
written at several places at once, would be in pieces of one write each. Here a write that continues another takes its
blocks from a run that is kept back for the stream: 128 KiB at first, twice as much each time it is used up, to 1 MiB.

A random write costs a look into a dictionary; nothing is kept back for it, since placing it beside neighbours that are
overwritten elsewhere soon gains nothing. It gets the block that was freed last of those that no commit has named: its page is
in memory, and goes to the disk once however often it is written between two commits.

What is kept back is busy in memory only: free for statfs, and given back when the disk is full, when the pool is idle, and when
more streams have begun since than are remembered.
"""

from typing import TYPE_CHECKING

from odxfs.volume.leaf import Run

if TYPE_CHECKING:
    from odxfs.volume.allocation.space import Space

_REMEMBERED = 1024
"""Ends of writes that may be continued, one in each MiB of a file; a power of two. At most 1 GiB kept back, if all of them
were long streams; some 100 KiB of memory."""

_MEBIBYTE_SHIFT = 8

_FIRST_BLOCKS = 32
_MOST_BLOCKS = 256
"""Kept back for a stream at first, and at most."""


_MOST_WARM = 1024
"""Freed blocks that are kept for the next random writes: 4 MiB."""

End = tuple[int, int, int, int, int]
"""Where a write ended: block and inode; what is kept back for the one that goes on there: place, blocks, and how many blocks
to keep back next. No NamedTuple: one is made for each small write."""


class Streams:
    """Allocates blocks for small writes. All methods are synchronous and for the trio thread."""

    def __init__(self, space: "Space") -> None:
        self._space = space
        self._ends: list[End | None] = [None] * _REMEMBERED
        """By inode and MiB of the file, mixed: a table in which newer ends drive out older ones, since a look must be fast."""
        self._warm: list[int] = []
        self.blocks = 0
        """Blocks that are kept back."""

    def allocate(self, inode: int, block: int, count: int) -> list[Run]:
        """Take `count` blocks for a write at a block of a file; as Space.allocate."""
        space, ends = self._space, self._ends
        index = (block >> _MEBIBYTE_SHIFT ^ inode) & (_REMEMBERED - 1)
        end, stop = ends[index], block + count
        new: End
        if end is None or end[0] != block or end[1] != inode or space.is_pressed:
            if count == 1 and self._warm:
                self.blocks -= 1
                runs = [(self._warm.pop(), 1)]
            else:
                runs = space.allocate(count)
            new = (stop, inode, 0, 0, _FIRST_BLOCKS)
        else:
            ends[index] = None
            runs, new = self._go_on(end, count)
        index = (stop >> _MEBIBYTE_SHIFT ^ inode) & (_REMEMBERED - 1)
        old, ends[index] = ends[index], new
        if old is not None and old[3]:
            self._give_back(old)
        return runs

    def keep(self, place: int) -> bool:
        """Keep a block that was freed and is nobody's, busy still, for the next random write; False when there are enough."""
        if len(self._warm) >= _MOST_WARM:
            return False
        self._warm.append(place)
        self.blocks += 1
        return True

    def dissolve(self) -> None:
        """Give everything back that is kept back; streams that go on begin anew."""
        warm, self._warm = self._warm, []
        self.blocks -= len(warm)
        self._space.give_back([(place, 1) for place in warm])
        ends, self._ends = self._ends, [None] * _REMEMBERED
        for end in ends:
            if end is not None and end[3]:
                self._give_back(end)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _go_on(self, end: End, count: int) -> tuple[list[Run], End]:
        """Use what is kept back; when that is too little, keep back a run for what follows, too."""
        block, inode, place, left, wanted = end
        if left >= count:
            self.blocks -= count
            return [(place, count)], (block + count, inode, place + count, left - count, wanted)
        runs = [(place, left)] if left else []
        self.blocks -= left
        missing = count - left
        try:
            fresh = self._space.allocate(missing + wanted)
        except BaseException:
            self._space.give_back(runs)
            raise
        place, left = fresh.pop(0)
        while missing >= left:
            runs.append((place, left))
            missing -= left
            place, left = fresh.pop(0)
        if missing:
            runs.append((place, missing))
        self._space.give_back(fresh)  # what follows is to lie in one run, or to look again
        self.blocks += left - missing
        return runs, (block + count, inode, place + missing, left - missing, min(2 * wanted, _MOST_BLOCKS))

    def _give_back(self, end: End) -> None:
        _, _, place, left, _ = end
        self.blocks -= left
        self._space.give_back([(place, left)])
