"""Writing zeros by giving blocks back: great ranges in slices, so that no call takes longer than its time."""

from collections.abc import Callable

import trio

from odxfs.errors import VolumeError
from odxfs.types import LEAF_BYTES
from odxfs.volume import Inode, Volume, whole_or_edge

SLICE_BYTES = 512 * LEAF_BYTES
"""4 GiB, one page of an extent map: a few milliseconds at most, before others get their turn."""


async def write_zeros(
    volume: Volume, inode: Inode, offset: int, length: int, is_time_up: Callable[[], bool]
) -> int:
    """Let a range that ends at or before the end of file read as zeros, from its beginning on; returns how far it came, in bytes.

    A part of it, which ends where a block does, when the time is up or when the store fails behind it. Raises VolumeError if
    nothing was done.
    """
    done = 0
    while done < length:
        at = offset + done
        step = whole_or_edge(at, min(length - done, SLICE_BYTES - at % SLICE_BYTES))
        try:
            await volume.deallocate(inode, at, step)
        except VolumeError:
            if done:
                return done  # the next call meets the error
            raise
        done += step
        if done < length:
            await trio.lowlevel.checkpoint()
            if is_time_up():
                return done
    return done
