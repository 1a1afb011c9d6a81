"""The operations on open regular files: open, create, read, write, flush, release, fsync."""

import errno
import os
import stat
from functools import partial

import pyfuse3

from odxfs.errors import AlreadyExists, LockConflict
from odxfs.opens import Use
from odxfs.opens.share_modes import FILE_READ_DATA, FILE_SHARE_ALL, FILE_WRITE_DATA
from odxfs.types import TOKEN_INODES, Buffer
from odxfs.volume import AttributeChange, Inode

from . import extension
from .ahead import LONG_BYTES
from .answers import answered
from .caching import changed, folders_changed, give_way
from .front_end import FrontEnd
from .handles import FileHandle

ACCESS = {
    os.O_RDONLY: FILE_READ_DATA,
    os.O_WRONLY: FILE_WRITE_DATA,
    os.O_RDWR: FILE_READ_DATA | FILE_WRITE_DATA,
}
"""What an open(2) mode means in the open table."""


class FileOperations(FrontEnd):
    """Data of files. Opens stand in the open table beside those of the share; its byte-range locks hold here too."""

    @answered
    async def open(
        self, inode: pyfuse3.InodeT, flags: pyfuse3.FlagT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.FileInfo:
        """Open a file; with O_TRUNC it is emptied in the same step. EBUSY where an SMB open does not share the access."""
        file = await self.at_end_of_path(inode, ctx)
        if self.opens.cached:
            use = Use.OVERWRITE if flags & os.O_TRUNC else Use.OPEN
            await give_way(self.opens, file.number, use, access=_access(flags))
        info = self._open(file, flags)
        if flags & os.O_TRUNC:
            try:
                await self._empty(file, ctx.uid)
            except BaseException:
                await self._close(info.fh)
                raise
        return info

    async def _empty(self, file: Inode, uid: int) -> None:
        """O_TRUNC by `uid`. The kernel leaves to us here what it does itself before write(2) and truncate(2).

        For all but root setuid goes, and setgid where it gives a privilege: with execution by the group (inode(7)).
        LockConflict (EAGAIN) where the share has locked any of it.
        """
        if self.opens.local_write_conflicts(file.number, 0, file.size, None):
            raise LockConflict(f"inode {file.number} is locked")
        with self.opens.changing(file.number):
            await self.volume.truncate(file, 0)
        mode = stat.S_IMODE(file.mode)
        kept = mode & ~stat.S_ISUID
        if mode & stat.S_IXGRP:
            kept &= ~stat.S_ISGID
        if uid != 0 and kept != mode:
            await self.volume.set_attributes(file, AttributeChange(mode=kept))

    @answered
    async def create(
        self,
        parent_inode: pyfuse3.InodeT,
        name: pyfuse3.FileNameT,
        mode: pyfuse3.ModeT,
        flags: pyfuse3.FlagT,
        ctx: pyfuse3.RequestContext,
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        """Create a file and open it.

        When the share created the name since the kernel looked, ESTALE makes the kernel look again and open what is there
        with its usual checks of permissions.
        """
        parent, seen = self.numbers.of_kernel(parent_inode), self.invalidation.names_gone
        try:
            file = await self.volume.create(parent, name, stat.S_IFREG | mode, ctx.uid, ctx.gid)
        except AlreadyExists:
            if flags & os.O_EXCL:
                raise
            self.invalidation.second_walks.begins(ctx.pid)
            raise pyfuse3.FUSEError(errno.ESTALE) from None
        if self.opens.cached:
            folders_changed(self.opens, parent)
        return self._open(file, flags), self.enter(file, seen)

    def _open(self, file: Inode, flags: int) -> pyfuse3.FileInfo:
        access = _access(flags)
        if self.is_doomed(file):
            raise pyfuse3.FUSEError(errno.EBUSY)
        if file.snapshot and access & FILE_WRITE_DATA:  # the kernel looks at mode bits only
            raise pyfuse3.FUSEError(errno.EROFS)
        entry = self.opens.open(file.number, access, FILE_SHARE_ALL, self, keeps_name=False)
        self.volume.hold(file)
        # Pages stay cached between opens: the kernel drops them by itself when it sees a new mtime, and is told when
        # the share has written. direct_io would cost shared mappings, which databases and git use.
        # A token is read past the cache, for it may end.
        fh, is_token = self.handles.add_file(FileHandle(file, entry, flags)), file.number >= TOKEN_INODES
        keeps = not (is_token or self.invalidation.has_old_pages(file.number))
        return pyfuse3.FileInfo(fh=fh, keep_cache=keeps, direct_io=is_token)

    @answered
    async def read(self, fh: pyfuse3.FileHandleT, off: int, size: int) -> Buffer:  # type: ignore[override]
        """Bytes of a file; EAGAIN where another's exclusive byte-range lock covers them."""
        handle = self.handles.file(fh)
        file = handle.inode
        if self.opens.local_read_conflicts(file.number, off, size, handle.entry):
            raise LockConflict(f"inode {file.number} is locked at {off}")
        data = self.ahead.take(file, off, size) if size >= LONG_BYTES else None
        if data is None:
            data = self.volume.read_nowait(file, off, size, self.page)
        if data is None:
            data = await self.volume.read(file, off, size)
        self.volume.touch(file, accessed=True)
        return data

    @answered
    async def write(self, fh: pyfuse3.FileHandleT, off: int, buf: bytes) -> int:
        """Write through to the volume; durable on return only with O_SYNC or O_DSYNC."""
        is_append = extension.is_append()
        handle = self.handles.file(fh)
        if handle.appends if is_append is None else is_append:
            await self._append(handle, off, buf)
        else:
            await self._write(handle, off, buf)
        if handle.synchronous:
            await self.volume.sync(handle.inode)
        return len(buf)

    async def _write(self, handle: FileHandle, offset: int, data: bytes) -> None:
        if not self._write_now(handle, offset, data):
            with self.opens.changing(handle.inode.number):
                permit = partial(self._prepare_write, handle)
                await self.volume.write(handle.inode, offset, data, permit=permit)

    async def _append(self, handle: FileHandle, offset: int, data: bytes) -> None:
        """Write through an open with O_APPEND; the kernel has chosen `offset`, the end of file that it knows of."""
        file = handle.inode
        where = file.size if self._goes_to_end(file, offset) else offset
        if handle.appending.locked() or not self._write_now(handle, where, data):
            async with handle.appending:
                where = await self._append_waiting(handle, offset, data)
        if where != offset:
            self.invalidation.content_doubtful(file.number)

    async def _append_waiting(self, handle: FileHandle, offset: int, data: bytes) -> int:
        file = handle.inode
        if not self._goes_to_end(file, offset):
            await self._write(handle, offset, data)
            return offset
        with self.opens.changing(file.number):
            return await self.volume.append(file, data, partial(self._prepare_write, handle))

    def _goes_to_end(self, file: Inode, offset: int) -> bool:
        """An `offset` elsewhere is meant (RWF_NOAPPEND) unless the kernel may not know where the end is."""
        known = self.numbers.known(file.number)
        return offset == file.size or known is None or known.is_resized

    def _write_now(self, handle: FileHandle, offset: int, data: bytes) -> bool:
        self._prepare_write(handle, offset, len(data))
        return self.volume.write_nowait(handle.inode, offset, data)

    def _prepare_write(self, handle: FileHandle, offset: int, length: int) -> None:
        """LockConflict where the share has locked any of it; what clients have cached of the file is old from now on."""
        number = handle.inode.number
        if self.opens.local_write_conflicts(number, offset, length, handle.entry):
            raise LockConflict(f"inode {number} is locked at {offset}")
        if self.opens.cached:
            changed(self.opens, number)

    @answered
    async def flush(self, fh: pyfuse3.FileHandleT) -> None:
        """A descriptor was closed: all its writes are in the volume already, and close(2) promises no durability.

        With our extension to pyfuse3 nobody asks: it answers itself.
        """

    @answered
    async def release(self, fh: pyfuse3.FileHandleT) -> None:
        """The last descriptor of an open was closed."""
        await self._close(fh)

    async def _close(self, fh: pyfuse3.FileHandleT) -> None:
        handle = self.handles.remove_file(fh)
        self.ahead.forget(handle.inode.number)
        try:
            self.opens.close(handle.entry)
            if self.opens.cached and handle.entry.access & FILE_WRITE_DATA:
                await self.entry_changed(handle.inode)
        finally:
            await self.volume.release(handle.inode)

    @answered
    async def fsync(self, fh: pyfuse3.FileHandleT, datasync: bool) -> None:
        """Everything written to the file so far is durable on return."""
        await self.volume.sync(self.handles.file(fh).inode)

    async def close_all(self) -> None:
        """Close what is still open when the mount goes away."""
        files, directories = self.handles.remaining()
        for number in files:
            await self._close(pyfuse3.FileHandleT(number))
        for number in directories:
            await self.volume.release(self.handles.remove_directory(number).inode)
        await self.numbers.forget_all()


def _access(flags: int) -> int:
    return ACCESS.get(flags & os.O_ACCMODE, FILE_READ_DATA | FILE_WRITE_DATA)
