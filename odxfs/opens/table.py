"""Who has which file open, and what they allow each other. Pure state: nothing here waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from odxfs.errors import SharingViolation
from odxfs.opens import share_modes
from odxfs.opens.advisory_locks import AdvisoryLock
from odxfs.opens.caching import Grant, Holder, Use
from odxfs.opens.file_locks import FileLocks
from odxfs.opens.grants import Grants
from odxfs.opens.ranges import LockRange
from odxfs.types import InodeNumber

DirectoryName = tuple[InodeNumber, bytes]
"""A directory and the name of one of its entries."""


@dataclass(slots=True, eq=False)
class OpenEntry:
    """One open as the table knows it; `owner` is the front end's own object. Compared by identity.

    `name` is the link that it was opened by (MS-FSA Open.Link), which `renamed` moves; None stands for any: for a stream, for
    the root of a share. `keeps_name` says that a deletion waits for its end, as for that of any open of a client; an open of a
    local program lives on without a name (unlink(2)). `lock_count` counts its mandatory locks; `grant` is what it may cache.
    """

    number: InodeNumber
    access: int
    share: int
    owner: object
    keeps_name: bool = True
    name: DirectoryName | None = None
    lock_count: int = 0
    grant: Grant | None = None

    def keeps(self, name: DirectoryName | None) -> bool:
        """Whether the deletion of `name` waits for the end of this open."""
        return self.keeps_name and (name is None or self.name is None or self.name == name)


@dataclass(slots=True)
class _OpenFile:
    entries: set[OpenEntry] = field(default_factory=set)
    made_locks: FileLocks | None = None
    """None before the first lock: few files ever have one, and making this costs more than all the rest of an open."""
    doomed: frozenset[DirectoryName | None] = frozenset()
    """The names whose deletion is pending; None is that of what has no name in a directory."""
    released: list[Callable[[], None]] = field(default_factory=list)

    @property
    def locks(self) -> FileLocks:
        """The locks, to be asked or changed."""
        if self.made_locks is None:
            self.made_locks = FileLocks()
        return self.made_locks

    @property
    def has_locks(self) -> bool:
        return bool(self.made_locks)


class OpenTable:
    """Every open of every front end, by inode number (unique in a pool).

    `cached` is empty as long as nobody caches anything, which is all that a read or a write then asks.
    """

    def __init__(self) -> None:
        self._files: dict[InodeNumber, _OpenFile] = {}
        self.followers: list[Callable[[InodeNumber, DirectoryName, DirectoryName], None]] = []
        """Told when something open has got another name: its inode, the old name and the new one."""
        self.renames = 0
        """How often `renamed` was called: whoever has seen as many knows each path as it is."""
        self.grants = Grants()
        self.cached = self.grants.by_number

    def __len__(self) -> int:
        return sum(len(file.entries) for file in self._files.values())

    def open(
        self,
        number: InodeNumber,
        access: int,
        share: int,
        owner: object,
        *,
        keeps_name: bool = True,
        name: DirectoryName | None = None,
    ) -> OpenEntry:
        """Register an open with the granted `access` and what it shares; raises SharingViolation, then nothing is kept."""
        if not self.check(number, access, share):
            raise SharingViolation(f"inode {number} is open without sharing this access")
        entry = OpenEntry(number, access, share, owner, keeps_name, name)
        self._files.setdefault(number, _OpenFile()).entries.add(entry)
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

    def close(self, entry: OpenEntry) -> None:
        """Forget the open and its locks, and the deletions that have waited for it. Harmless a second time."""
        file = self._files.get(entry.number)
        if file is None or entry not in file.entries:
            return
        if file.doomed:
            file.doomed -= self.ended_deletions(entry)
        file.entries.discard(entry)
        if file.made_locks is not None:
            file.made_locks.forget_open(entry)
        if not file.entries:
            del self._files[entry.number]
        self.grants.leave(entry)
        _tell(file)

    def grant_oplock(self, entry: OpenEntry, wanted: int, holder: Holder) -> Grant | None:
        """Give a new open an oplock of at most `wanted` (`odxfs.opens.caching`); None where it gets none."""
        locked = self._files[entry.number].has_locks
        return self.grants.oplock(entry, wanted, self._others(entry), holder, locked=locked)

    def grant_lease(self, entry: OpenEntry, grant: Grant, wanted: int) -> None:
        """Make a new open one of those of a lease on its file, which gets what it may have of `wanted` (MS-FSA 2.1.5.18)."""
        locked = self._files[entry.number].has_locks
        self.grants.lease(entry, grant, wanted, self._others(entry), locked=locked)

    def _others(self, entry: OpenEntry) -> list[OpenEntry]:
        return [other for other in self._files[entry.number].entries if other is not entry]

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

    def name_is_kept(self, number: InodeNumber, *, besides: OpenEntry | None = None) -> bool:
        """Whether an open that `keeps_name` stands against taking a name of the inode away; `besides` is not asked."""
        file = self._files.get(number)
        return file is not None and any(entry.keeps_name for entry in file.entries if entry is not besides)

    def ended_deletions(self, entry: OpenEntry) -> frozenset[DirectoryName | None]:
        """The names whose deletion has waited for the end of `entry` alone: they go, then the open is closed."""
        file = self._files.get(entry.number)
        if file is None or not file.doomed:
            return frozenset()
        others = [other for other in file.entries if other is not entry]
        return frozenset(
            name
            for name in file.doomed
            if entry.keeps(name) and not any(other.keeps(name) for other in others)
        )

    def set_delete_pending(
        self, number: InodeNumber, pending: bool, name: DirectoryName | None = None
    ) -> None:
        """Mark a name of an open inode to go with the last open that keeps it, or not, after all (MS-FSA Link.IsDeleted).

        `name` is the one of a file's names that was opened by whoever asked, and the only one that he may remove. Where nothing
        is open nothing happens.
        """
        file = self._files.get(number)
        if file is not None:
            file.doomed = file.doomed | {name} if pending else file.doomed - {name}

    def is_delete_pending(self, number: InodeNumber, name: DirectoryName | None = None) -> bool:
        """Whether this name of the inode is to go, or any where none is given; no new open may be made by it then."""
        file = self._files.get(number)
        if file is None or not file.doomed:
            return False
        return name is None or name in file.doomed or None in file.doomed

    def count_doomed(self, number: InodeNumber) -> int:
        """How many names of the inode are to go."""
        file = self._files.get(number)
        return len(file.doomed) if file is not None else 0

    def renamed(self, number: InodeNumber, old: DirectoryName, new: DirectoryName) -> None:
        """A name of the inode is another now: so it is of its opens and of a pending deletion, and `followers` are told.

        Also of what nobody has open: it may be a folder above what is.
        """
        self.renames += 1
        file = self._files.get(number)
        if file is None:
            return
        if old in file.doomed:
            file.doomed = file.doomed - {old} | {new}
        for entry in file.entries:
            if entry.name == old:
                entry.name = new
        for follow in self.followers:
            follow(number, old, new)

    @contextmanager
    def changing(
        self, number: InodeNumber, entry: OpenEntry | None = None, *, own: Grant | None = None
    ) -> Iterator[None]:
        """Around a change of bytes or of the size, through `entry` if that may cache. Who stood in its way has given way before.

        It may wait for the disk, and who comes to cache the file meanwhile sees it as it was: they are told when it is over, and
        nobody waits for them. `own` is what its client caches where no entry has that yet.
        """
        try:
            yield
        finally:
            if self.cached:
                self.grants.contend(number, Use.CHANGE, own if entry is None else entry.grant)

    def lock(self, entry: OpenEntry, offset: int, length: int, *, exclusive: bool) -> bool:
        """Take a mandatory lock of a byte range; False when another lock is in the way (LOCK_NOT_GRANTED).

        Raises TooManyLocks when the file has as many as it may have.
        """
        granted = self._files[entry.number].locks.lock(entry, offset, length, exclusive=exclusive)
        entry.lock_count += granted
        return granted

    def locks_of(self, entry: OpenEntry) -> list[tuple[int, int, bool]]:
        """The mandatory locks that were taken through an open: offset, length, exclusive. One held twice is there twice."""
        file = self._files.get(entry.number)
        return file.locks.of_open(entry) if file is not None and file.has_locks else []

    def unlock(self, entry: OpenEntry, offset: int, length: int) -> bool:
        """Give up a mandatory lock of exactly this range; False when `entry` holds none (RANGE_NOT_LOCKED)."""
        file = self._files.get(entry.number)
        if file is None or not file.locks.unlock(entry, offset, length):
            return False
        entry.lock_count -= 1
        _tell(file)
        return True

    def lock_range(self, entry: OpenEntry, owner: int, lock: AdvisoryLock) -> bool:
        """fcntl(2): give `owner`, through this open, the lock in place of what it has there; False when one is in the way.

        Raises TooManyLocks, then nothing has changed.
        """
        file = self._files[entry.number]
        granted = file.locks.lock_range(entry, owner, lock)
        if granted:
            _tell(file)  # an exclusive lock may have become a shared one
        return granted

    def unlock_range(self, entry: OpenEntry, owner: int, wanted: LockRange) -> None:
        """fcntl(2): give up whatever `owner` has of the range. Raises TooManyLocks where one lock had to become two."""
        file = self._files[entry.number]
        if file.locks.unlock_range(owner, wanted):
            _tell(file)

    def range_conflict(self, entry: OpenEntry, owner: int, lock: AdvisoryLock) -> AdvisoryLock | None:
        """fcntl(2), F_GETLK: a lock that `lock_range` would find in its way; looks at every lock of the file."""
        return self._files[entry.number].locks.range_conflict(owner, lock)

    def lock_whole(self, entry: OpenEntry, *, exclusive: bool) -> bool:
        """flock(2): give the open the lock; False when one is in the way, and then what it had is lost, as on Linux.

        Were it kept, two that change from shared to exclusive would wait for each other.
        """
        file = self._files[entry.number]
        granted = file.locks.lock_whole(entry, exclusive=exclusive)
        if granted or file.locks.unlock_whole(entry):
            _tell(file)
        return granted

    def unlock_whole(self, entry: OpenEntry) -> None:
        """flock(2): give up the open's lock, if it has one."""
        file = self._files[entry.number]
        if file.locks.unlock_whole(entry):
            _tell(file)

    def forget_lock_owner(self, number: InodeNumber, owner: int) -> None:
        """close(2): all fcntl locks that `owner` has on the file are given up, whichever open it closed."""
        file = self._files.get(number)
        if file is not None and file.made_locks is not None and file.made_locks.forget_owner(owner):
            _tell(file)

    def count_locks(self) -> int:
        """All locks of all files."""
        return sum(len(file.made_locks or ()) for file in self._files.values())

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
        """Whether a lock forbids a client of the share to read the bytes (MS-FSA 2.1.4.10), or a local exclusive one."""
        file = self._files.get(number)
        return (
            file is not None and file.has_locks and file.locks.forbids_client_to_read(entry, offset, length)
        )

    def write_conflicts(self, number: InodeNumber, offset: int, length: int, entry: OpenEntry | None) -> bool:
        """Whether a lock forbids a client of the share to write the bytes: any shared one, or another's exclusive one."""
        file = self._files.get(number)
        return (
            file is not None and file.has_locks and file.locks.forbids_client_to_write(entry, offset, length)
        )

    def local_read_conflicts(
        self, number: InodeNumber, offset: int, length: int, entry: OpenEntry | None
    ) -> bool:
        """The same for a local program, which only the share's locks concern."""
        file = self._files.get(number)
        return file is not None and file.has_locks and file.locks.forbids_reading(entry, offset, length)

    def local_write_conflicts(
        self, number: InodeNumber, offset: int, length: int, entry: OpenEntry | None
    ) -> bool:
        """The same for a local program, which only the share's locks concern."""
        file = self._files.get(number)
        return file is not None and file.has_locks and file.locks.forbids_writing(entry, offset, length)


def _tell(file: _OpenFile) -> None:
    waiting, file.released = file.released, []
    for callback in waiting:
        callback()
