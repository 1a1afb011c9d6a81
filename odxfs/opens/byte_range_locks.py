"""The byte-range locks of one file (MS-FSA 2.1.4.10, 2.1.5.8, 2.1.5.9).

A range of length 0 locks nothing but its position: it conflicts with a range that contains the position strictly inside,
never with reads and writes of zero bytes.
"""

from __future__ import annotations

import errno as _errno
from collections import Counter

from odxfs.errors import VolumeError
from odxfs.ntstatus import Status
from odxfs.opens.ranges import LockRange, Ranges

MAX_LOCKS_PER_FILE = 65536
"""Byte-range locks of one file, of all opens together: about 32 MiB. A database that many clients share holds thousands."""


class TooManyLocks(VolumeError):
    """The file has MAX_LOCKS_PER_FILE locks."""

    errno, status = _errno.ENOLCK, Status.INSUFFICIENT_RESOURCES


class _Owned:
    """The locks of one owner; it may hold the same range more than once."""

    def __init__(self) -> None:
        self.shared: Counter[LockRange] = Counter()
        self.exclusive: Counter[LockRange] = Counter()
        self.exclusive_ranges = Ranges()


class ByteRangeLocks:
    """All locks of one file."""

    def __init__(self) -> None:
        self._shared = Ranges()
        self._exclusive = Ranges()
        self._owned: dict[object, _Owned] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, offset: int, length: int, owner: object, *, exclusive: bool) -> bool:
        """Take the lock unless another stands in its way; False when one does. Raises TooManyLocks.

        An owner's own locks stand in its way too, but for one case: a shared lock may lie on its own exclusive one.
        """
        wanted = LockRange(offset, length)
        if exclusive and (self._shared.meeting(wanted) or self._exclusive.meeting(wanted)):
            return False
        if not exclusive and self._is_kept_by_another(wanted, owner):
            return False
        if self._count >= MAX_LOCKS_PER_FILE:
            raise TooManyLocks(f"the file has {self._count} byte-range locks")
        self._insert(wanted, owner, exclusive=exclusive)
        return True

    def remove(self, offset: int, length: int, owner: object) -> bool:
        """Give up `owner`'s lock of exactly this range; False when there is none. Exclusive ones go first."""
        removed, owned = LockRange(offset, length), self._owned.get(owner)
        if owned is None:
            return False
        if owned.exclusive[removed]:
            self._exclusive.remove(removed)
            owned.exclusive_ranges.remove(removed)
            _decrease(owned.exclusive, removed)
        elif owned.shared[removed]:
            self._shared.remove(removed)
            _decrease(owned.shared, removed)
        else:
            return False
        self._count -= 1
        if not owned.exclusive and not owned.shared:
            del self._owned[owner]
        return True

    def remove_owner(self, owner: object) -> int:
        """Give up every lock of `owner`; how many there were."""
        owned = self._owned.pop(owner, None)
        if owned is None:
            return 0
        for held in owned.exclusive.elements():
            self._exclusive.remove(held)
        for held in owned.shared.elements():
            self._shared.remove(held)
        count = owned.exclusive.total() + owned.shared.total()
        self._count -= count
        return count

    def of_owner(self, owner: object) -> list[tuple[int, int, bool]]:
        """Every lock of `owner`: offset, length, exclusive."""
        owned = self._owned.get(owner)
        if owned is None:
            return []
        kinds = ((owned.exclusive, True), (owned.shared, False))
        return [(held.offset, held.length, kind) for locks, kind in kinds for held in locks.elements()]

    def read_conflicts(self, offset: int, length: int, owner: object) -> bool:
        """Whether reading the bytes meets an exclusive lock of somebody else."""
        return bool(length) and self._is_kept_by_another(LockRange(offset, length), owner)

    def write_conflicts(self, offset: int, length: int, owner: object) -> bool:
        """Whether writing the bytes meets a shared lock of anybody, the writer too, or an exclusive one of another."""
        if not length:
            return False
        wanted = LockRange(offset, length)
        return bool(self._shared.meeting(wanted)) or self._is_kept_by_another(wanted, owner)

    def meets(self, wanted: LockRange, *, exclusive: bool) -> bool:
        """Whether a lock meets the range, whosever it is; an exclusive one when `exclusive`, else any."""
        return bool(self._exclusive.meeting(wanted) or (not exclusive and self._shared.meeting(wanted)))

    def first_meeting(self, wanted: LockRange, *, exclusive: bool) -> tuple[LockRange, bool] | None:
        """The lowest of the locks that `meets` speaks of, and whether it is exclusive. Looks at every lock of the file."""
        found = [
            (held, kind)
            for owned in self._owned.values()
            for kind, locks in ((True, owned.exclusive), (False, owned.shared))
            if kind or not exclusive
            for held in locks
            if held.offset < wanted.end and wanted.offset < held.end
        ]
        return min(found, default=None)

    def _is_kept_by_another(self, wanted: LockRange, owner: object) -> bool:
        """Whether an exclusive lock meets the range that is not `owner`'s: there are more of them than its own."""
        count = self._exclusive.meeting(wanted)
        if not count:
            return False
        owned = self._owned.get(owner)
        return owned is None or count > owned.exclusive_ranges.meeting(wanted)

    def _insert(self, added: LockRange, owner: object, *, exclusive: bool) -> None:
        owned = self._owned.setdefault(owner, _Owned())
        if exclusive:
            self._exclusive.add(added)
            owned.exclusive_ranges.add(added)
            owned.exclusive[added] += 1
        else:
            self._shared.add(added)
            owned.shared[added] += 1
        self._count += 1


def _decrease(counter: Counter[LockRange], key: LockRange) -> None:
    """Count one less; what is counted zero times is not kept."""
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
