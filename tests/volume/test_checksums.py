"""Checksums of many blocks at once tell what those of each block tell."""

import random
from array import array

import pytest

from odxfs.types import BLOCK_BYTES
from odxfs.volume.checksums import combined, crc32c, crcs_of, damaged_blocks

CHECK_VALUE = 0xE306_9283
"""The crc32c of the nine digits in every catalogue of crcs: the format of a pool does not follow the library."""

COUNTS = (1, 31, 32, 100, 255, 256, 257, 300, 512, 700)


def test_crc32c_is_the_one_of_the_format() -> None:
    assert crc32c(b"123456789") == CHECK_VALUE
    assert crc32c(memoryview(b"6789"), crc32c(b"12345")) == CHECK_VALUE


@pytest.mark.parametrize("count", [count for count in COUNTS if count <= 256])
def test_the_crc_of_a_run_follows_from_those_of_its_blocks(count: int) -> None:
    data = random.Random(count).randbytes(count * BLOCK_BYTES)
    assert combined(array("I", crcs_of(memoryview(data))).tobytes()) == crc32c(data)


@pytest.mark.parametrize("count", COUNTS)
def test_every_flipped_bit_is_found_and_nothing_else(count: int) -> None:
    choose = random.Random(count)
    data = bytearray(choose.randbytes(count * BLOCK_BYTES))
    crcs = array("I", crcs_of(memoryview(data)))
    assert damaged_blocks(memoryview(data), crcs) == []
    damaged = sorted({0, count - 1, choose.randrange(count)})
    for block in damaged:
        data[block * BLOCK_BYTES + choose.randrange(BLOCK_BYTES)] ^= 1 << choose.randrange(8)
    assert damaged_blocks(memoryview(data), crcs) == damaged


@pytest.mark.parametrize("count", [40, 256])
def test_blocks_that_changed_places_are_found(count: int) -> None:
    data = bytearray(random.Random(count).randbytes(count * BLOCK_BYTES))
    crcs = array("I", crcs_of(memoryview(data)))
    first, second = data[:BLOCK_BYTES], data[-BLOCK_BYTES:]
    data[:BLOCK_BYTES], data[-BLOCK_BYTES:] = second, first
    assert damaged_blocks(memoryview(data), crcs) == [0, count - 1]
