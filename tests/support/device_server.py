"""The process of a faulty device: one file behind FUSE, which a loop device makes a disk of. Started by `faulty_device`.

It fails and is silent as it is told to, by extended attributes of the root. Every request that the loop device makes reaches it.
"""

import errno
import json
import mmap
import stat
import sys
from typing import Any

import pyfuse3
import trio

NAME = b"device"
_NUMBER = 2
_MOST_REQUESTS = 64
"""Requests at a time, those that are kept waiting included: more than a loop device has under way."""


class Operations(pyfuse3.Operations):  # type: ignore[misc]
    """The root directory with the one file in it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._content = mmap.mmap(-1, size)
        self._failing: set[str] = set()
        self._answers = trio.Event()
        self._answers.set()

    async def lookup(self, parent: int, name: bytes, ctx: Any) -> pyfuse3.EntryAttributes:
        if name != NAME:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return self._attributes(_NUMBER)

    async def getattr(self, inode: int, ctx: Any) -> pyfuse3.EntryAttributes:
        return self._attributes(inode)

    async def open(self, inode: int, flags: int, ctx: Any) -> pyfuse3.FileInfo:
        return pyfuse3.FileInfo(fh=inode, direct_io=True)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        await self._pass("read")
        return self._content[off : off + size]

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        await self._pass("write")
        self._content[off : off + len(buf)] = buf
        return len(buf)

    async def fsync(self, fh: int, datasync: bool) -> None:
        await self._pass("sync")

    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: Any) -> None:
        argument = json.loads(value)
        if name == b"user.failing":
            self._failing = set(argument)
        elif argument:
            self._answers.set()
        else:
            self._answers = trio.Event()

    async def _pass(self, kind: str) -> None:
        await self._answers.wait()
        if kind in self._failing:
            raise pyfuse3.FUSEError(errno.EIO)

    def _attributes(self, number: int) -> pyfuse3.EntryAttributes:
        found = pyfuse3.EntryAttributes()
        found.st_ino = number
        found.st_mode = stat.S_IFREG | 0o600 if number == _NUMBER else stat.S_IFDIR | 0o700
        found.st_size = len(self._content) if number == _NUMBER else 0
        found.st_nlink = 1
        found.entry_timeout = found.attr_timeout = 3600.0
        return found


def main() -> None:
    """Arguments: the mount point, the size of the device in bytes."""
    pyfuse3.init(Operations(int(sys.argv[2])), sys.argv[1], {"fsname=faulty-device"})
    try:
        trio.run(pyfuse3.main, 1, _MOST_REQUESTS)
    finally:
        pyfuse3.close(unmount=True)


if __name__ == "__main__":
    main()
