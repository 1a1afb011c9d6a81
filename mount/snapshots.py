"""The tree that the mount shows: the volume, and in its root `.snapshots` with each snapshot as a read-only folder.

`.snapshots` is not listed, so that no copy of the whole mount runs into it; who names it gets it. In it mkdir makes a snapshot
and rmdir deletes one. Everything else in there is refused with EROFS.
"""

import stat

from odxfs.errors import NoAttribute, NotPermitted, ReadOnly, Stale
from odxfs.types import SNAPSHOT_INODES, Buffer, InodeNumber, SnapshotId
from odxfs.volume import (
    SNAPSHOTS_FOLDER,
    AttributeChange,
    DirectoryEntry,
    Inode,
    Permit,
    Pin,
    RenameFlags,
    RenamePermit,
    Snapshot,
    SnapshotVolume,
    Volume,
    decode_name,
    encode_name,
    inode_seen_in,
)

FOLDER = InodeNumber(SNAPSHOT_INODES)
"""The number of `.snapshots`: no snapshot has an inode 0."""

S_IFDIR = 0o040000


class SnapshotsFolder(SnapshotVolume):
    """`.snapshots` itself, a directory that the volume does not have. Its owner, who may make snapshots, is the root's."""

    def __init__(self, volume: Volume) -> None:
        Volume.__init__(self, volume.pool, volume.name, volume.origin)
        self._live = volume

    def named(self, name: bytes) -> Snapshot:
        """The snapshot of that name. Raises NotFound."""
        return self.pool.snapshots.find(self.name, decode_name(name))

    async def inode(self, number: InodeNumber) -> Inode:
        """The folder, as it is at this moment."""
        root = await self._live.inode(self._live.root)
        snapshots = self.pool.snapshots.of(self.name)
        changed = snapshots[-1].created_ns if snapshots else root.btime_ns
        times = (changed, changed, changed, root.btime_ns)
        row = (
            self.id, S_IFDIR | 0o755, root.uid, root.gid, 0, 2 + len(snapshots), 0, 0, *times, 0, 1, self._live.root, b"",
        )  # fmt: skip
        return Inode(FOLDER, row)

    def hold(self, inode: Inode) -> None:
        """The folder is always there."""

    async def release(self, inode: Inode) -> None:
        """The folder is always there."""

    async def parent_of(self, directory: InodeNumber) -> InodeNumber:
        """The volume's root."""
        return self._live.root

    async def list_directory(
        self, directory: InodeNumber, after: int = 0, limit: int = 1000
    ) -> list[DirectoryEntry]:
        """The snapshots, oldest first."""
        return [
            DirectoryEntry(
                encode_name(snapshot.name), inode_seen_in(snapshot.id, self._live.root), S_IFDIR, snapshot.id
            )
            for snapshot in self.pool.snapshots.of(self.name)
            if snapshot.id > after
        ][:limit]

    async def get_xattr(self, inode: Inode, name: bytes) -> bytes:
        """Raises NoAttribute."""
        raise NoAttribute("the folder of snapshots has no attributes")

    async def list_xattrs(self, inode: Inode) -> list[bytes]:
        """None."""
        return []


class VolumeWithSnapshots(Volume):
    """A volume and its snapshots as one tree, told apart by inode number; a snapshot that is deleted raises Stale."""

    def __init__(self, volume: Volume) -> None:
        super().__init__(volume.pool, volume.name, volume.origin)
        self._live = volume
        self._folder = SnapshotsFolder(volume)
        self._views: dict[SnapshotId, SnapshotVolume] = {}

    def _of(self, number: InodeNumber) -> Volume:
        """Where an inode belongs."""
        return self._live if number < SNAPSHOT_INODES else self._beside(number)

    def _beside(self, number: InodeNumber) -> Volume:
        """Where an inode belongs that is not the volume's own."""
        if number == FOLDER:
            return self._folder
        snapshot = self.pool.snapshots.seen_in(number)
        if snapshot is None:
            raise Stale(f"the snapshot of inode {number} has been deleted")
        return self._view(snapshot)

    def _view(self, snapshot: Snapshot) -> SnapshotVolume:
        view = self._views.get(snapshot.id)
        if view is None:
            there = {found.id for found in self.pool.snapshots.of(self.name)}
            self._views = {number: view for number, view in self._views.items() if number in there}
            view = self.pool.snapshot_volume(self.name, snapshot.name, self.origin)
            self._views[snapshot.id] = view
        return view

    # Inodes

    async def inode(self, number: InodeNumber) -> Inode:
        """See Volume.inode."""
        return await self._of(number).inode(number)

    def hold(self, inode: Inode) -> None:
        """See Volume.hold."""
        self._of(inode.number).hold(inode)

    async def release(self, inode: Inode) -> None:
        """See Volume.release. With its snapshot an inode lost all that it held."""
        if not (inode.gone and inode.snapshot):
            await self._of(inode.number).release(inode)

    # Names

    async def lookup(self, parent: InodeNumber, name: bytes) -> Inode:
        """See Volume.lookup."""
        if parent < SNAPSHOT_INODES and parent != self.root:
            return await self._live.lookup(parent, name)
        return await self._look_up_beside(parent, name)

    async def _look_up_beside(self, parent: InodeNumber, name: bytes) -> Inode:
        """`lookup` in the root, and in what is not the volume's own."""
        if parent == self.root and name == SNAPSHOTS_FOLDER:
            return await self._folder.inode(FOLDER)
        if parent == FOLDER:
            view = self._view(self._folder.named(name))
            return await view.inode(view.root)
        return await self._of(parent).lookup(parent, name)

    async def parent_of(self, directory: InodeNumber) -> InodeNumber:
        """See Volume.parent_of."""
        there = self._of(directory)
        return FOLDER if directory == there.root != self.root else await there.parent_of(directory)

    async def names_of(self, number: InodeNumber) -> list[tuple[InodeNumber, bytes]]:
        """See Volume.names_of."""
        return await self._of(number).names_of(number)

    async def list_directory(
        self, directory: InodeNumber, after: int = 0, limit: int = 1000
    ) -> list[DirectoryEntry]:
        """See Volume.list_directory."""
        return await self._of(directory).list_directory(directory, after, limit)

    async def create(
        self,
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
        """See Volume.create; a directory in `.snapshots` is a new snapshot."""
        if parent == FOLDER and stat.S_ISDIR(mode):
            await self.pool.snapshots.create(self.name, decode_name(name))
            return await self.lookup(parent, name)
        return await self._of(parent).create(
            parent,
            name,
            mode,
            uid,
            gid,
            rdev=rdev,
            target=target,
            dos_attributes=dos_attributes,
            security=security,
            ignoring_case=ignoring_case,
        )

    async def link(
        self,
        inode: Inode,
        parent: InodeNumber,
        name: bytes,
        instead_of: bytes | None = None,
        permit: Permit | None = None,
        *,
        ignoring_case: bool = False,
    ) -> None:
        """See Volume.link."""
        if inode.number >= SNAPSHOT_INODES:
            raise ReadOnly("what is in a snapshot gets no further name")
        await self._of(parent).link(inode, parent, name, instead_of, permit, ignoring_case=ignoring_case)

    async def unlink(self, parent: InodeNumber, name: bytes, permit: Permit | None = None) -> None:
        """See Volume.unlink."""
        await self._of(parent).unlink(parent, name, permit)

    async def rmdir(self, parent: InodeNumber, name: bytes, permit: Permit | None = None) -> None:
        """See Volume.rmdir; a directory in `.snapshots` is a snapshot, which is deleted with all that is in it."""
        if parent == self.root and name == SNAPSHOTS_FOLDER:
            raise NotPermitted("the folder of snapshots stays")
        if parent == FOLDER:
            await self.pool.snapshots.delete(self.name, self._folder.named(name).name)
        else:
            await self._of(parent).rmdir(parent, name, permit)

    async def rename(
        self,
        old_parent: InodeNumber,
        old_name: bytes,
        new_parent: InodeNumber,
        new_name: bytes,
        flags: RenameFlags = RenameFlags.NONE,
        permit: RenamePermit | None = None,
        *,
        ignoring_case: bool = False,
    ) -> None:
        """See Volume.rename."""
        if old_parent == self.root and old_name == SNAPSHOTS_FOLDER:
            raise NotPermitted("the folder of snapshots stays")
        if max(old_parent, new_parent) >= SNAPSHOT_INODES:
            raise ReadOnly("nothing is renamed in, into or out of a snapshot")
        await self._live.rename(
            old_parent, old_name, new_parent, new_name, flags, permit, ignoring_case=ignoring_case
        )

    # Attributes

    async def set_attributes(self, inode: Inode, change: AttributeChange) -> None:
        """See Volume.set_attributes."""
        await self._of(inode.number).set_attributes(inode, change)

    def touch(self, inode: Inode, *, accessed: bool = False, modified: bool = False) -> None:
        """See Volume.touch."""
        if inode.number < SNAPSHOT_INODES:
            self._live.touch(inode, accessed=accessed, modified=modified)

    async def security(self, inode: Inode) -> bytes:
        """See Volume.security."""
        return await self._of(inode.number).security(inode)

    async def get_xattr(self, inode: Inode, name: bytes) -> bytes:
        """See Volume.get_xattr."""
        return await self._of(inode.number).get_xattr(inode, name)

    async def set_xattr(
        self, inode: Inode, name: bytes, value: bytes, *, create: bool = False, replace: bool = False
    ) -> None:
        """See Volume.set_xattr."""
        await self._of(inode.number).set_xattr(inode, name, value, create=create, replace=replace)

    async def remove_xattr(self, inode: Inode, name: bytes) -> None:
        """See Volume.remove_xattr."""
        await self._of(inode.number).remove_xattr(inode, name)

    async def list_xattrs(self, inode: Inode) -> list[bytes]:
        """See Volume.list_xattrs."""
        return await self._of(inode.number).list_xattrs(inode)

    # Data that is only read; what changes a snapshot's inode is refused where all data is changed

    def read_nowait(
        self, inode: Inode, offset: int, length: int, page: memoryview | None = None
    ) -> Buffer | None:
        """See Volume.read_nowait."""
        return self._of(inode.number).read_nowait(inode, offset, length, page)

    async def read(self, inode: Inode, offset: int, length: int) -> Buffer:
        """See Volume.read."""
        return await self._of(inode.number).read(inode, offset, length)

    async def allocated_ranges(
        self, inode: Inode, offset: int, length: int, limit: int = 1024
    ) -> list[tuple[int, int]]:
        """See Volume.allocated_ranges."""
        return await self._of(inode.number).allocated_ranges(inode, offset, length, limit)

    async def next_data(self, inode: Inode, offset: int) -> int | None:
        """See Volume.next_data."""
        return await self._of(inode.number).next_data(inode, offset)

    async def capture(self, inode: Inode, offset: int, length: int) -> Pin:
        """See Volume.capture."""
        return await self._of(inode.number).capture(inode, offset, length)
