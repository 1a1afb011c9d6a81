"""The namespace: volumes, directories, names and attributes, over the catalog.

Every operation has the same shape. It takes the lock of each directory whose names it looks at, reads what it needs, then
checks what may have changed while it read (is the directory still there? is it empty?) and changes everything up to the
event without a checkpoint. So a commit, which freezes between two checkpoints, holds all of an operation or nothing.
"""

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odxfs.errors import (
    AlreadyExists,
    CrossVolume,
    InvalidArgument,
    IsADirectory,
    NameTooLong,
    NotADirectory,
    NotEmpty,
    NotFound,
    NotPermitted,
    TooManyLinks,
)
from odxfs.types import InodeNumber, VolumeId
from odxfs.volume.catalog.interface import Changes, Row, Table
from odxfs.volume.changes import Attribute, AttributesChanged, EntryAdded, EntryRemoved
from odxfs.volume.tree.attributes import Attributes
from odxfs.volume.tree.directories import DirectoryEntry, check_alive
from odxfs.volume.tree.inodes import Inode, Permit, new_inode_row
from odxfs.volume.tree.kinds import Kinds
from odxfs.volume.tree.name_locks import NameLocks
from odxfs.volume.tree.names import check_name, check_not_reserved
from odxfs.volume.tree.orphans import Orphans
from odxfs.volume.tree.renames import Renames
from odxfs.volume.tree.streams import Streams
from odxfs.volume.tree.tree import Tree
from odxfs.volume.tree.xattrs import check_security

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool

MAX_LINKS = 65_000
"""Names of one file (ext4's bound); programs that fan out hard links know how to meet it."""

MAX_TARGET_BYTES = 4095
"""The longest target of a symlink: PATH_MAX of Linux without its NUL."""

_KINDS = frozenset(
    (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)
)


@dataclass(slots=True)
class VolumeRecord:
    """A volume's row; `inodes` is how many of its inodes have a name, `allocated_blocks` what all of them allocate."""

    id: VolumeId
    name: str
    root: InodeNumber
    created_ns: int
    inodes: int
    allocated_blocks: int = 0
    quota_blocks: int = 0
    """What `allocated_blocks` may come to; 0 is no quota."""
    state: int = 0
    """0 for one that can be used, 1 for one that is being deleted or made."""

    def row(self) -> Row:
        """The columns of Table.VOLUME."""
        return (
            self.name, self.root, self.created_ns, self.inodes, self.allocated_blocks, self.quota_blocks, self.state,
        )  # fmt: skip


def new_volume_rows(volume: VolumeId, name: str, root: InodeNumber, now: int) -> Changes:
    """The rows of an empty volume: itself and its root directory."""
    directory = new_inode_row(volume, stat.S_IFDIR | 0o755, 0, 0, now, parent=root)
    return {
        Table.VOLUME: {(volume,): VolumeRecord(volume, name, root, now, 1).row()},
        Table.INODE: {(root,): directory},
    }


class Namespace(Tree):
    """The names of all volumes of a pool, and how they change. `origin` of an operation is stamped on its events."""

    def __init__(self, pool: "Pool") -> None:
        super().__init__(pool.view, pool.identifiers)
        self._pool = pool
        self.locks = NameLocks()
        self.orphans = Orphans(pool, self.inodes)
        self.renames = Renames(pool, self)
        self.stream_changes = Streams(pool, self)
        self.kinds = Kinds(pool, self)
        self.attributes = Attributes(pool, self.inodes, self.xattrs)
        self._volumes: dict[VolumeId, VolumeRecord] = {}
        self._counted: set[VolumeId] = set()

    # What the pool calls

    async def load(self) -> None:
        """Read the volumes; once, when the pool is opened."""
        for (number,), row in await self._pool.view.range(Table.VOLUME, (0,), (2**62,)):
            volume = VolumeId(number)  # type: ignore[arg-type]
            record = self._volumes[volume] = VolumeRecord(volume, *row)  # type: ignore[arg-type]
            self._pool.windows.allocated_blocks[volume] = record.allocated_blocks
            self._pool.windows.quotas.set(volume, record.quota_blocks)

    async def recover(self) -> int:
        """Have the reaper delete what the last owner left without a name; returns how many inodes."""
        return await self.orphans.recover()

    async def reap(self) -> None:
        """Give back the data of huge deleted files; a task of the pool, until cancelled."""
        await self.orphans.reap()

    @property
    def has_changes(self) -> bool:
        """Whether inodes or volumes wait for a commit."""
        allocated = self._pool.windows.allocated_blocks
        return (
            self.inodes.has_changes
            or bool(self._counted)
            or any(allocated[volume] != record.allocated_blocks for volume, record in self._volumes.items())
        )

    def freeze(self) -> None:
        """Put every changed inode and volume into the view."""
        self.inodes.freeze(self._pool.view)
        for volume, record in self._volumes.items():
            allocated = self._pool.windows.allocated_blocks[volume]
            if volume in self._counted or allocated != record.allocated_blocks:
                record.allocated_blocks = allocated
                self._pool.view.put(Table.VOLUME, (volume,), record.row())
        self._counted.clear()

    def add_volume(self, record: VolumeRecord) -> None:
        """A volume's row is written with the next commit."""
        self._volumes[record.id] = record
        self._counted.add(record.id)
        self._pool.windows.allocated_blocks[record.id] = record.allocated_blocks
        self._pool.windows.quotas.set(record.id, record.quota_blocks)

    def drop_volume(self, volume: VolumeId) -> None:
        """A volume has no rows any more but its own, which goes."""
        del self._volumes[volume]
        self._counted.discard(volume)
        del self._pool.windows.allocated_blocks[volume]
        self._pool.windows.quotas.set(volume, 0)
        self._pool.view.delete(Table.VOLUME, (volume,))

    def is_usable(self, volume: VolumeId) -> bool:
        """Whether there is such a volume, and it is not being deleted or made."""
        record = self._volumes.get(volume)
        return record is not None and not record.state

    def mark_volume(self, record: VolumeRecord) -> None:
        """A volume's row has changed: it is written with the next commit."""
        self._counted.add(record.id)

    @property
    def volumes(self) -> list[VolumeRecord]:
        """Every volume, with those that cannot be used, by number."""
        return list(self._volumes.values())

    def restore_counts(self, volume: VolumeId, inodes: int, allocated_blocks: int) -> None:
        """The rows of a volume were replaced by others, of which there are so many."""
        self._volumes[volume].inodes = inodes
        self._pool.windows.allocated_blocks[volume] = allocated_blocks
        self._counted.add(volume)

    def mark_dirty(self, inode: Inode) -> None:
        """An inode's size, times or blocks changed."""
        self.inodes.mark_dirty(inode)

    @property
    def volume_names(self) -> list[str]:
        return sorted(record.name for record in self._volumes.values() if not record.state)

    @property
    def inode_count(self) -> int:
        """Inodes with a name, of all volumes."""
        return sum(record.inodes for record in self._volumes.values())

    def record_of(self, name: str) -> VolumeRecord:
        """The volume of that name. Raises NotFound."""
        for record in self._volumes.values():
            if record.name == name and not record.state:
                return record
        raise NotFound(f"the pool has no volume {name!r}")

    def check_in(self, volume: VolumeId, inode: Inode) -> None:
        """Raise NotFound for an inode of another volume, or of one that is being deleted."""
        super().check_in(volume, inode)
        if not self.is_usable(volume):
            raise NotFound(f"inode {inode.number} is in no volume any more")

    async def release(self, inode: Inode) -> None:
        """Count one user less; the last user of an inode without a name deletes it."""
        if self.inodes.release(inode):
            await self.orphans.delete_if_unused(inode)

    # Making and removing names

    async def create(
        self,
        volume: VolumeId,
        origin: str,
        parent: InodeNumber,
        name: bytes,
        mode: int,
        uid: int,
        gid: int,
        *,
        rdev: int = 0,
        target: bytes = b"",
        dos_attributes: int = 0,
        security: bytes = b"",
        ignoring_case: bool = False,
    ) -> Inode:
        """See Volume.create."""
        await self._pool.ready_to_add()
        check_name(name)
        mode = checked_kind(mode, target)
        directory = await self.directory(volume, parent)
        check_not_reserved(name, in_root=directory.is_root)
        check_security(security)
        async with self.locks.of(parent):
            if await self.directories.is_taken(parent, name, ignoring_case=ignoring_case):
                raise AlreadyExists(f"there is a {name!r} already")
            check_alive(directory)
            if directory.mode & stat.S_ISGID:
                gid = directory.gid
                mode |= stat.S_ISGID if stat.S_ISDIR(mode) else 0
            now = self._pool.clock()
            is_directory = stat.S_ISDIR(mode)
            device = rdev if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else 0
            row = new_inode_row(
                volume, mode, uid, gid, now, rdev=device, parent=parent if is_directory else 0, target=target,
                dos_attributes=dos_attributes,
            )  # fmt: skip
            inode = self.inodes.add(self._pool.identifiers.inode(volume), row)
            if security:
                self.xattrs.put_security(inode, security)
            self.directories.add(directory, name, inode)
            directory.nlink += is_directory
            self.entries_changed(now, directory)
            self.count(volume, 1)
            self._tell_added(origin, directory, name, inode)
        return inode

    async def link(
        self,
        volume: VolumeId,
        origin: str,
        inode: Inode,
        parent: InodeNumber,
        name: bytes,
        instead_of: bytes | None = None,
        permit: Permit | None = None,
        *,
        ignoring_case: bool = False,
    ) -> None:
        """See Volume.link."""
        await self._pool.ready_to_add()
        check_name(name)
        if inode.is_directory or inode.is_stream:
            raise NotPermitted("a directory and a stream have one name only")
        if inode.volume != volume:
            raise CrossVolume("a hard link cannot lead to another volume")
        directory = await self.directory(volume, parent)
        check_not_reserved(name, in_root=directory.is_root)
        lost: Inode | None = None
        async with self.locks.of(parent):
            ignoring_case = ignoring_case and instead_of is None
            if name != instead_of and await self.directories.is_taken(
                parent, name, ignoring_case=ignoring_case
            ):
                raise AlreadyExists(f"there is a {name!r} already")
            old = None if instead_of is None else await self.entry(directory, instead_of)
            if old is not None:
                lost = await self.inodes.get(old.number)
                if lost is inode:
                    return
                self._check_removable(old, lost, permit, is_directory=False)
            check_alive(directory)
            if inode.is_directory:
                raise NotPermitted("it has become a directory")
            if inode.nlink == 0:
                raise NotFound(f"inode {inode.number} has been deleted")
            if inode.nlink >= MAX_LINKS:
                raise TooManyLinks(f"inode {inode.number} has {MAX_LINKS} names already")
            now = self._pool.clock()
            if old is not None and lost is not None:
                self.take_out(origin, directory, old, lost, now)
            self.directories.add(directory, name, inode)
            inode.nlink += 1
            inode.ctime_ns = now
            self.inodes.mark_dirty(inode)
            self.entries_changed(now, directory)
            self._tell_added(origin, directory, name, inode)
        if lost is not None:
            await self.orphans.delete_if_unused(lost)

    async def unlink(
        self, volume: VolumeId, origin: str, parent: InodeNumber, name: bytes, permit: Permit | None = None
    ) -> None:
        """See Volume.unlink."""
        await self._remove(volume, origin, parent, name, permit, is_directory=False)

    async def rmdir(
        self, volume: VolumeId, origin: str, parent: InodeNumber, name: bytes, permit: Permit | None = None
    ) -> None:
        """See Volume.rmdir."""
        await self._remove(volume, origin, parent, name, permit, is_directory=True)

    async def _remove(
        self,
        volume: VolumeId,
        origin: str,
        parent: InodeNumber,
        name: bytes,
        permit: Permit | None,
        *,
        is_directory: bool,
    ) -> None:
        await self._pool.ready_to_remove()
        directory = await self.directory(volume, parent)
        async with self.locks.of(parent):
            entry = await self.entry(directory, name)
            inode = await self.inodes.get(entry.number)
            check_alive(directory)
            self._check_removable(entry, inode, permit, is_directory=is_directory)
            now = self._pool.clock()
            self.take_out(origin, directory, entry, inode, now)
        await self.orphans.delete_if_unused(inode)

    def _check_removable(
        self, entry: DirectoryEntry, inode: Inode, permit: Permit | None, *, is_directory: bool
    ) -> None:
        if permit is not None:
            permit(inode)
        if is_directory and not inode.is_directory:
            raise NotADirectory(f"{entry.name!r} is not a directory")
        if inode.is_directory and not is_directory:
            raise IsADirectory(f"{entry.name!r} is a directory")
        if is_directory and inode.size > 0:
            raise NotEmpty(f"{entry.name!r} is not empty")

    def take_out(self, origin: str, directory: Inode, entry: DirectoryEntry, inode: Inode, now: int) -> None:
        """Remove the entry of `inode`, and tell. The caller then lets the inode go if that was its last hold."""
        self.directories.remove(directory, entry)
        self.drop_name(inode, directory, now)
        self.entries_changed(now, directory)
        if self._pool.has_observers:
            self._pool.emit(
                EntryRemoved(
                    inode.volume, origin, directory.number, entry.name, inode.number, inode.is_directory
                )
            )

    async def set_xattr(
        self, origin: str, inode: Inode, name: bytes, value: bytes, *, create: bool, replace: bool
    ) -> None:
        """See Volume.set_xattr."""
        await self._pool.ready_to_add()
        async with self.locks.of(inode.number):
            await self.xattrs.set(inode, name, value, create=create, replace=replace)
            self._xattrs_changed(origin, inode)

    async def remove_xattr(self, origin: str, inode: Inode, name: bytes) -> None:
        """See Volume.remove_xattr."""
        self._pool.check_writable()
        async with self.locks.of(inode.number):
            await self.xattrs.remove(inode, name)
            self._xattrs_changed(origin, inode)

    # Parts of operations: synchronous

    def entries_changed(self, now: int, *directories: Inode) -> None:
        """Directories whose entries changed at `now` (POSIX: mtime and ctime)."""
        for directory in directories:
            directory.mtime_ns = directory.ctime_ns = now
            self.inodes.mark_dirty(directory)
        self._pool.committer.note_change()

    def drop_name(self, inode: Inode, directory: Inode, now: int) -> None:
        """An entry of `directory` that named `inode` is gone: the counts that follow from it."""
        if inode.is_directory:
            inode.nlink = 0
            directory.nlink -= 1
        else:
            inode.nlink -= 1
        inode.ctime_ns = now
        self.inodes.mark_dirty(inode)
        if inode.nlink == 0:
            self.orphans.enter(inode)
            self.count(inode.volume, -1)

    def _xattrs_changed(self, origin: str, inode: Inode) -> None:
        inode.ctime_ns = self._pool.clock()
        self.inodes.mark_dirty(inode)
        if self._pool.has_observers:
            self._pool.emit(AttributesChanged(inode.volume, origin, inode.number, Attribute.XATTR))

    def _tell_added(self, origin: str, directory: Inode, name: bytes, inode: Inode) -> None:
        if self._pool.has_observers:
            number = inode.number
            self._pool.emit(
                EntryAdded(inode.volume, origin, directory.number, name, number, inode.is_directory)
            )

    def count(self, volume: VolumeId, more: int) -> None:
        """So many inodes more of a volume have a name."""
        self._volumes[volume].inodes += more
        self._counted.add(volume)


def checked_kind(mode: int, target: bytes) -> int:
    """The mode with its S_IFMT bits, which default to a regular file."""
    kind = stat.S_IFMT(mode) or stat.S_IFREG
    if kind not in _KINDS:
        raise InvalidArgument(f"mode {mode:o} names no kind of inode")
    if kind == stat.S_IFLNK:
        if not target or b"\0" in target:
            raise InvalidArgument("a symlink needs a target")
        if len(target) > MAX_TARGET_BYTES:
            raise NameTooLong(f"a target of {len(target)} bytes; {MAX_TARGET_BYTES} are possible")
    elif target:
        raise InvalidArgument("only a symlink has a target")
    return kind | stat.S_IMODE(mode)
