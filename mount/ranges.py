"""The operations on ranges of open files, which pyfuse3 has not: copy_file_range, fallocate, lseek for data and holes."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pyfuse3
import trio

from odxfs.errors import InvalidArgument, LockConflict
from odxfs.offload import Caller, Mechanism
from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import Inode

from .answers import answered
from .caching import changed
from .front_end import FrontEnd
from .handles import FileHandle
from .tokens import MOUNT_CLIENT

FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE = 0x01, 0x02, 0x10
"""Modes of fallocate(2), <linux/falloc.h>."""

ALLOCATING_MODES = {0, FALLOC_FL_KEEP_SIZE}
EMPTYING_MODES = {
    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_ZERO_RANGE,
    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
}

LONGEST_SHARED_COPY = (1 << 32) - LEAF_BYTES
"""What one call copies at most: the kernel's answer has 32 bits for it. The program asks again for the rest."""

LONGEST_MOVED_COPY = LEAF_BYTES
"""The same where bytes must move, so that other requests and the end of the mount need not wait long."""

SCANNED_BYTES = 1 << 32
"""How much of a file is looked through for a hole at a time: one page of the extent map."""

SECONDS_TO_WRITE_BACK = 5.0
"""How long a search for holes waits for the kernel to hand over what mappings have changed."""


class RangeOperations(FrontEnd):
    """Called by `range_requests`, with open files' numbers as the kernel gives them back."""

    @answered
    async def copy_file_range(
        self, source_fh: int, source_offset: int, fh: int, offset: int, length: int, flags: int
    ) -> int:
        """copy_file_range(2): share extents; returns the bytes copied, fewer than asked for at the source's end of file.

        The kernel has written back what mappings of both ranges changed, and drops its pages of the destination's
        afterwards (fs/fuse/file.c: __fuse_copy_file_range).
        """
        if flags:
            raise InvalidArgument(f"copy_file_range with flags {flags}")
        source, destination = self.handles.file(source_fh), self.handles.file(fh)
        length = min(_length_of_one_call(source_offset, offset, length), source.inode.size - source_offset)
        if length <= 0:
            return 0
        with self.engine.recorded(
            Mechanism.COPY_FILE_RANGE,
            "write",
            Caller(client=MOUNT_CLIENT),
            self.volume.name,
            destination.inode.number,
            offset,
            length,
            f"{self.volume.name}:inode {source.inode.number}",
        ) as record:
            if self.opens.local_read_conflicts(source.inode.number, source_offset, length, source.entry):
                raise LockConflict(f"inode {source.inode.number} is locked at {source_offset}")
            with self._changing(destination, offset, length):
                copied = await self.engine.copy(
                    record, self.volume, source.inode, source_offset, destination.inode, offset, length
                )
                self.volume.touch(source.inode, accessed=True)
                await self._sync_if_asked(destination)
        return copied

    @answered
    async def fallocate(self, fh: int, mode: int, offset: int, length: int) -> int:
        """fallocate(2); returns 0. EOPNOTSUPP for what is neither allocation, PUNCH_HOLE nor ZERO_RANGE.

        The kernel drops its pages of a range that was punched or zeroed, and follows the size.
        """
        if mode not in ALLOCATING_MODES | EMPTYING_MODES:
            raise pyfuse3.FUSEError(errno.EOPNOTSUPP)
        handle = self.handles.file(fh)
        file = handle.inode
        with self._changing(handle, offset, length):
            if mode in EMPTYING_MODES:
                await self.volume.deallocate(file, offset, length)
            else:
                self._require_room(file, length)
            if not mode & FALLOC_FL_KEEP_SIZE and offset + length > file.size:
                await self.volume.truncate(file, offset + length)
            self.volume.touch(file, modified=True)
            await self._sync_if_asked(handle)
        return 0

    @answered
    async def lseek(self, fh: int, offset: int, whence: int) -> int:
        """lseek(2) with SEEK_DATA or SEEK_HOLE; the end of file counts as a hole.

        ENXIO past it, without more data, and for a negative offset, which the kernel hands on (fs/fuse/file.c: fuse_lseek).
        """
        file = self.handles.file(fh).inode
        if not 0 <= offset < file.size:
            raise pyfuse3.FUSEError(errno.ENXIO)
        if not await self._mappings_are_written_back(file):
            return offset if whence == os.SEEK_DATA else file.size  # all of it may be data
        if whence == os.SEEK_HOLE:
            return await self._next_hole(file, offset)
        found = await self.volume.next_data(file, offset)
        if found is None:
            raise pyfuse3.FUSEError(errno.ENXIO)
        return found

    @contextmanager
    def _changing(self, handle: FileHandle, offset: int, length: int) -> Iterator[None]:
        """Around a change of a range: locks are respected, and after half a change the kernel's pages are doubtful."""
        number = handle.inode.number
        if self.opens.local_write_conflicts(number, offset, length, handle.entry):
            raise LockConflict(f"inode {number} is locked at {offset}")
        changed(self.opens, number)
        try:
            with self.opens.changing(number):
                yield
        except BaseException:
            self.invalidation.content_doubtful(number)
            raise

    async def _sync_if_asked(self, handle: FileHandle) -> None:
        if handle.synchronous:
            await self.volume.sync(handle.inode)

    def _require_room(self, file: Inode, length: int) -> None:
        """NoSpace or QuotaExceeded where the range cannot fit however much of it is allocated already."""
        self.volume.pool.check_writable()
        self.volume.check_room(length - file.allocated_bytes)

    async def _next_hole(self, file: Inode, offset: int) -> int:
        while offset < file.size:
            runs = await self.volume.allocated_ranges(file, offset, SCANNED_BYTES, limit=1)
            if not runs or runs[0][0] > offset:
                return offset
            end = sum(runs[0])
            if end < offset + SCANNED_BYTES:
                return end
            offset = end
            await trio.lowlevel.checkpoint()  # shared extents may fill 16 TiB without a hole
        return file.size

    async def _mappings_are_written_back(self, file: Inode) -> bool:
        """Have the kernel hand over what shared mappings of the file have changed; False when that takes too long.

        The kernel does so before reads and copies, but not before it asks for holes (fs/fuse/file.c: fuse_lseek), and what
        is in its pages alone would be taken for one and left out by cp(1). Only an open for reading and writing
        can carry such a mapping (mmap(2)).
        """
        if not self.handles.may_be_mapped(file.number):
            return True
        with trio.move_on_after(SECONDS_TO_WRITE_BACK):
            await trio.to_thread.run_sync(self.invalidation.drop_pages, file.number, abandon_on_cancel=True)
            return True
        return False


def _length_of_one_call(source_offset: int, offset: int, length: int) -> int:
    """Cut what is too long, where the destination's next leaf begins: so the next call shares whole leaves again."""
    moves = (source_offset - offset) % BLOCK_BYTES != 0
    longest = LONGEST_MOVED_COPY if moves else LONGEST_SHARED_COPY
    return length if length <= longest else longest - offset % LEAF_BYTES
