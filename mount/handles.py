"""The open files and directories of the mount, by the number the kernel gives back with each call."""

import itertools
import os
from dataclasses import dataclass

import pyfuse3
import trio

from odxfs.opens import OpenEntry
from odxfs.types import InodeNumber
from odxfs.volume import Inode

SYNCHRONOUS = os.O_DSYNC | os.O_SYNC


@dataclass(slots=True, eq=False)
class FileHandle:
    """An open regular file; `entry` is its place in the open table, `flags` are those of open(2)."""

    inode: Inode
    entry: OpenEntry
    flags: int
    _appending: trio.Lock | None = None

    @property
    def appending(self) -> trio.Lock:
        """Keeps the requests of one write(2) in order: with O_DIRECT they come several at a time."""
        if self._appending is None:
            self._appending = trio.Lock()
        return self._appending

    @property
    def appends(self) -> bool:
        """Opened so that every write goes to the end of the file; fcntl(2) may have changed that since."""
        return bool(self.flags & os.O_APPEND)

    @property
    def reads_and_writes(self) -> bool:
        """Opened O_RDWR."""
        return self.flags & os.O_ACCMODE == os.O_RDWR

    @property
    def synchronous(self) -> bool:
        """Every write is durable before it is answered."""
        return bool(self.flags & SYNCHRONOUS)


@dataclass(slots=True, eq=False)
class DirectoryHandle:
    """An open directory."""

    inode: Inode


class Handles:
    """Numbers for open files and directories; a number is never used twice in the life of a mount."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._files: dict[int, FileHandle] = {}
        self._directories: dict[int, DirectoryHandle] = {}
        self._by_inode: dict[InodeNumber, set[FileHandle | DirectoryHandle]] = {}

    def add_file(self, handle: FileHandle) -> pyfuse3.FileHandleT:
        """Keep `handle` and number it."""
        number = next(self._numbers)
        self._files[number] = handle
        self._by_inode.setdefault(handle.inode.number, set()).add(handle)
        return pyfuse3.FileHandleT(number)

    def add_directory(self, handle: DirectoryHandle) -> pyfuse3.FileHandleT:
        """Keep `handle` and number it."""
        number = next(self._numbers)
        self._directories[number] = handle
        self._by_inode.setdefault(handle.inode.number, set()).add(handle)
        return pyfuse3.FileHandleT(number)

    def file(self, number: int) -> FileHandle:
        """The open file of that number."""
        return self._files[number]

    def directory(self, number: int) -> DirectoryHandle:
        """The open directory of that number."""
        return self._directories[number]

    def remove_file(self, number: int) -> FileHandle:
        """Forget the open file, and hand it back to be closed."""
        handle = self._files.pop(number)
        self._forget(handle)
        return handle

    def remove_directory(self, number: int) -> DirectoryHandle:
        """Forget the open directory, and hand it back to be closed."""
        handle = self._directories.pop(number)
        self._forget(handle)
        return handle

    def is_open(self, number: InodeNumber) -> bool:
        """Whether somebody has the inode open on the mount; the kernel tells of the end of an open when close(2) has returned."""
        return number in self._by_inode

    def may_be_mapped(self, number: InodeNumber) -> bool:
        """Whether a program may change the inode through a mapping: one keeps its open until munmap(2)."""
        handles = self._by_inode.get(number, ())
        return any(isinstance(handle, FileHandle) and handle.reads_and_writes for handle in handles)

    def remaining(self) -> tuple[list[int], list[int]]:
        """The numbers of the files and of the directories that are still open."""
        return list(self._files), list(self._directories)

    def _forget(self, handle: FileHandle | DirectoryHandle) -> None:
        handles = self._by_inode[handle.inode.number]
        handles.discard(handle)
        if not handles:
            del self._by_inode[handle.inode.number]
