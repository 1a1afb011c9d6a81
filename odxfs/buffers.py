"""Memory for bytes that are about to come."""

import mmap

import numpy as np


def uninitialised(length: int) -> memoryview:
    """A fresh buffer of `length` bytes whose content is whatever the memory held: for who overwrites all of it.

    `bytearray` clears what it gives, which is 4 to 20 us a mebibyte and costs the processor's cache as much again.
    """
    return np.empty(length, dtype=np.uint8).data


def page_aligned(length: int) -> memoryview:
    """A buffer of `length` zeros that starts with a page of memory, for long answers that the kernel takes page by page.

    Elsewhere each page of the kernel's comes from two of ours, which costs a tenth of a read of 1 MiB through FUSE. It takes
    a system call to make it and another to free it: to be kept.
    """
    return memoryview(mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
