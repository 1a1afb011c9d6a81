"""The operations on names: lookup, create, link, remove, rename."""

import errno
import logging
from collections.abc import Sequence

import pyfuse3

from odxfs.errors import NotFound
from odxfs.opens import Use
from odxfs.opens.share_modes import DELETE, FILE_SHARE_ALL
from odxfs.types import InodeNumber
from odxfs.volume import Inode, RenameFlags

from .answers import answered
from .caching import folders_changed, give_way
from .front_end import FrontEnd

log = logging.getLogger("odxfs.mount")

S_IFLNK = 0o120777
S_IFDIR = 0o040000

MOST_LOOKS = 3
"""How often a name is looked up again because the share took one away meanwhile, before the answer is given for this once."""


class NameOperations(FrontEnd):
    """Names in directories. The kernel has checked permissions already (default_permissions)."""

    @answered
    async def lookup(
        self, parent_inode: pyfuse3.InodeT, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """The inode of a name; "." and ".." are asked for by NFS."""
        for _ in range(MOST_LOOKS):
            seen = self.invalidation.names_gone
            inode = await self._look_up(parent_inode, name)
            if seen == self.invalidation.names_gone:
                break
        return self.enter(inode, seen)

    async def _look_up(self, parent_inode: pyfuse3.InodeT, name: bytes) -> Inode:
        parent = self.numbers.of_kernel(parent_inode)
        if name == b".":
            return await self.numbers.inode(parent_inode)
        if name == b"..":
            return await self.volume.inode(await self.volume.parent_of(parent))
        return await self.volume.lookup(parent, name)

    async def forget(self, inode_list: Sequence[tuple[pyfuse3.InodeT, int]]) -> None:
        """The kernel drops inodes. There is no answer to this operation, so a failure can only be logged."""
        for number, lookups in inode_list:
            try:
                await self.numbers.forget(number, lookups)
            except Exception:
                log.exception("operation=forget inode=%d failed", number)

    @answered
    async def mknod(
        self,
        parent_inode: pyfuse3.InodeT,
        name: pyfuse3.FileNameT,
        mode: pyfuse3.ModeT,
        rdev: int,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """A regular file, device, FIFO or socket."""
        parent = self.numbers.of_kernel(parent_inode)
        seen = self.invalidation.names_gone
        inode = await self.volume.create(parent, name, mode, ctx.uid, ctx.gid, rdev=rdev)
        return self._enter_new(parent, inode, seen)

    @answered
    async def mkdir(
        self,
        parent_inode: pyfuse3.InodeT,
        name: pyfuse3.FileNameT,
        mode: pyfuse3.ModeT,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """A directory."""
        parent = self.numbers.of_kernel(parent_inode)
        seen = self.invalidation.names_gone
        inode = await self.volume.create(parent, name, S_IFDIR | mode, ctx.uid, ctx.gid)
        return self._enter_new(parent, inode, seen)

    @answered
    async def symlink(
        self,
        parent_inode: pyfuse3.InodeT,
        name: pyfuse3.FileNameT,
        target: pyfuse3.FileNameT,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """A symbolic link."""
        parent = self.numbers.of_kernel(parent_inode)
        seen = self.invalidation.names_gone
        inode = await self.volume.create(parent, name, S_IFLNK, ctx.uid, ctx.gid, target=target)
        return self._enter_new(parent, inode, seen)

    @answered
    async def readlink(self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileNameT:
        """The target of a symbolic link."""
        link = await self.at_path(inode)
        self.volume.touch(link, accessed=True)
        return pyfuse3.FileNameT(link.target)

    @answered
    async def link(
        self,
        inode: pyfuse3.InodeT,
        new_parent_inode: pyfuse3.InodeT,
        new_name: pyfuse3.FileNameT,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """A further name of an inode."""
        target = await self.at_path(inode)
        new_parent = self.numbers.of_kernel(new_parent_inode)
        seen = self.invalidation.names_gone
        await self.volume.link(target, new_parent, new_name)
        return self._enter_new(new_parent, target, seen)

    @answered
    async def unlink(
        self, parent_inode: pyfuse3.InodeT, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext
    ) -> None:
        """Remove a name; open files live on. EBUSY when an SMB open does not share deletion."""
        parent = self.numbers.of_kernel(parent_inode)
        if self.opens.cached:
            await self._give_way_by_name(parent, name)
        await self.volume.unlink(parent, name, self._require_removable)
        folders_changed(self.opens, parent)

    @answered
    async def rmdir(
        self, parent_inode: pyfuse3.InodeT, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext
    ) -> None:
        """Remove an empty directory."""
        parent = self.numbers.of_kernel(parent_inode)
        if self.opens.cached:
            await self._give_way_by_name(parent, name)
        await self.volume.rmdir(parent, name, self._require_removable)
        folders_changed(self.opens, parent)

    @answered
    async def rename(
        self,
        parent_inode_old: pyfuse3.InodeT,
        name_old: pyfuse3.FileNameT,
        parent_inode_new: pyfuse3.InodeT,
        name_new: pyfuse3.FileNameT,
        flags: pyfuse3.FlagT,
        ctx: pyfuse3.RequestContext,
    ) -> None:
        """Rename, with RENAME_NOREPLACE and RENAME_EXCHANGE; the VFS refuses other flags, or we do with EINVAL."""
        if flags & ~int(RenameFlags.NOREPLACE | RenameFlags.EXCHANGE):
            raise pyfuse3.FUSEError(errno.EINVAL)
        old_parent = self.numbers.of_kernel(parent_inode_old)
        new_parent = self.numbers.of_kernel(parent_inode_new)
        if self.opens.cached:
            await self._give_way_by_name(old_parent, name_old)
            await self._give_way_by_name(new_parent, name_new)
        found: list[Inode] = []

        def permit(*inodes: Inode | None) -> None:
            found.extend(inode for inode in inodes if inode is not None)
            for inode in found:
                self._require_removable(inode)

        await self.volume.rename(old_parent, name_old, new_parent, name_new, RenameFlags(flags), permit)
        old, new = (old_parent, name_old), (new_parent, name_new)
        if found:
            self.opens.renamed(found[0].number, old, new)
        if flags & RenameFlags.EXCHANGE and len(found) > 1:
            self.opens.renamed(found[1].number, new, old)
        folders_changed(self.opens, old_parent, new_parent)

    def _enter_new(self, parent: InodeNumber, inode: Inode, names_gone: int) -> pyfuse3.EntryAttributes:
        """Describe what has just got a name in `parent`."""
        folders_changed(self.opens, parent)
        return self.enter(inode, names_gone)

    async def _give_way_by_name(self, parent: InodeNumber, name: bytes) -> None:
        """Clients that keep a file open only because they cache it close it before it loses its name."""
        inode = await self._lookup_or_none(parent, name)
        if inode is not None:
            await give_way(self.opens, inode.number, Use.RENAME)

    async def _lookup_or_none(self, parent: InodeNumber, name: bytes) -> Inode | None:
        try:
            return await self.volume.lookup(parent, name)
        except NotFound:
            return None

    def _require_removable(self, inode: Inode) -> None:
        if not self.opens.check(inode.number, DELETE, FILE_SHARE_ALL):
            raise pyfuse3.FUSEError(errno.EBUSY)
