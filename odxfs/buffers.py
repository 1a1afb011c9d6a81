"""Memory for bytes that are about to come.

Large buffers lie outside the C library's heap and are used again. On the heap they would leave holes between small objects that
live longer, and the same load would touch more of them each hour; fresh ones cost 100 us a mebibyte for their pages.
"""

import mmap
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class _Shelf:
    """Buffers of `size` bytes, of which `most` are kept. For any thread: each call of the deque is atomic."""

    size: int
    most: int
    kept: deque[mmap.mmap] = field(default_factory=deque)

    def take(self, length: int) -> memoryview:
        """A view of a buffer that nobody else has a view of; the buffer is free again when the last one is gone.

        The one that was used last is looked at first, for it is still in the processor's cache.
        """
        in_use: list[mmap.mmap] = []
        buffer = self._free_one(in_use) or _pages(self.size)
        view = memoryview(buffer)[:length]
        self.kept.extendleft(reversed(in_use))
        self.kept.appendleft(buffer)
        while len(self.kept) > self.most:
            self.kept.pop()  # what its user has alone from now on, so that he keeps no place from anybody
        return view

    def _free_one(self, in_use: list[mmap.mmap]) -> mmap.mmap | None:
        """Taken out of those that are kept, as are those `in_use` that were looked at before."""
        with suppress(IndexError):
            while True:
                buffer = self.kept.popleft()
                if sys.getrefcount(buffer) == _OWN_REFERENCES:
                    return buffer
                in_use.append(buffer)
        return None

    def give_back(self) -> None:
        """Let the system have the pages of what nobody has a view of."""
        for _ in range(len(self.kept)):
            try:
                buffer = self.kept.popleft()
            except IndexError:
                break
            if sys.getrefcount(buffer) == _OWN_REFERENCES:
                buffer.madvise(mmap.MADV_DONTNEED)
            self.kept.append(buffer)


def _pages(length: int) -> mmap.mmap:
    return mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _references_of_a_free_one() -> int:
    buffer = _pages(mmap.PAGESIZE)
    return sys.getrefcount(buffer)


_OWN_REFERENCES = _references_of_a_free_one()
"""What sys.getrefcount says of a variable's buffer that nobody has a view of; it depends on the interpreter's version."""

_KIBIBYTE = 1024
_SMALLEST = 128 * _KIBIBYTE
"""Shorter buffers are the heap's."""

_SHELVES = (_Shelf(256 * _KIBIBYTE, 32), _Shelf(1280 * _KIBIBYTE, 32), _Shelf(8448 * _KIBIBYTE, 4))
"""For receiving many small messages; for reads and writes of 1 MiB and what surrounds them; for the longest of 8 MiB."""


def uninitialised(length: int) -> memoryview:
    """A buffer of `length` bytes whose content is whatever the memory held: for who overwrites all of it.

    `bytearray` clears what it gives, which is 4 to 20 us a mebibyte and costs the processor's cache as much again.
    """
    if length >= _SMALLEST:
        for shelf in _SHELVES:
            if length <= shelf.size:
                return shelf.take(length)
    return np.empty(length, dtype=np.uint8).data


def page_aligned(length: int) -> memoryview:
    """A buffer of `length` zeros that starts with a page of memory, for long answers that the kernel takes page by page.

    Elsewhere each page of the kernel's comes from two of ours, which costs a tenth of a read of 1 MiB through FUSE. It takes
    a system call to make it and another to free it: to be kept.
    """
    return memoryview(_pages(length))


def give_back_large() -> None:
    """Let the system have the pages of the large buffers that are kept for use and are not in use."""
    for shelf in _SHELVES:
        shelf.give_back()
