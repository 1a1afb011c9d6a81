"""Writing zeros by giving blocks back: great ranges in slices, so that no call takes longer than its time."""

from collections.abc import Callable

import trio

from odxfs.errors import VolumeError
from odxfs.types import LEAF_BYTES
from odxfs.volume import Inode, RangePermit, Volume, permit_all, whole_or_edge

SLICE_BYTES = 512 * LEAF_BYTES
"""4 GiB, one page of an extent map: a few milliseconds at most, before others get their turn."""


async def write_zeros(
    volume: Volume,
    inode: Inode,
    offset: int,
    length: int,
    is_time_up: Callable[[], bool],
    permit: RangePermit = permit_all,
) -> int:
    """Let a range that ends at or before the end of file read as zeros, from its beginning on; returns how far it came, in bytes.

    A part of it, which ends where a block does, when the time is up or when the store fails behind it. `permit` is asked before
    each step and may raise. Raises VolumeError if nothing was done.
    """
    done = 0
    while done < length:
        at = offset + done
        step = whole_or_edge(at, min(length - done, SLICE_BYTES - at % SLICE_BYTES))
        try:
            permit(at, step)
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
