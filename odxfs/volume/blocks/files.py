"""Every system call that the store makes on its own files, in one class, so that tests can record, tear and fail them.

Nothing here is retried behind the caller's back except a short read or write, which is carried on where it stopped.
`NoSpace` is a full disk (or quota); any other errno is `StoreFailed`.
"""

import ctypes
import errno
import os
from collections.abc import Sequence
from pathlib import Path

from odxfs.access_times import open_quietly
from odxfs.errors import NoSpace, StoreFailed, VolumeError
from odxfs.file_owner import give_to_owner_of
from odxfs.types import Buffer

_FALLOC_PUNCH_HOLE_KEEP_SIZE = 0x03
_NO_END = 1 << 62
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def translated(error: OSError, doing: str) -> VolumeError:
    """The store's words for an OSError; `doing` completes the sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"the disk is full ({doing})")
    return StoreFailed(f"{doing} failed: {error.strerror or error}")


class Files:
    """Descriptors and byte offsets; buffers are the caller's and are neither kept nor copied."""

    def __init__(self) -> None:
        self._nowait_flag = os.RWF_NOWAIT

    def open(self, path: Path, *, create: bool = False) -> int:
        """A descriptor for reading and writing; with `create` the file must not be there yet."""
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        try:
            descriptor = open_quietly(path, flags)
            if create:
                give_to_owner_of(path.parent, descriptor)
            return descriptor
        except OSError as error:
            raise translated(error, f"opening {path.name}") from error

    def close(self, descriptor: int) -> None:
        """Close a descriptor; what was to be durable has been synced. Raises StoreFailed."""
        try:
            os.close(descriptor)
        except OSError as error:
            raise translated(error, "closing a segment") from error

    def exists(self, path: Path) -> bool:
        """Whether there is a file of that name. Raises StoreFailed."""
        try:
            path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise translated(error, f"looking for {path.name}") from error
        return True

    def read(self, descriptor: int, buffer: memoryview, offset: int) -> None:
        """Fill `buffer`. Blocking. Raises StoreFailed, also at an end of file."""
        try:
            done = os.preadv(descriptor, (buffer,), offset)
            while done < len(buffer):
                more = os.preadv(descriptor, (buffer[done:],), offset + done)
                if not more:
                    raise StoreFailed(f"a segment ends at {offset + done}")
                done += more
        except OSError as error:
            raise translated(error, "reading a segment") from error

    def read_nowait(self, descriptor: int, buffer: memoryview | bytearray, offset: int) -> bool:
        """Fill `buffer` from the page cache; False (contents undefined) when not all of it is there."""
        try:
            return os.preadv(descriptor, (buffer,), offset, self._nowait_flag) == len(buffer)
        except OSError:
            # Not in the cache, or a file system that cannot tell (tmpfs), or an error: the read that may wait meets that, too.
            return False

    def forget(self, descriptor: int, offset: int, length: int) -> None:
        """Let the page cache drop a range, so that it is read from the disk next; what is not yet written stays."""
        os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_DONTNEED)

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        """Write all of `buffers` one after the other. Raises NoSpace or StoreFailed; a part may have been written."""
        try:
            done = os.pwritev(descriptor, buffers, offset)
            total = sum(map(len, buffers))
            while done < total:
                done += os.pwrite(descriptor, b"".join(buffers)[done:], offset + done)
        except OSError as error:
            raise translated(error, "writing a segment") from error

    def sync(self, descriptor: int) -> None:
        """Make a file's data durable (fdatasync). Blocking."""
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            # Also a full disk: the kernel has dropped the pages, so there is nothing left to try again with.
            raise StoreFailed(f"syncing a segment failed: {error.strerror}") from error

    def remove(self, path: Path) -> bool:
        """Take a file's name away, durably with a sync of its directory; False when it has none. Raises StoreFailed.

        Its disk space comes free when its last descriptor is closed.
        """
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise translated(error, f"removing {path.name}") from error
        return True

    def sync_directory(self, directory: Path) -> None:
        """Make the names in a directory durable. Blocking."""
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreFailed(f"syncing {directory.name} failed: {error.strerror}") from error

    def extend(self, descriptor: int, length: int) -> None:
        """Give a file address space without disk space (ftruncate)."""
        try:
            os.ftruncate(descriptor, length)
        except OSError as error:
            raise translated(error, "extending a segment") from error

    def allocate(self, descriptor: int, length: int) -> None:
        """Give a file disk space (posix_fallocate). Raises NoSpace."""
        try:
            os.posix_fallocate(descriptor, 0, length)
        except OSError as error:
            raise translated(error, "reserving space") from error

    def punch(self, descriptor: int, offset: int, length: int) -> None:
        """Give disk space back; the range reads as zeros. Blocking, milliseconds. Raises StoreFailed."""
        if _libc.fallocate(descriptor, _FALLOC_PUNCH_HOLE_KEEP_SIZE, offset, length):
            number = ctypes.get_errno()
            if number != errno.EOPNOTSUPP:
                raise StoreFailed(f"punching a hole failed: {os.strerror(number)}")

    def data_ranges(self, descriptor: int, position: int = 0, end: int = _NO_END) -> list[tuple[int, int]]:
        """(offset, length) of what has disk space (SEEK_DATA, SEEK_HOLE) and begins in [position, end)."""
        ranges: list[tuple[int, int]] = []
        while position < end:
            try:
                start = os.lseek(descriptor, position, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    break
                raise translated(error, "mapping a segment") from error
            if start >= end:
                break
            try:
                position = os.lseek(descriptor, start, os.SEEK_HOLE)
            except OSError as error:
                raise translated(error, "mapping a segment") from error
            ranges.append((start, position - start))
        return ranges

    def disk_bytes(self, descriptor: int) -> int:
        """Disk space that a file takes. Raises StoreFailed."""
        try:
            return os.fstat(descriptor).st_blocks * 512
        except OSError as error:
            raise translated(error, "measuring a segment") from error

    def disk_bytes_of(self, path: Path) -> int:
        """The same by its name, without opening it. Raises StoreFailed."""
        try:
            return path.stat().st_blocks * 512
        except OSError as error:
            raise translated(error, f"measuring {path.name}") from error

    def room(self, directory: Path) -> tuple[int, int]:
        """(capacity, available) of the file system below, in bytes, without what it keeps back for root. Raises StoreFailed."""
        try:
            found = os.statvfs(directory)
        except OSError as error:
            raise translated(error, "asking for the room on the disk") from error
        kept_back = found.f_bfree - found.f_bavail
        return (found.f_blocks - kept_back) * found.f_frsize, found.f_bavail * found.f_frsize
