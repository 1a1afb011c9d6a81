"""The next long read of a program that reads a file from beginning to end, made while the kernel brings it the last one.

The kernel asks for at most 1 MiB at a time. While it hands an answer on and the program comes back for more, this process
would sleep; instead it reads and verifies what comes next, as long as that is in the page cache. One buffer serves the
mount: it belongs to whoever reads sequentially at the moment.

What was read ahead is thrown away inside any change of the file, so an answer is as fresh as one read on demand.
"""

from collections.abc import Callable
from typing import NamedTuple

from odxfs.buffers import page_aligned
from odxfs.types import Buffer, InodeNumber
from odxfs.volume import INLINE_BYTES, Change, Inode

LONG_BYTES = 256 * 1024
"""Reads that are worth it; a shorter one takes as long as looking after it."""

ReadNow = Callable[[Inode, int, int, memoryview], Buffer | None]


class _Read(NamedTuple):
    file: Inode
    offset: int
    length: int


class ReadAhead:
    """State of one mount; everything is synchronous. `read_now` is Volume.read_nowait."""

    def __init__(self, read_now: ReadNow) -> None:
        self._read_now = read_now
        self._page = page_aligned(INLINE_BYTES)
        self._last: _Read | None = None
        self._wanted: _Read | None = None
        self._found: Buffer | None = None
        """The bytes of `_wanted`, a view of the page; None before `work`."""

    def take(self, file: Inode, offset: int, length: int) -> Buffer | None:
        """The bytes if they are there, until the next call of `work`; the caller has asked for locks already."""
        asked, wanted, found = _Read(file, offset, length), self._wanted, self._found
        self._wanted = self._found = None
        follows = self._last is not None and _follower(self._last) == asked
        self._last = asked
        if follows:
            self._wanted = _follower(asked)
        return found if wanted == asked else None

    def work(self) -> bool:
        """Read what is expected next; to be called when there is nothing else to do. True when that took time."""
        wanted = self._wanted
        if wanted is None or self._found is not None:
            return False
        found = self._read_now(wanted.file, wanted.offset, wanted.length, self._page)
        if found is None or len(found) < wanted.length:  # not in the page cache, or the end of the file
            self._wanted = None
            return False
        self._found = found
        return True

    def forget(self, number: InodeNumber) -> None:
        """The file is closed or changes."""
        if self._last is not None and self._last.file.number == number:
            self._last = self._wanted = self._found = None

    def changed(self, change: Change) -> None:
        """The pool's observer: called inside each change. What does not name a file may concern any."""
        if self._last is not None:
            self.forget(getattr(change, "number", self._last.file.number))


def _follower(read: _Read) -> _Read:
    return _Read(read.file, read.offset + read.length, read.length)
