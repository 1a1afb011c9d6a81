"""The operations on attributes: stat, chmod, chown, truncate, utimens, extended attributes, statfs."""

import errno
import stat
from collections.abc import Sequence

import pyfuse3

from odxfs.opens import Use
from odxfs.opens.share_modes import FILE_READ_DATA, FILE_SHARE_ALL, FILE_WRITE_DATA
from odxfs.pool_identity import IDENTITY, pack_identity
from odxfs.token_attributes import RESERVED
from odxfs.types import MAX_NAME_BYTES
from odxfs.volume import CAPABILITY_NAME, AttributeChange, Inode

from .answers import answered
from .caching import give_way
from .front_end import FrontEnd

MAX_XATTR_NAME_BYTES = 255
"""Linux's XATTR_NAME_MAX."""

NAMESPACES = (b"user", b"trusted", b"security")


class AttributeOperations(FrontEnd):
    """Attributes of inodes, by number."""

    @answered
    async def getattr(self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """stat(2) and fstat(2)."""
        return self.describe(await self.at_path_or_open(inode, ctx))

    @answered
    async def setattr(
        self,
        inode: pyfuse3.InodeT,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: pyfuse3.FileHandleT | None,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """chmod, chown, truncate, utimens; `fh` comes with ftruncate."""
        target = await (self.at_path_or_open(inode, ctx) if fh is None else self.numbers.inode(inode))
        if fields.update_size:
            await self._truncate(target, attr.st_size, fh)
        change = _change(attr, fields)
        if change != AttributeChange():
            await self.volume.set_attributes(target, change)
        await self.entry_changed(target)
        return self.describe(target)

    async def _truncate(self, target: Inode, size: int, fh: pyfuse3.FileHandleT | None) -> None:
        entry = None if fh is None else self.handles.file(fh).entry
        if entry is None:
            await self._require_sharing(target, Use.CHANGE, FILE_WRITE_DATA)
        elif self.opens.cached:
            await give_way(self.opens, target.number, Use.CHANGE)
        low, high = sorted((size, target.size))
        if self.opens.local_write_conflicts(target.number, low, high - low, entry):
            raise pyfuse3.FUSEError(errno.EAGAIN)
        with self.opens.changing(target.number):
            await self.volume.truncate(target, size)

    async def _require_sharing(self, target: Inode, use: Use, access: int) -> None:
        """What goes by a file's path alone and reads or changes its bytes: EBUSY where an SMB open does not share that."""
        if self.opens.cached:
            await give_way(self.opens, target.number, use, access=access)
        self.require_sharing(target, access, FILE_SHARE_ALL)

    @answered
    async def access(self, inode: pyfuse3.InodeT, mode: pyfuse3.ModeT, ctx: pyfuse3.RequestContext) -> bool:
        """Never asked: with default_permissions the kernel judges by mode, owner and group itself."""
        return True

    @answered
    async def getxattr(
        self, inode: pyfuse3.InodeT, name: pyfuse3.XAttrNameT, ctx: pyfuse3.RequestContext
    ) -> bytes:
        """One extended attribute; ENODATA when it is not there."""
        target = await self.at_path_or_open(inode, ctx)
        if name == CAPABILITY_NAME and not target.has_xattrs:
            raise pyfuse3.FUSEError(errno.ENODATA)
        _require_namespace(name)
        if name == IDENTITY:
            return pack_identity(self.volume.pool.opening, target.number)
        if name.startswith(RESERVED):
            await self._require_sharing(target, Use.READ, FILE_READ_DATA)
            return await self.tokens.read(target, name, ctx)
        return await self.volume.get_xattr(target, name)

    @answered
    async def setxattr(
        self, inode: pyfuse3.InodeT, name: pyfuse3.XAttrNameT, value: bytes, ctx: pyfuse3.RequestContext
    ) -> None:
        """Set an extended attribute; pyfuse3 has checked XATTR_CREATE and XATTR_REPLACE."""
        if len(name) > MAX_XATTR_NAME_BYTES:
            raise pyfuse3.FUSEError(errno.ERANGE)
        _require_namespace(name)
        target = await self.at_path_or_open(inode, ctx)
        if name.startswith(RESERVED):
            await self._require_sharing(target, Use.CHANGE, FILE_WRITE_DATA)
            await self.tokens.write(target, name, value, ctx)
        else:
            await self.volume.set_xattr(target, name, value)

    @answered
    async def listxattr(
        self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext
    ) -> Sequence[pyfuse3.XAttrNameT]:
        """The names of the extended attributes that the caller may see."""
        return [
            pyfuse3.XAttrNameT(name)
            for name in await self.volume.list_xattrs(await self.at_path_or_open(inode, ctx))
            if _is_shown(name, ctx.uid)
        ]

    @answered
    async def removexattr(
        self, inode: pyfuse3.InodeT, name: pyfuse3.XAttrNameT, ctx: pyfuse3.RequestContext
    ) -> None:
        """Remove an extended attribute; ENODATA when it is not there."""
        _require_namespace(name)
        await self.volume.remove_xattr(await self.at_path_or_open(inode, ctx), name)

    @answered
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """What df(1) shows: the true numbers of the pool and the file system below it."""
        numbers = self.volume.statfs()
        answer = pyfuse3.StatvfsData()
        answer.f_bsize = answer.f_frsize = numbers.block_bytes
        answer.f_blocks = numbers.blocks
        answer.f_bfree = answer.f_bavail = numbers.free_blocks
        answer.f_files = numbers.inodes
        answer.f_ffree = answer.f_favail = numbers.free_inodes
        answer.f_namemax = MAX_NAME_BYTES
        return answer


def _require_namespace(name: bytes) -> None:
    """EOPNOTSUPP but for the namespaces that Linux has for any file system (xattr(7)); EINVAL for a namespace alone.

    system.* holds POSIX ACLs: to keep them as mere bytes would pretend that they are obeyed (cp -a relies on it).
    """
    namespace, _, rest = name.partition(b".")
    if namespace not in NAMESPACES:
        raise pyfuse3.FUSEError(errno.EOPNOTSUPP)
    if not rest:
        raise pyfuse3.FUSEError(errno.EINVAL)


def _is_shown(name: bytes, uid: int) -> bool:
    """What is in none of the name spaces is the server's own (security descriptors). trusted.* is for root; the kernel refuses
    its values to others and leaves their list to the file system.
    """
    namespace = name.partition(b".")[0]
    return namespace in NAMESPACES and (uid == 0 or namespace != b"trusted")


def _change(attr: pyfuse3.EntryAttributes, fields: pyfuse3.SetattrFields) -> AttributeChange:
    times = (attr.st_atime_ns, attr.st_mtime_ns, attr.st_ctime_ns)
    wanted = (fields.update_atime, fields.update_mtime, fields.update_ctime)
    if any(is_set and not -(2**63) <= time < 2**63 for time, is_set in zip(times, wanted, strict=True)):
        raise pyfuse3.FUSEError(errno.EINVAL)  # the volume could keep it, the kernel could not be told of it
    return AttributeChange(
        mode=stat.S_IMODE(attr.st_mode) if fields.update_mode else None,
        uid=attr.st_uid if fields.update_uid else None,
        gid=attr.st_gid if fields.update_gid else None,
        atime_ns=attr.st_atime_ns if fields.update_atime else None,
        mtime_ns=attr.st_mtime_ns if fields.update_mtime else None,
        ctime_ns=attr.st_ctime_ns if fields.update_ctime else None,
    )
