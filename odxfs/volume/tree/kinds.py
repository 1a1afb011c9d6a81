"""Turning an inode into one of another kind, in its place: a file into a symbolic link or a special file, and back.

On POSIX what an inode is never changes. A client of the share makes a link by making a file first (FSCTL_SET_REPARSE_POINT), and
goes on with the open that it has.
"""

import stat
from typing import TYPE_CHECKING

from odxfs.errors import NotEmpty, NotFound, NotPermitted
from odxfs.types import InodeNumber, VolumeId
from odxfs.volume.changes import EntryAdded, EntryRemoved
from odxfs.volume.tree.directories import DirectoryEntry
from odxfs.volume.tree.inodes import Inode, Permit

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool
    from odxfs.volume.tree.namespace import Namespace


class Kinds:
    """Changes of kind in all volumes of a pool."""

    def __init__(self, pool: "Pool", namespace: "Namespace") -> None:
        self._pool = pool
        self._namespace = namespace

    async def change(
        self, volume: VolumeId, origin: str, inode: Inode, mode: int, target: bytes, permit: Permit | None
    ) -> InodeNumber:
        """See Volume.change_kind; returns the folder of its name."""
        await self._pool.ready_to_remove()
        namespace = self._namespace
        names = await namespace.directories.names_of(inode.number)
        if len(names) != 1:
            raise NotPermitted(f"inode {inode.number} has {len(names)} names")
        parent, name = names[0]
        directory = await namespace.inodes.get(parent)
        async with namespace.locks.of(parent, inode.number):
            entry = await namespace.directories.find(parent, name)
            if entry is None or entry.number != inode.number:
                raise NotFound(f"inode {inode.number} has been renamed")
            if await namespace.streams.all(inode):
                raise NotEmpty(f"inode {inode.number} has named streams")
            # From here on nothing waits.
            _check_changeable(inode)
            if permit is not None:
                permit(inode)
            self._turn(directory, entry, inode, mode, target)
            if self._pool.has_observers:
                was_directory = entry.kind == stat.S_IFDIR
                self._pool.emit(EntryRemoved(volume, origin, parent, name, inode.number, was_directory))
                self._pool.emit(EntryAdded(volume, origin, parent, name, inode.number, inode.is_directory))
        return parent

    def _turn(self, directory: Inode, entry: DirectoryEntry, inode: Inode, mode: int, target: bytes) -> None:
        namespace, now = self._namespace, self._pool.clock()
        namespace.directories.remove(directory, entry)
        directory.nlink -= inode.is_directory
        inode.mode, inode.target, inode.size, inode.rdev = mode, target, len(target), 0
        inode.nlink, inode.parent = (2, directory.number) if inode.is_directory else (1, InodeNumber(0))
        inode.ctime_ns, inode.reserved_bytes = now, 0
        directory.nlink += inode.is_directory
        namespace.directories.add(directory, entry.name, inode, entry.cookie)
        namespace.mark_dirty(inode)
        namespace.entries_changed(now, directory)


def _check_changeable(inode: Inode) -> None:
    """Raise NotEmpty for what holds data or is about to, NotPermitted for what has got a further name meanwhile."""
    has_content = inode.size and not inode.is_symlink  # a link's size is its target's
    if has_content or inode.allocated_blocks or inode.writers:
        raise NotEmpty(f"inode {inode.number} is not empty")
    if inode.nlink != 1 and not inode.is_directory:
        raise NotPermitted(f"inode {inode.number} has {inode.nlink} names")
