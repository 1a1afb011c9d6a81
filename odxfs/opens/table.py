"""Who has which file open, and what they allow each other. Pure state: nothing here waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from odxfs.errors import SharingViolation
from odxfs.opens import share_modes
from odxfs.opens.byte_range_locks import ByteRangeLocks
from odxfs.types import InodeNumber

DirectoryName = tuple[InodeNumber, bytes]
"""A directory and the name of one of its entries."""


@dataclass(slots=True, eq=False)
class OpenEntry:
    """One open as the table knows it; `owner` is the front end's own object. Compared by identity."""

    number: InodeNumber
    access: int
    share: int
    owner: object
    lock_count: int = 0


@dataclass(slots=True)
class _OpenFile:
    entries: set[OpenEntry] = field(default_factory=set)
    locks: ByteRangeLocks | None = None
    """Made with the first lock: few files ever have one, and making it costs more than all the rest of an open."""
    delete_pending: bool = False
    delete_name: DirectoryName | None = None
    released: list[Callable[[], None]] = field(default_factory=list)


class OpenTable:
    """Every open of every front end, by inode number (unique in a pool)."""

    def __init__(self) -> None:
        self._files: dict[InodeNumber, _OpenFile] = {}

    def __len__(self) -> int:
        return sum(len(file.entries) for file in self._files.values())

    def open(self, number: InodeNumber, access: int, share: int, owner: object) -> OpenEntry:
        """Register an open with the granted `access` and what it shares; raises SharingViolation, then nothing is kept."""
        if not self.check(number, access, share):
            raise SharingViolation(f"inode {number} is open without sharing this access")
        entry = OpenEntry(number, access, share, owner)
        file = self._files.get(number)
        if file is None:
            file = self._files[number] = _OpenFile()
        file.entries.add(entry)
        return entry

    def check(
        self, number: InodeNumber, access: int, share: int, *, besides: OpenEntry | None = None
    ) -> bool:
        """Whether an open with `access` and `share` would be allowed now; `besides` is an open that is not asked."""
        file = self._files.get(number)
        if file is None:
            return True
        return all(
            entry is besides or share_modes.compatible(access, share, entry.access, entry.share)
            for entry in file.entries
        )

    def close(self, entry: OpenEntry) -> bool:
        """Forget the open and its locks. True when it was the last one and delete is pending: the caller then unlinks."""
        file = self._files.get(entry.number)
        if file is None or entry not in file.entries:
            return False
        file.entries.discard(entry)
        if entry.lock_count and file.locks is not None:
            file.locks.remove_owner(entry)
        if not file.entries:
            del self._files[entry.number]
        _tell(file)
        return not file.entries and file.delete_pending

    def is_last(self, entry: OpenEntry) -> bool:
        """Whether closing `entry` would leave its inode without opens."""
        file = self._files.get(entry.number)
        return file is not None and file.entries == {entry}

    def opens_of(self, number: InodeNumber) -> Iterator[OpenEntry]:
        """The opens of one inode, in no order; safe against changes while it is walked."""
        file = self._files.get(number)
        return iter(list(file.entries) if file is not None else [])

    def is_open(self, number: InodeNumber) -> bool:
        """Whether anybody has the inode open."""
        file = self._files.get(number)
        return file is not None and bool(file.entries)

    def set_delete_pending(
        self, number: InodeNumber, pending: bool, name: DirectoryName | None = None
    ) -> None:
        """Mark an open inode to go with its last close (or not, after all). Nothing is open: nothing happens.

        `name` is the one of a file's names that was opened by whoever asked, and the only one that he may remove.
        """
        file = self._files.get(number)
        if file is not None:
            file.delete_pending = pending
            file.delete_name = name if pending else None

    def is_delete_pending(self, number: InodeNumber) -> bool:
        """Whether the inode goes with its last close; no new open may be made then."""
        file = self._files.get(number)
        return file is not None and file.delete_pending

    def name_to_delete(self, number: InodeNumber) -> DirectoryName | None:
        """The name that deletion was asked for; None when none is pending or no name was told."""
        file = self._files.get(number)
        return file.delete_name if file is not None else None

    def lock(self, entry: OpenEntry, offset: int, length: int, *, exclusive: bool) -> bool:
        """Lock a byte range for `entry`; False when another lock is in the way (LOCK_NOT_GRANTED).

        Raises TooManyLocks when the file has as many as it may have.
        """
        file = self._files[entry.number]
        if file.locks is None:
            file.locks = ByteRangeLocks()
        granted = file.locks.add(offset, length, entry, exclusive=exclusive)
        entry.lock_count += granted
        return granted

    def unlock(self, entry: OpenEntry, offset: int, length: int) -> bool:
        """Give up a lock of exactly this range; False when `entry` holds none (RANGE_NOT_LOCKED)."""
        file = self._files.get(entry.number)
        if file is None or file.locks is None or not file.locks.remove(offset, length, entry):
            return False
        entry.lock_count -= 1
        _tell(file)
        return True

    def when_released(self, number: InodeNumber, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once, when a lock of the open inode is given up or an open of it ends; for blocking locks.

        Returns what withdraws the callback.
        """
        file = self._files[number]
        file.released.append(callback)

        def withdraw() -> None:
            if callback in file.released:
                file.released.remove(callback)

        return withdraw

    def read_conflicts(self, number: InodeNumber, offset: int, length: int, entry: OpenEntry | None) -> bool:
        """Whether a mandatory lock of another open forbids reading the bytes (MS-FSA 2.1.4.10)."""
        file = self._files.get(number)
        if file is None or not file.locks:
            return False
        return file.locks.read_conflicts(offset, length, entry)

    def write_conflicts(self, number: InodeNumber, offset: int, length: int, entry: OpenEntry | None) -> bool:
        """Whether a mandatory lock forbids writing the bytes: any shared one, or another's exclusive one."""
        file = self._files.get(number)
        if file is None or not file.locks:
            return False
        return file.locks.write_conflicts(offset, length, entry)


def _tell(file: _OpenFile) -> None:
    waiting, file.released = file.released, []
    for callback in waiting:
        callback()
