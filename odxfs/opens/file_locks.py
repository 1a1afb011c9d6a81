"""Every lock of one file, and which of them are in each other's way.

| wanted, or done           | is refused by                                                                  |
|---------------------------|--------------------------------------------------------------------------------|
| LOCK of the share         | the share's locks (`byte_range_locks`), fcntl(2) and flock(2) locks that meet it |
| READ of the share         | the share's exclusive locks of others, exclusive fcntl and flock locks         |
| WRITE of the share        | the share's locks as MS-FSA says, any fcntl and flock lock                     |
| fcntl(2) lock             | fcntl locks of other owners, the share's locks                                 |
| flock(2) lock             | flock locks of other opens, the share's locks anywhere in the file             |
| read(2), write(2)         | the share's locks only                                                         |

So local programs see among themselves what Linux promises them, advisory locks of two kinds that do not know each other,
and a client of the share sees one kind, mandatory, as from a server with strict locking.
"""

from __future__ import annotations

from odxfs.opens.advisory_locks import WHOLE_FILE, AdvisoryLock, RangeOwners, WholeFileOwners
from odxfs.opens.byte_range_locks import ByteRangeLocks
from odxfs.opens.ranges import LockRange

PID_OF_THE_SHARE = 0
"""Who holds a lock that is no process of this machine."""


class FileLocks:
    """The locks of one file. `entry` is an open everywhere; closing it gives up what was locked through it."""

    def __init__(self) -> None:
        self._mandatory = ByteRangeLocks()
        self._ranges = RangeOwners()
        self._whole = WholeFileOwners()
        self._owners_through: dict[object, set[int]] = {}

    def __len__(self) -> int:
        return len(self._mandatory) + len(self._ranges) + len(self._whole)

    def lock(self, entry: object, offset: int, length: int, *, exclusive: bool) -> bool:
        """Take a mandatory lock; False when another is in its way. Raises TooManyLocks."""
        if self._is_kept_locally(LockRange(offset, length), exclusive=not exclusive):
            return False
        return self._mandatory.add(offset, length, entry, exclusive=exclusive)

    def unlock(self, entry: object, offset: int, length: int) -> bool:
        """Give up a mandatory lock of exactly this range; False when there is none."""
        return self._mandatory.remove(offset, length, entry)

    def of_open(self, entry: object) -> list[tuple[int, int, bool]]:
        """The mandatory locks that were taken through an open: offset, length, exclusive."""
        return self._mandatory.of_owner(entry)

    def forbids_client_to_read(self, entry: object, offset: int, length: int) -> bool:
        """Whether a client of the share may not read the bytes."""
        return self.forbids_reading(entry, offset, length) or (
            bool(length) and self._is_kept_locally(LockRange(offset, length), exclusive=True)
        )

    def forbids_client_to_write(self, entry: object, offset: int, length: int) -> bool:
        """Whether a client of the share may not write the bytes."""
        return self.forbids_writing(entry, offset, length) or (
            bool(length) and self._is_kept_locally(LockRange(offset, length), exclusive=False)
        )

    def forbids_reading(self, entry: object, offset: int, length: int) -> bool:
        """Whether a mandatory lock forbids reading the bytes."""
        return bool(self._mandatory) and self._mandatory.read_conflicts(offset, length, entry)

    def forbids_writing(self, entry: object, offset: int, length: int) -> bool:
        """Whether a mandatory lock forbids writing the bytes."""
        return bool(self._mandatory) and self._mandatory.write_conflicts(offset, length, entry)

    def lock_range(self, entry: object, owner: int, lock: AdvisoryLock) -> bool:
        """fcntl(2): take the lock, or change to it; False when another is in its way. Raises TooManyLocks."""
        if self._ranges.conflicts(lock.range, owner, exclusive=lock.exclusive):
            return False
        if self._mandatory.meets(lock.range, exclusive=not lock.exclusive):
            return False
        self._ranges.set(owner, lock)
        self._owners_through.setdefault(entry, set()).add(owner)
        return True

    def unlock_range(self, owner: int, wanted: LockRange) -> bool:
        """fcntl(2): give up what `owner` has of the range; whether there was anything. Raises TooManyLocks."""
        return self._ranges.clear(owner, wanted)

    def range_conflict(self, owner: int, lock: AdvisoryLock) -> AdvisoryLock | None:
        """fcntl(2), F_GETLK: a lock that is in the way, or None. The share's have PID_OF_THE_SHARE."""
        found = self._ranges.first_conflict(lock.range, owner, exclusive=lock.exclusive)
        if found is not None:
            return found
        mandatory = self._mandatory.first_meeting(lock.range, exclusive=not lock.exclusive)
        return AdvisoryLock(*mandatory, PID_OF_THE_SHARE) if mandatory is not None else None

    def lock_whole(self, entry: object, *, exclusive: bool) -> bool:
        """flock(2): take the lock, or change to it; False when another is in its way."""
        if self._whole.conflicts(entry, exclusive=exclusive):
            return False
        if self._mandatory.meets(WHOLE_FILE, exclusive=not exclusive):
            return False
        self._whole.set(entry, exclusive=exclusive)
        return True

    def unlock_whole(self, entry: object) -> bool:
        """flock(2): give up the lock; whether there was one."""
        return self._whole.clear(entry)

    def forget_owner(self, owner: int) -> bool:
        """A process closed a descriptor of the file: all its fcntl locks go (POSIX); whether there were any."""
        for owners in self._owners_through.values():
            owners.discard(owner)
        return self._ranges.clear_owner(owner)

    def forget_open(self, entry: object) -> None:
        """An open ended, with all that was locked through it.

        What is left of that are its OFD locks: every process has closed its descriptors before (`forget_owner`).
        """
        self._mandatory.remove_owner(entry)
        self._whole.clear(entry)
        for owner in self._owners_through.pop(entry, ()):
            self._ranges.clear_owner(owner)

    def _is_kept_locally(self, wanted: LockRange, *, exclusive: bool) -> bool:
        """Whether a local lock meets the range; an exclusive one when `exclusive`, else any."""
        return self._ranges.meets(wanted, exclusive=exclusive) or self._whole.meets(
            wanted, exclusive=exclusive
        )
