"""The process of a recording disk: pyfuse3 in front of `Disk`, and the control that comes as extended attributes of the root.

Started by `RecordingDisk`; serves until it is unmounted.
"""

import errno
import json
import os
import pickle
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from odxfs_mount import extension  # before pyfuse3: it gives the mount fallocate and lseek

import pyfuse3  # isort: skip
import trio

from tests.crash.disk.contents import Disk, Node
from tests.crash.disk.log import ROOT, Failure, Fault, ReadFailure

_FOREVER = 3600.0
"""Seconds that the kernel may keep names and attributes: nobody else changes them."""

_PUNCH_HOLE = 0x02


class Operations(pyfuse3.Operations):  # type: ignore[misc]
    """FUSE requests, one after the other, each without a checkpoint: so the log has them in the order of their effects."""

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self.disk = disk
        self.reads_through = False
        """Whether reads reach the disk each time, instead of the kernel's page cache."""

    # -- names ------------------------------------------------------------------------------------------------------

    async def lookup(self, parent: int, name: bytes, ctx: Any) -> pyfuse3.EntryAttributes:
        if name in (b".", b".."):
            raise pyfuse3.FUSEError(errno.ENOENT)
        node = self._node(parent).children.get(os.fsdecode(name))
        if node is None:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return _attributes(node)

    async def getattr(self, inode: int, ctx: Any) -> pyfuse3.EntryAttributes:
        return _attributes(self._node(inode))

    async def create(self, parent: int, name: bytes, mode: int, flags: int, ctx: Any) -> tuple[Any, Any]:
        node = _answer(self.disk.enter, self._node(parent), os.fsdecode(name), is_directory=False)
        return await self.open(node.number, flags, ctx), _attributes(node)

    async def mkdir(self, parent: int, name: bytes, mode: int, ctx: Any) -> pyfuse3.EntryAttributes:
        return _attributes(_answer(self.disk.enter, self._node(parent), os.fsdecode(name), is_directory=True))

    async def unlink(self, parent: int, name: bytes, ctx: Any) -> None:
        _answer(self.disk.remove, self._node(parent), os.fsdecode(name))

    async def rmdir(self, parent: int, name: bytes, ctx: Any) -> None:
        _answer(self.disk.remove, self._node(parent), os.fsdecode(name))

    async def opendir(self, inode: int, ctx: Any) -> int:
        return inode

    async def readdir(self, fh: int, start_id: int, token: Any) -> None:
        entries = sorted(self._node(fh).children.items())
        for index, (name, node) in list(enumerate(entries, 1))[start_id:]:
            if not pyfuse3.readdir_reply(token, os.fsencode(name), _attributes(node), index):
                return

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        _answer(self.disk.sync, self._node(fh))

    # -- files ------------------------------------------------------------------------------------------------------

    async def open(self, inode: int, flags: int, ctx: Any) -> pyfuse3.FileInfo:
        node = self._node(inode)
        node.opens += 1
        return pyfuse3.FileInfo(fh=inode, direct_io=self.reads_through and node.is_recorded)

    async def release(self, fh: int) -> None:
        node = self.disk.nodes.get(fh)
        if node is not None:
            self.disk.close(node)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        found: bytes = _answer(self.disk.read, self._node(fh), off, size)
        return found

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        written: int = _answer(self.disk.write, self._node(fh), off, bytes(buf))
        return written

    async def fsync(self, fh: int, datasync: bool) -> None:
        _answer(self.disk.sync, self._node(fh))

    async def setattr(self, inode: int, attr: Any, fields: Any, fh: int | None, ctx: Any) -> Any:
        node = self._node(inode)
        if fields.update_size:
            _answer(self.disk.resize, node, attr.st_size)
        return _attributes(node)

    def fallocate(self, request: Any, fh: int, mode: int, offset: int, length: int) -> None:
        """Called by the extension."""
        operate = self.disk.punch if mode & _PUNCH_HOLE else self.disk.reserve
        try:
            operate(self._node(fh), offset, length)
        except OSError as error:
            request.reply_error(error.errno)
        else:
            request.reply_error(0)

    def lseek(self, request: Any, fh: int, offset: int, whence: int) -> None:
        """Called by the extension."""
        content = self._node(fh).content
        runs = list(content.runs(offset, content.size))
        at = next((start for start, _ in runs), -1)
        if whence == os.SEEK_HOLE:
            at = sum(runs[0]) if runs and runs[0][0] == offset else offset
        if at < 0 or offset >= content.size:
            request.reply_error(errno.ENXIO)
        else:
            request.reply_offset(at)

    def copy_file_range(self, request: Any, *arguments: int) -> None:
        """Called by the extension; the store does not use it."""
        request.reply_error(errno.EOPNOTSUPP)

    async def statfs(self, ctx: Any) -> pyfuse3.StatvfsData:
        answer = pyfuse3.StatvfsData()
        answer.f_bsize = answer.f_frsize = 4096
        answer.f_blocks = self.disk.capacity_bytes // 4096
        answer.f_bfree = answer.f_bavail = max(0, self.disk.room_bytes) // 4096
        answer.f_files = answer.f_ffree = answer.f_favail = 1 << 20
        answer.f_namemax = 255
        return answer

    # -- control ----------------------------------------------------------------------------------------------------

    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: Any) -> None:
        command, argument = name.decode().removeprefix("user."), json.loads(value)
        match command:
            case "mark":
                self.disk.mark(argument)
            case "start":
                self.disk.start(argument[0])
                self.reads_through = argument[1]
            case "fail":
                self.disk.fail(
                    None if argument is None else Failure(argument[0], Fault(argument[1]), argument[2])
                )
            case "fail_read":
                self.disk.fail(ReadFailure(*argument))
            case "save":
                Path(argument).write_bytes(pickle.dumps(self.disk.log))

    async def getxattr(self, inode: int, name: bytes, ctx: Any) -> bytes:
        counts = {b"user.changes": self.disk.changes, b"user.reads": self.disk.reads}
        if name not in counts:
            raise pyfuse3.FUSEError(errno.ENODATA)
        return b"%d" % counts[name]

    def _node(self, number: int) -> Node:
        node = self.disk.nodes.get(number)
        if node is None:
            raise pyfuse3.FUSEError(errno.ESTALE)
        return node


def _answer(operate: Any, *arguments: Any, **more: Any) -> Any:
    try:
        return operate(*arguments, **more)
    except OSError as error:
        raise pyfuse3.FUSEError(error.errno) from error


def _attributes(node: Node) -> pyfuse3.EntryAttributes:
    found = pyfuse3.EntryAttributes()
    found.st_ino = node.number
    found.st_mode = stat.S_IFDIR | 0o700 if node.is_directory else stat.S_IFREG | 0o600
    found.st_nlink = 1
    found.st_size = node.content.size
    found.st_blocks = node.disk_bytes // 512
    found.st_blksize = 4096
    found.st_uid, found.st_gid = os.getuid(), os.getgid()
    found.entry_timeout = found.attr_timeout = _FOREVER
    return found


def main(arguments: Sequence[str]) -> None:
    """Serve on the mount point that is the only argument."""
    operations = Operations(Disk())
    assert extension.module is not None, (
        f"odxfs_mount was installed without its extension: {extension.missing}"
    )
    extension.module.arm(operations)
    pyfuse3.init(operations, arguments[0], {"fsname=recording-disk"})
    assert operations.disk.root.number == ROOT == pyfuse3.ROOT_INODE
    try:
        trio.run(pyfuse3.main, 1, 1)
    finally:
        pyfuse3.close(unmount=True)


if __name__ == "__main__":
    main(sys.argv[1:])
