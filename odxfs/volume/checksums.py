"""Checksums of many blocks at a time: the crc32c of each of them, or whether all are what they must be.

That a long run of blocks is sound is told by one pass over all its bytes: the crc32c of the whole follows from those of its
blocks, because appending zeros to a message is a linear map of its crc (the way of zlib's crc32_combine). One pass of 1 MiB costs
less than half of 256 passes of 4 KiB; the tables cost 1 MiB of memory and 30 ms, once. What 32 bits cannot see stays as rare.
"""

from array import array
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from awscrt.checksums import crc32c

from odxfs.types import BLOCK_BYTES

__all__ = ["combined", "crc32c", "crcs_of", "damaged_blocks"]

_LONGEST_RUN = 256
"""Blocks that the tables reach: 1 MiB, the usual length of long reads."""

_SHORTEST_RUN = 32
"""With fewer blocks one pass for each of them is quicker."""

_BYTES_OF_CRC = 4

_REMEMBERED_RUNS = 4096
"""What is read again and again, 4 GiB of it, is combined once: 5 MiB of memory, 4 % of a read of 1 MiB."""

Tables = npt.NDArray[np.uint32]
Positions = npt.NDArray[np.int64]


def one_call_a_block(buffer: memoryview, block_bytes: int, /) -> bytes:
    """The crc32c of each block, as native u32s. ValueError as in _checksums.pyi: either stands for the other."""
    if block_bytes <= 0 or block_bytes % 8 or len(buffer) % block_bytes:
        raise ValueError("whole blocks of a multiple of 8 bytes are wanted")
    starts = range(0, len(buffer), block_bytes)
    return array("I", [crc32c(buffer[start : start + block_bytes]) for start in starts]).tobytes()


try:
    from odxfs.volume._checksums import crc32c_of_blocks
except ImportError:  # it was not built, or this processor has no instruction for it
    crc32c_of_blocks = one_call_a_block


def crcs_of(*buffers: memoryview) -> "array[int]":
    """The crc32c of each block in `buffers`, each of which holds whole blocks.

    50 us a MiB by our extension (native/checksums.c), 120 by a call for each block: an eighth of a write of 1 MiB.
    """
    crcs = array("I")
    for buffer in buffers:
        crcs.frombytes(crc32c_of_blocks(buffer, BLOCK_BYTES))
    return crcs


def damaged_blocks(buffer: memoryview, crcs: "array[int]") -> list[int]:
    """Which of the blocks in `buffer` do not match their checksums, by their position among them."""
    damaged: list[int] = []
    for first in range(0, len(crcs), _LONGEST_RUN):
        expected = crcs[first : first + _LONGEST_RUN]
        run = buffer[first * BLOCK_BYTES : (first + len(expected)) * BLOCK_BYTES]
        if len(expected) >= _SHORTEST_RUN and crc32c(run) == combined(expected.tobytes()):
            continue
        found = crcs_of(run)
        if found != expected:
            damaged += [first + at for at, crc in enumerate(found) if crc != expected[at]]
    return damaged


@lru_cache(maxsize=_REMEMBERED_RUNS)
def combined(crcs: bytes) -> int:
    """The crc32c of at most _LONGEST_RUN blocks in a row, from the crc32c of each (native u32s). 15 to 30 us the first time."""
    tables, positions = _tables()
    count = len(crcs) // _BYTES_OF_CRC
    octets = np.frombuffer(crcs, dtype=np.uint8).reshape(count, _BYTES_OF_CRC)
    return int(np.bitwise_xor.reduce(tables[(positions[-count:] + octets).ravel()]))


@cache
def _tables() -> tuple[Tables, Positions]:
    """For the block that so many others follow, and each value of each byte of its crc: what that adds to the whole's crc."""
    tables = np.zeros((_LONGEST_RUN, _BYTES_OF_CRC, 256), dtype=np.uint32)
    bits = [1 << bit for bit in range(32)]
    values = np.arange(256, dtype=np.uint32)
    for block in reversed(range(_LONGEST_RUN)):
        for bit, image in enumerate(bits):
            tables[block, bit // 8] ^= ((values >> (bit % 8)) & 1) * np.uint32(image)
        bits = [_followed_by_zeros(image) for image in bits]
    positions = np.arange(_LONGEST_RUN * _BYTES_OF_CRC).reshape(_LONGEST_RUN, _BYTES_OF_CRC) * 256
    return tables.ravel(), positions


_ZERO_BLOCK = bytes(BLOCK_BYTES)
_CRC_OF_ZERO_BLOCK = crc32c(_ZERO_BLOCK)


def _followed_by_zeros(crc: int) -> int:
    """The linear part of what becomes of a crc when a block of zeros follows."""
    followed: int = crc32c(_ZERO_BLOCK, crc)
    return followed ^ int(_CRC_OF_ZERO_BLOCK)
