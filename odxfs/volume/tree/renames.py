"""Rename: one name becomes another, in one step, replacing or exchanging what was there."""

from collections.abc import Callable
from enum import IntFlag
from typing import TYPE_CHECKING

import trio

from odxfs.errors import AlreadyExists, InvalidArgument, IsADirectory, NotADirectory, NotEmpty, NotFound
from odxfs.types import InodeNumber, VolumeId
from odxfs.volume.changes import EntryRenamed
from odxfs.volume.tree.directories import DirectoryEntry, check_alive
from odxfs.volume.tree.inodes import ARCHIVE, Inode
from odxfs.volume.tree.names import check_name, check_not_reserved

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool
    from odxfs.volume.tree.namespace import Namespace


class RenameFlags(IntFlag):
    """renameat2(2)'s flags, same numbers, and one of ours."""

    NONE = 0
    NOREPLACE = 1
    """Fail with AlreadyExists when the new name is taken."""
    EXCHANGE = 2
    """Both names exist and change places."""
    MERGE = 1 << 30
    """Not rename(2)'s: where both names are of one inode the old one goes, and a directory takes the name of a file.
    POSIX leaves both, and refuses."""


RenamePermit = Callable[[Inode, Inode | None], None]
"""See Volume.rename."""


class Renames:
    """Renames of all volumes of a pool."""

    def __init__(self, pool: "Pool", namespace: "Namespace") -> None:
        self._pool = pool
        self._namespace = namespace
        self._moving_directories = trio.Lock()
        """Held while a directory moves to another: only then a loop can arise, and the way up must not change meanwhile."""

    async def rename(
        self,
        volume: VolumeId,
        origin: str,
        old_parent: InodeNumber,
        old_name: bytes,
        new_parent: InodeNumber,
        new_name: bytes,
        flags: RenameFlags,
        permit: RenamePermit | None = None,
        *,
        ignoring_case: bool = False,
    ) -> None:
        """See Volume.rename."""
        await self._pool.ready_to_remove()
        check_name(old_name)
        check_name(new_name)
        if flags & ~RenameFlags.MERGE not in (RenameFlags.NONE, RenameFlags.NOREPLACE, RenameFlags.EXCHANGE):
            raise InvalidArgument(f"rename flags {flags:#x} do not go together")
        old_directory = await self._namespace.directory(volume, old_parent)
        new_directory = await self._namespace.directory(volume, new_parent)
        check_not_reserved(new_name, in_root=new_directory.is_root)
        move = _Move(
            self._pool,
            self._namespace,
            origin,
            old_directory,
            old_name,
            new_directory,
            new_name,
            flags,
            permit,
            ignoring_case=ignoring_case,
        )
        if old_parent == new_parent:
            await move.run()
        else:
            async with self._moving_directories:
                await move.run()
        if move.replaced is not None:
            await self._namespace.orphans.delete_if_unused(move.replaced)


class _Move:
    """One rename."""

    def __init__(
        self,
        pool: "Pool",
        namespace: "Namespace",
        origin: str,
        old_directory: Inode,
        old_name: bytes,
        new_directory: Inode,
        new_name: bytes,
        flags: RenameFlags,
        permit: RenamePermit | None,
        *,
        ignoring_case: bool,
    ) -> None:
        self._pool = pool
        self._namespace = namespace
        self._origin = origin
        self._old_directory = old_directory
        self._old_name = old_name
        self._new_directory = new_directory
        self._new_name = new_name
        self._flags = flags
        self._permit = permit
        self._ignoring_case = ignoring_case
        self.replaced: Inode | None = None
        """The inode that lost the new name."""

    async def run(self) -> None:
        namespace, old_directory, new_directory = self._namespace, self._old_directory, self._new_directory
        async with namespace.locks.of(old_directory.number, new_directory.number):
            old = await namespace.entry(old_directory, self._old_name)
            new = await namespace.directories.find(new_directory.number, self._new_name)
            moved = await namespace.inodes.get(old.number)
            other = None if new is None else await namespace.inodes.get(new.number)
            is_taken = new is not None or (
                self._ignoring_case
                and await namespace.directories.is_taken(
                    new_directory.number, self._new_name, ignoring_case=True
                )
            )
            await self._refuse_loops(moved, other)
            # From here on nothing waits.
            check_alive(old_directory)
            check_alive(new_directory)
            if self._flags & RenameFlags.NOREPLACE and is_taken:
                raise AlreadyExists(f"there is a {self._new_name!r} already")
            if self._flags & RenameFlags.EXCHANGE and new is None:
                raise NotFound(f"there is no {self._new_name!r}")
            merges = moved is other and old != new and bool(self._flags & RenameFlags.MERGE)
            if moved is other and not merges:
                return
            if self._permit is not None:
                self._permit(moved, None if merges else other)
            if merges:
                namespace.take_out(self._origin, old_directory, old, moved, self._pool.clock())
            elif other is None or new is None:
                self._place(old, moved)
            elif self._flags & RenameFlags.EXCHANGE:
                self._exchange(old, moved, new, other)
            else:
                self._replace(old, moved, new, other)

    async def _refuse_loops(self, moved: Inode, other: Inode | None) -> None:
        """Raise InvalidArgument where a directory would come to lie in itself."""
        if self._old_directory is self._new_directory:
            return
        if moved.is_directory and await self._is_above(moved, self._new_directory):
            raise InvalidArgument("a directory cannot be moved into itself")
        if other is not None and other.is_directory and await self._is_above(other, self._old_directory):
            if self._flags & RenameFlags.EXCHANGE:
                raise InvalidArgument("a directory cannot be moved into itself")
            raise NotEmpty(f"{self._new_name!r} is not empty")

    async def _is_above(self, directory: Inode, below: Inode) -> bool:
        while below is not directory:
            if below.parent == below.number:
                return False
            below = await self._namespace.inodes.get(below.parent)
        return True

    def _place(self, old: DirectoryEntry, moved: Inode) -> None:
        """Give the inode its new name, which is free."""
        now = self._pool.clock()
        same = self._old_directory is self._new_directory
        self._namespace.directories.remove(self._old_directory, old)
        # A name that changes within its directory keeps its place, so a listing under way meets it exactly once.
        cookie = old.cookie if same else None
        self._namespace.directories.add(self._new_directory, self._new_name, moved, cookie)
        self._reparent(moved, self._old_directory, self._new_directory)
        self._finish(now, moved)
        self._tell(self._old_directory, old.name, self._new_directory, self._new_name, moved, self.replaced)

    def _replace(self, old: DirectoryEntry, moved: Inode, new: DirectoryEntry, other: Inode) -> None:
        """Take the new name from the inode that has it, then place."""
        if moved.is_directory and not other.is_directory and not self._flags & RenameFlags.MERGE:
            raise NotADirectory(f"{new.name!r} is not a directory")
        if other.is_directory and not moved.is_directory:
            raise IsADirectory(f"{new.name!r} is a directory")
        if other.is_directory and other.size > 0:
            raise NotEmpty(f"{new.name!r} is not empty")
        self._namespace.directories.remove(self._new_directory, new)
        self._namespace.drop_name(other, self._new_directory, self._pool.clock())
        self.replaced = other
        self._place(old, moved)

    def _exchange(self, old: DirectoryEntry, moved: Inode, new: DirectoryEntry, other: Inode) -> None:
        """Each inode takes the other's name and place."""
        now = self._pool.clock()
        directories = self._namespace.directories
        directories.remove(self._old_directory, old)
        directories.remove(self._new_directory, new)
        directories.add(self._new_directory, new.name, moved, new.cookie)
        directories.add(self._old_directory, old.name, other, old.cookie)
        self._reparent(moved, self._old_directory, self._new_directory)
        self._reparent(other, self._new_directory, self._old_directory)
        self._finish(now, moved, other)
        self._tell(self._old_directory, old.name, self._new_directory, new.name, moved, None)
        self._tell(self._new_directory, new.name, self._old_directory, old.name, other, None)

    def _reparent(self, inode: Inode, source: Inode, destination: Inode) -> None:
        """A directory's `..` is a link of the directory above."""
        if inode.is_directory and source is not destination:
            inode.parent = destination.number
            source.nlink -= 1
            destination.nlink += 1

    def _finish(self, now: int, *inodes: Inode) -> None:
        for inode in inodes:
            inode.ctime_ns = now
            if inode.is_file:
                inode.dos_attributes |= ARCHIVE
            self._namespace.mark_dirty(inode)
        self._namespace.entries_changed(now, self._old_directory, self._new_directory)

    def _tell(
        self,
        source: Inode,
        old_name: bytes,
        destination: Inode,
        new_name: bytes,
        inode: Inode,
        replaced: Inode | None,
    ) -> None:
        if self._pool.has_observers:
            gone = None if replaced is None else replaced.number
            self._pool.emit(
                EntryRenamed(
                    inode.volume,
                    self._origin,
                    source.number,
                    old_name,
                    destination.number,
                    new_name,
                    inode.number,
                    inode.is_directory,
                    gone,
                )
            )
