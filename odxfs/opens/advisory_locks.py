"""The locks that local programs take on one file: byte ranges as fcntl(2) has them, and whole files as flock(2) has them.

They bind local programs only when those ask for locks themselves. The share they bind always (`file_locks`).

An owner has at most one lock on a byte. What it locks anew takes the place of what it held there, so its ranges are cut,
merged and change their kind; ranges of one kind that touch are one. Offsets are below 2**63, as off_t is signed.
"""

from __future__ import annotations

from typing import NamedTuple

from sortedcontainers import SortedKeyList

from odxfs.opens.byte_range_locks import TooManyLocks
from odxfs.opens.ranges import LockRange, Ranges

WHOLE_FILE = LockRange(0, 2**63)
"""Every byte that a file can have. SMB knows locks further up, which meet no data and so nothing here."""

MAX_ADVISORY_LOCKS_PER_FILE = 65536
"""Ranges of one file, of all owners together, counted beside those of the share: neither can use up the other's."""


class AdvisoryLock(NamedTuple):
    """One range of one owner; `pid` is the process that took it, for F_GETLK."""

    range: LockRange
    exclusive: bool
    pid: int


class RangeOwners:
    """The fcntl(2) locks of one file, by owner: a process, or for OFD locks an open file description."""

    def __init__(self) -> None:
        self._shared = Ranges()
        self._exclusive = Ranges()
        self._owned: dict[object, SortedKeyList] = {}
        self._exclusive_of: dict[object, Ranges] = {}
        self._shared_of: dict[object, Ranges] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def conflicts(self, wanted: LockRange, owner: object, *, exclusive: bool) -> bool:
        """Whether a lock of another owner is in the way of one of that kind."""
        others = self._exclusive.meeting(wanted) - _meeting(self._exclusive_of.get(owner), wanted)
        if exclusive and not others:
            others = self._shared.meeting(wanted) - _meeting(self._shared_of.get(owner), wanted)
        return bool(others)

    def meets(self, wanted: LockRange, *, exclusive: bool) -> bool:
        """Whether a lock of anybody meets the range; an exclusive one when `exclusive`, else any."""
        return bool(self._exclusive.meeting(wanted) or (not exclusive and self._shared.meeting(wanted)))

    def first_conflict(self, wanted: LockRange, owner: object, *, exclusive: bool) -> AdvisoryLock | None:
        """The lowest lock that `conflicts`; looks at each owner."""
        found = [
            lock
            for other, held in self._owned.items()
            if other != owner
            for lock in _overlapping(held, wanted)
            if exclusive or lock.exclusive
        ]
        return min(found, default=None)

    def set(self, owner: object, lock: AdvisoryLock) -> None:
        """Give `owner` the lock, which conflicts with nobody's. Raises TooManyLocks, then nothing has changed."""
        held = self._owned.get(owner)
        touching = _overlapping(held, _grown(lock.range)) if held is not None else []
        replaced = [other for other in touching if _must_go(other, lock)]
        self._replace(owner, replaced, [_merged(replaced, lock), *_remainders(replaced, lock)])

    def clear(self, owner: object, wanted: LockRange) -> bool:
        """Unlock the range, if any of it is locked; whether it was. Raises TooManyLocks where a lock must become two."""
        held = self._owned.get(owner)
        replaced = _overlapping(held, wanted) if held is not None else []
        kept = [part for lock in replaced for part in _cut(lock, wanted)]
        self._replace(owner, replaced, kept)
        return bool(replaced)

    def clear_owner(self, owner: object) -> bool:
        """Unlock all that `owner` has; whether there was anything."""
        held = list(self._owned.get(owner, ()))
        self._replace(owner, held, [])
        return bool(held)

    def _replace(self, owner: object, old: list[AdvisoryLock], new: list[AdvisoryLock]) -> None:
        growth = len(new) - len(old)
        if growth > 0 and self._count + growth > MAX_ADVISORY_LOCKS_PER_FILE:
            raise TooManyLocks(f"the file has {self._count} locks of local programs")
        if not old and not new:
            return
        held = self._owned.setdefault(owner, SortedKeyList(key=_offset))
        own = {
            True: self._exclusive_of.setdefault(owner, Ranges()),
            False: self._shared_of.setdefault(owner, Ranges()),
        }
        for lock in old:
            held.remove(lock)
            own[lock.exclusive].remove(lock.range)
            self._all_of(lock.exclusive).remove(lock.range)
        for lock in new:
            held.add(lock)
            own[lock.exclusive].add(lock.range)
            self._all_of(lock.exclusive).add(lock.range)
        self._count += growth
        if not held:
            del self._owned[owner], self._exclusive_of[owner], self._shared_of[owner]

    def _all_of(self, exclusive: bool) -> Ranges:
        return self._exclusive if exclusive else self._shared


class WholeFileOwners:
    """The flock(2) locks of one file, by open file description: one exclusive one, or any number of shared ones."""

    def __init__(self) -> None:
        self._exclusive_by_owner: dict[object, bool] = {}

    def __len__(self) -> int:
        return len(self._exclusive_by_owner)

    def conflicts(self, owner: object, *, exclusive: bool) -> bool:
        """Whether a lock of another owner is in the way of one of that kind."""
        return any(
            (exclusive or kind) for other, kind in self._exclusive_by_owner.items() if other is not owner
        )

    def meets(self, wanted: LockRange, *, exclusive: bool) -> bool:
        """Whether anybody's lock meets the range; an exclusive one when `exclusive`, else any."""
        if wanted.offset >= WHOLE_FILE.end or not self._exclusive_by_owner:
            return False
        if not wanted.length and not wanted.offset:
            return False  # at its very beginning an empty range is not strictly inside (MS-FSA 2.1.4.10)
        return not exclusive or any(self._exclusive_by_owner.values())

    def set(self, owner: object, *, exclusive: bool) -> None:
        """Give `owner` the lock, which conflicts with nobody's, in place of the one it may have."""
        self._exclusive_by_owner[owner] = exclusive

    def clear(self, owner: object) -> bool:
        """Unlock; whether `owner` had a lock."""
        return self._exclusive_by_owner.pop(owner, None) is not None


def _offset(lock: AdvisoryLock) -> int:
    return lock.range.offset


def _meeting(ranges: Ranges | None, wanted: LockRange) -> int:
    return ranges.meeting(wanted) if ranges is not None else 0


def _overlapping(held: SortedKeyList, wanted: LockRange) -> list[AdvisoryLock]:
    """Those of an owner's locks, which never overlap each other, that have a byte of `wanted`."""
    first = max(0, held.bisect_key_right(wanted.offset) - 1)
    found = list(held.islice(first, held.bisect_key_left(wanted.end)))
    return found[1:] if found and found[0].range.end <= wanted.offset else found


def _grown(wanted: LockRange) -> LockRange:
    """The range and a byte on either side, to find what touches it."""
    return LockRange(wanted.offset - 1, wanted.length + 2)


def _must_go(held: AdvisoryLock, lock: AdvisoryLock) -> bool:
    """Of the locks that touch: one of the same kind becomes part of `lock`, one of the other kind only where they overlap."""
    if held.exclusive == lock.exclusive:
        return True
    return held.range.offset < lock.range.end and lock.range.offset < held.range.end


def _merged(replaced: list[AdvisoryLock], lock: AdvisoryLock) -> AdvisoryLock:
    same = [held.range for held in replaced if held.exclusive == lock.exclusive]
    offset = min(part.offset for part in (lock.range, *same))
    end = max(part.end for part in (lock.range, *same))
    return lock._replace(range=LockRange(offset, end - offset))


def _remainders(replaced: list[AdvisoryLock], lock: AdvisoryLock) -> list[AdvisoryLock]:
    """What is left, outside the new lock, of those of the other kind."""
    return [part for held in replaced if held.exclusive != lock.exclusive for part in _cut(held, lock.range)]


def _cut(held: AdvisoryLock, hole: LockRange) -> list[AdvisoryLock]:
    """The lock without the bytes of `hole`."""
    before = LockRange(held.range.offset, hole.offset - held.range.offset)
    after = LockRange(hole.end, held.range.end - hole.end)
    return [held._replace(range=part) for part in (before, after) if part.length > 0]
