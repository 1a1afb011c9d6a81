"""A file tree for reading: inodes, entries and extended attributes, of a volume as it is or as a snapshot holds it."""

import stat

from odxfs.errors import NameTooLong, NotADirectory, NotFound
from odxfs.types import MAX_NAME_BYTES, InodeNumber, VolumeId
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.past import SeenView
from odxfs.volume.identifiers import Identifiers
from odxfs.volume.tree.directories import Directories, DirectoryEntry
from odxfs.volume.tree.inodes import Inode, InodeCache
from odxfs.volume.tree.names import decode_name
from odxfs.volume.tree.streams import StreamRows
from odxfs.volume.tree.xattrs import Xattrs


class Tree:
    """What can be asked of a file tree; an operation has a checkpoint only where the catalog has to be waited for."""

    def __init__(self, view: CatalogView | SeenView, identifiers: Identifiers) -> None:
        self.view = view
        self.inodes = InodeCache(view)
        self.directories = Directories(view, identifiers)
        self.xattrs = Xattrs(view)
        self.streams = StreamRows(view)

    async def inode(self, volume: VolumeId, number: InodeNumber) -> Inode:
        """The live inode. Raises NotFound, also for an inode of another volume."""
        inode = self.inodes.recent(number) or await self.inodes.get(number)
        self.check_in(volume, inode)
        return inode

    def check_in(self, volume: VolumeId, inode: Inode) -> None:
        """Raise NotFound for an inode of another volume."""
        if inode.volume != volume:
            raise NotFound(f"inode {inode.number} is not in use")

    async def directory(self, volume: VolumeId, number: InodeNumber) -> Inode:
        """The live inode of a directory. Raises NotFound and NotADirectory."""
        inode = await self.inode(volume, number)
        if not stat.S_ISDIR(inode.mode):
            raise NotADirectory(f"inode {number} is not a directory")
        return inode

    async def release(self, inode: Inode) -> None:
        """Count one user less."""
        self.inodes.release(inode)

    async def entry(self, parent: Inode, name: bytes) -> DirectoryEntry:
        """The entry of that name. Raises NotFound and NameTooLong."""
        entry = await self.directories.find(parent.number, name)
        if entry is None:
            if len(name) > MAX_NAME_BYTES:
                raise NameTooLong(f"a name of {len(name)} bytes")
            raise NotFound(f"there is no {decode_name(name)!r}")
        return entry

    def close(self, volume: VolumeId) -> None:
        """The snapshot is being deleted: who still uses the tree, or an inode of it, is told Stale."""
        assert isinstance(self.view, SeenView)
        self.view.past.is_gone = True
        self.inodes.close(volume)
        self.directories.forget_listings()
