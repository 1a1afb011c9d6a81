"""The operations on open directories."""

import pyfuse3

from odxfs.errors import NotFound
from odxfs.types import InodeNumber
from odxfs.volume import Inode

from .answers import answered
from .front_end import FrontEnd, fleeting
from .handles import DirectoryHandle

DOT, DOT_DOT = 1, 2
"""The positions after "." and ".."; the volume's cookies follow, moved up by two."""

PAGE_ENTRIES = 200
"""Entries taken from the volume at a time: a little more than the kernel's usual buffer of 32 KiB has room for, so that one
page is enough and little of it is looked up in vain."""


class DirectoryOperations(FrontEnd):
    """Directory listings, in the order of the volume's cookies, which stay put while entries come and go."""

    @answered
    async def opendir(self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileHandleT:
        """Open a directory for listing."""
        directory = await self.at_end_of_path(inode, ctx)
        self.volume.hold(directory)
        return self.handles.add_directory(DirectoryHandle(directory))

    @answered
    async def readdir(self, fh: pyfuse3.FileHandleT, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """Fill the kernel's buffer with entries and their attributes, from position `start_id` on."""
        directory = self.handles.directory(fh).inode
        self.volume.touch(directory, accessed=True)
        if start_id < DOT_DOT and not await self._reply_dots(directory, start_id, token):
            return
        after = max(start_id - DOT_DOT, 0)
        known_as, describe, reply = self.numbers.known, self.describe, pyfuse3.readdir_reply
        invalidation = self.invalidation
        while True:
            seen = invalidation.names_gone
            page = await self.volume.list_directory(directory.number, after, PAGE_ENTRIES)
            doubtful = seen != invalidation.names_gone  # a name that is gone may be on the page
            for name, number, _, cookie in page:
                known = known_as(number)
                if known is None:
                    inode = await self._inode_or_none(number)
                    if inode is None:
                        continue  # it went away since it was listed
                    doubtful = seen != invalidation.names_gone
                else:
                    inode = known.inode
                shown = describe(inode)
                if not reply(token, name, fleeting(shown) if doubtful else shown, cookie + DOT_DOT):
                    return
                if known is None:
                    self.numbers.told(inode)
                else:
                    known.lookups += 1
            if len(page) < PAGE_ENTRIES:
                return
            after = page[-1].cookie

    async def _reply_dots(self, directory: Inode, start_id: int, token: pyfuse3.ReaddirToken) -> bool:
        if start_id < DOT and not pyfuse3.readdir_reply(
            token, pyfuse3.FileNameT(b"."), self.describe(directory), DOT
        ):
            return False
        parent = await self._parent(directory)
        return pyfuse3.readdir_reply(token, pyfuse3.FileNameT(b".."), self.describe(parent), DOT_DOT)

    async def _parent(self, directory: Inode) -> Inode:
        if directory.number == self.volume.root or directory.nlink == 0:
            return directory
        return await self.volume.inode(InodeNumber(await self.volume.parent_of(directory.number)))

    async def _inode_or_none(self, number: InodeNumber) -> Inode | None:
        try:
            return await self.volume.inode(number)
        except NotFound:
            return None

    @answered
    async def releasedir(self, fh: pyfuse3.FileHandleT) -> None:
        """Close a directory."""
        await self.volume.release(self.handles.remove_directory(fh).inode)

    @answered
    async def fsyncdir(self, fh: pyfuse3.FileHandleT, datasync: bool) -> None:
        """The directory's entries are durable on return."""
        await self.volume.sync(self.handles.directory(fh).inode)
