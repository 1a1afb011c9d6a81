"""The byte-range locks of one file (MS-FSA 2.1.4.10, 2.1.5.8, 2.1.5.9).

Locks are kept sorted by offset. A range of length 0 locks nothing but its position: it conflicts with a range that
contains the position strictly inside, never with reads and writes of zero bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sortedcontainers import SortedKeyList


class LockRange(NamedTuple):
    """Byte `offset` and `length` of a lock; `end` is exclusive."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first byte past the range."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True, eq=False)
class ByteRangeLock:
    """One lock; compared by identity, since an owner may hold the same shared range twice."""

    range: LockRange
    exclusive: bool
    owner: object


def overlaps(first: LockRange, second: LockRange) -> bool:
    """Whether two ranges meet. An empty one meets only what has it strictly inside (MS-FSA 2.1.4.10)."""
    if first.length == 0 and second.length == 0:
        return False
    return first.offset < second.end and second.offset < first.end


class ByteRangeLocks:
    """All locks of one file. `longest` bounds how far to the left of a range a lock that meets it can begin."""

    def __init__(self) -> None:
        self._locks: SortedKeyList = SortedKeyList(key=_offset_of)
        self._longest = 0

    def __len__(self) -> int:
        return len(self._locks)

    def add(self, offset: int, length: int, owner: object, *, exclusive: bool) -> bool:
        """Take the lock unless another stands in its way; False when one does.

        An owner's own locks stand in its way too, but for one case: a shared lock may lie on its own exclusive one.
        """
        wanted = LockRange(offset, length)
        for held in self._meeting(wanted):
            if exclusive or (held.exclusive and held.owner is not owner):
                return False
        self._locks.add(ByteRangeLock(wanted, exclusive, owner))
        self._longest = max(self._longest, length)
        return True

    def remove(self, offset: int, length: int, owner: object) -> bool:
        """Give up `owner`'s lock of exactly this range; False when there is none. Exclusive ones go first."""
        found = [
            held
            for held in self._locks.irange_key(offset, offset)
            if held.owner is owner and held.range.length == length
        ]
        if not found:
            return False
        found.sort(key=lambda held: not held.exclusive)
        self._locks.remove(found[0])
        return True

    def remove_owner(self, owner: object) -> int:
        """Give up every lock of `owner`; how many there were."""
        mine = [held for held in self._locks if held.owner is owner]
        for held in mine:
            self._locks.remove(held)
        return len(mine)

    def read_conflicts(self, offset: int, length: int, owner: object) -> bool:
        """Whether reading the bytes meets an exclusive lock of somebody else."""
        return any(held.exclusive and held.owner is not owner for held in self._meeting_bytes(offset, length))

    def write_conflicts(self, offset: int, length: int, owner: object) -> bool:
        """Whether writing the bytes meets a shared lock of anybody, the writer too, or an exclusive one of another."""
        return any(
            not held.exclusive or held.owner is not owner for held in self._meeting_bytes(offset, length)
        )

    def _meeting_bytes(self, offset: int, length: int) -> Iterator[ByteRangeLock]:
        return self._meeting(LockRange(offset, length)) if length else iter(())

    def _meeting(self, wanted: LockRange) -> Iterator[ByteRangeLock]:
        low = wanted.offset - self._longest
        for held in self._locks.irange_key(low, wanted.end):
            if overlaps(wanted, held.range):
                yield held


def _offset_of(lock: ByteRangeLock) -> int:
    return lock.range.offset
