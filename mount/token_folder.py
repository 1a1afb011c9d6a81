"""`.odxfs` in the root of the mount: what the server shows of itself. In `.odxfs/tokens` each live token is a file.

Like `.snapshots` it is not listed. It is for the user that the server runs as (and root), since a token may hold bytes of files
that others may not read. The kernel keeps nothing of it: a token that has ended is gone from the next look on.
"""

import stat

from odxfs.errors import NotADirectory, NotFound, NotPermitted, ReadOnly
from odxfs.offload import TOKENS_FOLDER, OffloadEngine, TokenFiles
from odxfs.types import TOKEN_INODES, InodeNumber
from odxfs.volume import ODXFS_FOLDER, DirectoryEntry, Inode, Permit, RenameFlags, RenamePermit, Volume

from .snapshots import VolumeWithSnapshots

SERVER_FOLDER = InodeNumber(TOKEN_INODES)
"""The number of `.odxfs`."""

TOKENS_NAME = b"tokens"


class ServerFolder(TokenFiles):
    """`.odxfs` and what is in it, as a volume that cannot be changed."""

    async def inode(self, number: InodeNumber) -> Inode:
        """See TokenFiles.inode."""
        return self.folder(SERVER_FOLDER) if number == SERVER_FOLDER else await super().inode(number)

    async def lookup(self, parent: InodeNumber, name: bytes) -> Inode:
        """See TokenFiles.lookup."""
        if parent != SERVER_FOLDER:
            return await super().lookup(parent, name)
        if name != TOKENS_NAME:
            raise NotFound(f"the server shows nothing as {name!r}")
        return self.folder(TOKENS_FOLDER)

    async def list_directory(
        self, directory: InodeNumber, after: int = 0, limit: int = 1000
    ) -> list[DirectoryEntry]:
        """See TokenFiles.list_directory."""
        if directory != SERVER_FOLDER:
            return await super().list_directory(directory, after, limit)
        return [] if after else [DirectoryEntry(TOKENS_NAME, TOKENS_FOLDER, stat.S_IFDIR, 1)]


class MountedVolume(VolumeWithSnapshots):
    """All that the mount shows: a volume, its snapshots and `.odxfs`, told apart by inode number."""

    def __init__(self, volume: Volume, engine: OffloadEngine) -> None:
        super().__init__(volume)
        self._server = ServerFolder(self.pool, engine.registry, engine.clock, self.origin)

    def _beside(self, number: InodeNumber) -> Volume:
        return self._server if number >= TOKEN_INODES else super()._beside(number)

    async def _look_up_beside(self, parent: InodeNumber, name: bytes) -> Inode:
        if parent == self.root and name == ODXFS_FOLDER:
            return await self._server.inode(SERVER_FOLDER)
        if parent >= TOKEN_INODES:
            return await self._server.lookup(parent, name)
        return await super()._look_up_beside(parent, name)

    async def parent_of(self, directory: InodeNumber) -> InodeNumber:
        """See Volume.parent_of."""
        if directory < TOKEN_INODES:
            return await super().parent_of(directory)
        if directory not in (SERVER_FOLDER, TOKENS_FOLDER):
            raise NotADirectory(f"inode {directory} is a token")
        return SERVER_FOLDER if directory == TOKENS_FOLDER else self.root

    async def rmdir(self, parent: InodeNumber, name: bytes, permit: Permit | None = None) -> None:
        """See Volume.rmdir."""
        if parent == self.root and name == ODXFS_FOLDER:
            raise NotPermitted("the server's folder stays")
        await super().rmdir(parent, name, permit)

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
        if (self.root, ODXFS_FOLDER) in ((old_parent, old_name), (new_parent, new_name)):
            raise NotPermitted("the server's folder stays")
        if max(old_parent, new_parent) >= TOKEN_INODES:
            raise ReadOnly("nothing is renamed in, into or out of the server's folder")
        await super().rename(
            old_parent, old_name, new_parent, new_name, flags, permit, ignoring_case=ignoring_case
        )
