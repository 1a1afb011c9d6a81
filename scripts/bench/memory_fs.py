"""The peer of the mount: the least that serves files with pyfuse3, from memory. It keeps no promise but to answer.

Usage: memory_fs.py MOUNTPOINT; ends when it is unmounted. The kernel is told the same as by our mount: names and attributes
are good for a minute, pages stay cached between opens, no write-back cache. It keeps extended attributes: without them the
kernel would not look for security.capability before each write, which is half of the requests that a program's writes cause.
"""

import errno
import itertools
import os
import stat
import sys
import time

import pyfuse3
import trio

CACHE_SECONDS = 60.0


class MemoryFile:
    """An inode: bytes or entries."""

    def __init__(self, number: int, mode: int) -> None:
        self.number, self.mode = number, mode
        self.data = bytearray()
        self.entries: dict[bytes, MemoryFile] = {}
        self.xattrs: dict[bytes, bytes] = {}
        self.time_ns = time.time_ns()


class MemoryFileSystem(pyfuse3.Operations):
    """Files and directories in dictionaries; an open file is its inode."""

    supports_dot_lookup = True
    enable_writeback_cache = False

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(pyfuse3.ROOT_INODE)
        self._inodes: dict[int, MemoryFile] = {}
        self._make(stat.S_IFDIR | 0o755)

    def _make(self, mode: int) -> MemoryFile:
        made = MemoryFile(next(self._numbers), mode)
        self._inodes[made.number] = made
        return made

    def _describe(self, file: MemoryFile) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino, entry.generation = file.number, 0
        entry.entry_timeout = entry.attr_timeout = CACHE_SECONDS
        entry.st_mode, entry.st_nlink = file.mode, 1
        entry.st_uid = entry.st_gid = entry.st_rdev = 0
        entry.st_size, entry.st_blksize, entry.st_blocks = len(file.data), 4096, len(file.data) >> 9
        entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = file.time_ns
        return entry

    async def lookup(self, parent_inode, name, ctx=None):  # noqa: ANN001, ANN201
        found = self._inodes[parent_inode].entries.get(name)
        if found is None:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return self._describe(found)

    async def getattr(self, inode, ctx=None):  # noqa: ANN001, ANN201
        return self._describe(self._inodes[inode])

    async def setattr(self, inode, attr, fields, fh, ctx):  # noqa: ANN001, ANN201
        file = self._inodes[inode]
        if fields.update_size:
            del file.data[attr.st_size :]
            file.data.extend(bytes(attr.st_size - len(file.data)))
        return self._describe(file)

    async def mkdir(self, parent_inode, name, mode, ctx):  # noqa: ANN001, ANN201
        made = self._inodes[parent_inode].entries[name] = self._make(stat.S_IFDIR | mode)
        return self._describe(made)

    async def create(self, parent_inode, name, mode, flags, ctx):  # noqa: ANN001, ANN201
        made = self._inodes[parent_inode].entries[name] = self._make(stat.S_IFREG | mode)
        return pyfuse3.FileInfo(fh=made.number, keep_cache=True), self._describe(made)

    async def unlink(self, parent_inode, name, ctx):  # noqa: ANN001, ANN201
        if self._inodes[parent_inode].entries.pop(name, None) is None:
            raise pyfuse3.FUSEError(errno.ENOENT)

    async def rmdir(self, parent_inode, name, ctx):  # noqa: ANN001, ANN201
        self._inodes[parent_inode].entries.pop(name)

    async def forget(self, inode_list):  # noqa: ANN001, ANN201
        pass

    async def getxattr(self, inode, name, ctx):  # noqa: ANN001, ANN201
        value = self._inodes[inode].xattrs.get(name)
        if value is None:
            raise pyfuse3.FUSEError(pyfuse3.ENOATTR)
        return value

    async def setxattr(self, inode, name, value, ctx):  # noqa: ANN001, ANN201
        self._inodes[inode].xattrs[name] = value

    async def open(self, inode, flags, ctx):  # noqa: ANN001, ANN201
        return pyfuse3.FileInfo(fh=inode, keep_cache=True)

    async def read(self, fh, off, size):  # noqa: ANN001, ANN201
        return bytes(memoryview(self._inodes[fh].data)[off : off + size])

    async def write(self, fh, off, buf):  # noqa: ANN001, ANN201
        file = self._inodes[fh]
        if off > len(file.data):
            file.data.extend(bytes(off - len(file.data)))
        file.data[off : off + len(buf)] = buf
        file.time_ns = time.time_ns()
        return len(buf)

    async def flush(self, fh):  # noqa: ANN001, ANN201
        pass

    async def release(self, fh):  # noqa: ANN001, ANN201
        pass

    async def fsync(self, fh, datasync):  # noqa: ANN001, ANN201
        pass

    async def opendir(self, inode, ctx):  # noqa: ANN001, ANN201
        return inode

    async def readdir(self, fh, start_id, token):  # noqa: ANN001, ANN201
        for position, (name, file) in enumerate(
            list(self._inodes[fh].entries.items())[start_id:], start_id + 1
        ):
            if not pyfuse3.readdir_reply(token, name, self._describe(file), position):
                return

    async def releasedir(self, fh):  # noqa: ANN001, ANN201
        pass


def main() -> None:
    """Serve until unmounted."""
    options = {"fsname=memory", "subtype=memory", "default_permissions"}
    pyfuse3.init(MemoryFileSystem(), sys.argv[1], options | ({"allow_other"} if os.geteuid() == 0 else set()))
    try:
        trio.run(pyfuse3.main)
    finally:
        pyfuse3.close()


if __name__ == "__main__":
    main()
