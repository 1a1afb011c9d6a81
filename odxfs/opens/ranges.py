"""Ranges of bytes, and how many of them meet another one.

Whether locks are in the way is a matter of counting: of all ranges, those that meet bytes `offset` to `end` are the ones
that begin before `end` less the ones that are over at `offset`. Two sorted lists answer that in logarithmic time, whatever
was locked.
"""

from typing import NamedTuple

from sortedcontainers import SortedList


class LockRange(NamedTuple):
    """Byte `offset` and `length` of a lock; `end` is exclusive."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first byte past the range."""
        return self.offset + self.length


class Ranges:
    """A heap of ranges, of which some may be the same, that can tell how many of them meet another one."""

    def __init__(self) -> None:
        self._starts: SortedList = SortedList()
        self._ends: SortedList = SortedList()
        self._positions: SortedList = SortedList()
        """Where the ranges of length 0 are."""

    def add(self, added: LockRange) -> None:
        """Put in a range."""
        if added.length:
            self._starts.add(added.offset)
            self._ends.add(added.end)
        else:
            self._positions.add(added.offset)

    def remove(self, removed: LockRange) -> None:
        """Take out a range that is in."""
        if removed.length:
            self._starts.remove(removed.offset)
            self._ends.remove(removed.end)
        else:
            self._positions.remove(removed.offset)

    def meeting(self, wanted: LockRange) -> int:
        """How many meet `wanted`. An empty range meets only what has it strictly inside (MS-FSA 2.1.4.10)."""
        offset, end = wanted.offset, wanted.end
        count: int = self._starts.bisect_left(end) - self._ends.bisect_right(offset)
        if wanted.length and self._positions:
            count += self._positions.bisect_left(end) - self._positions.bisect_right(offset)
        return count
