"""The operations on names: lookup, create, link, remove, rename."""

import errno
import logging
from collections.abc import Callable, Sequence

import pyfuse3
import trio

from odxfs.errors import NotFound
from odxfs.opens import Use
from odxfs.opens.share_modes import DELETE, FILE_SHARE_ALL
from odxfs.types import InodeNumber
from odxfs.volume import Inode, RenameFlags

from .answers import answered
from .caching import folders_changed, give_way
from .front_end import FrontEnd
from .invalidation import Name

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
            try:
                inode = await self._look_up(parent_inode, name)
            except NotFound:
                self.invalidation.second_walks.failed(ctx.pid)
                raise
            if seen == self.invalidation.names_gone:
                break
        self.invalidation.second_walks.came_to(inode.number, ctx.pid, trio.current_time())
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
        link = await self.at_path(inode, ctx)
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
        target = await self.at_end_of_path(inode, ctx)
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
            permit = await self._permit_removal((parent, name))
        else:
            permit = self._require_removable
        await self.volume.unlink(parent, name, permit)
        folders_changed(self.opens, parent)

    @answered
    async def rmdir(
        self, parent_inode: pyfuse3.InodeT, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext
    ) -> None:
        """Remove an empty directory."""
        parent = self.numbers.of_kernel(parent_inode)
        permit = await self._permit_removal((parent, name))
        await self.volume.rmdir(parent, name, permit)
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
        old, new = (old_parent, name_old), (new_parent, name_new)
        may_be_removed = await self._permit_removal(old, new)
        found: list[Inode] = []

        def permit(*inodes: Inode | None) -> None:
            may_be_removed(*inodes)
            found.extend(inode for inode in inodes if inode is not None)

        await self.volume.rename(*old, *new, RenameFlags(flags), permit)
        if found:
            self.opens.renamed(found[0].number, old, new)
        if flags & RenameFlags.EXCHANGE and len(found) > 1:
            self.opens.renamed(found[1].number, new, old)
        folders_changed(self.opens, old_parent, new_parent)

    def _enter_new(self, parent: InodeNumber, inode: Inode, names_gone: int) -> pyfuse3.EntryAttributes:
        """Describe what has just got a name in `parent`."""
        folders_changed(self.opens, parent)
        return self.enter(inode, names_gone)

    async def _permit_removal(self, *names: Name) -> Callable[..., None]:
        """Have clients close what they keep open only because they cache it; returns what is shown the inodes that change.

        The kernel has judged, by the sticky bit too, what had the names before that wait. For what has got one since it gets
        ESTALE: it looks again without its cache and judges that.
        """
        judged: list[InodeNumber | None] | None = None
        if self.opens.cached:
            judged = [await self._number_or_none(*name) for name in names]
            for number in judged:
                if number is not None:
                    await give_way(self.opens, number, Use.RENAME)

        def permit(*inodes: Inode | None) -> None:
            if judged is not None and judged != [inode and inode.number for inode in inodes]:
                raise pyfuse3.FUSEError(errno.ESTALE)
            for inode in inodes:
                if inode is not None:
                    self._require_removable(inode)

        return permit

    async def _number_or_none(self, parent: InodeNumber, name: bytes) -> InodeNumber | None:
        try:
            return (await self.volume.lookup(parent, name)).number
        except NotFound:
            return None

    def _require_removable(self, inode: Inode) -> None:
        if not self.opens.check(inode.number, DELETE, FILE_SHARE_ALL):
            raise pyfuse3.FUSEError(errno.EBUSY)
