"""Checksums of many blocks at once tell what those of each block tell."""

import random
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from odxfs.types import BLOCK_BYTES
from odxfs.volume.checksums import (
    combined,
    crc32c,
    crc32c_of_blocks,
    crcs_of,
    damaged_blocks,
    one_call_a_block,
)

CHECK_VALUE = 0xE306_9283
"""The crc32c of the nine digits in every catalogue of crcs: the format of a pool does not follow the library."""

COUNTS = (1, 31, 32, 100, 255, 256, 257, 300, 512, 700)


def test_crc32c_is_the_one_of_the_format() -> None:
    assert crc32c(b"123456789") == CHECK_VALUE
    assert crc32c(memoryview(b"6789"), crc32c(b"12345")) == CHECK_VALUE


def test_our_extension_is_there_where_the_processor_can() -> None:
    assert (crc32c_of_blocks is not one_call_a_block) == ("sse4_2" in Path("/proc/cpuinfo").read_text())


@pytest.mark.parametrize("ways", [crc32c_of_blocks, one_call_a_block])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 7, 256])
def test_both_ways_tell_the_crc32c_of_each_block(
    ways: Callable[[memoryview, int], bytes], count: int
) -> None:
    data = random.Random(count).randbytes(1 + count * BLOCK_BYTES)
    blocks = memoryview(data)[1:]  # not aligned to words
    each = [crc32c(blocks[at : at + BLOCK_BYTES]) for at in range(0, len(blocks), BLOCK_BYTES)]
    assert array("I", ways(blocks, BLOCK_BYTES)).tolist() == each


@pytest.mark.parametrize("ways", [crc32c_of_blocks, one_call_a_block])
@pytest.mark.parametrize(("size", "block_bytes"), [(100, 4096), (4097, 4096), (12, 12), (8, 0), (8, -8)])
def test_both_ways_take_whole_blocks_only(
    size: int, block_bytes: int, ways: Callable[[memoryview, int], bytes]
) -> None:
    with pytest.raises(ValueError, match="whole blocks"):
        ways(memoryview(bytes(size)), block_bytes)


@pytest.mark.parametrize("count", [count for count in COUNTS if count <= 256])
def test_the_crc_of_a_run_follows_from_those_of_its_blocks(count: int) -> None:
    data = random.Random(count).randbytes(count * BLOCK_BYTES)
    assert combined(crcs_of(memoryview(data)).tobytes()) == crc32c(data)


@pytest.mark.parametrize("count", COUNTS)
def test_every_flipped_bit_is_found_and_nothing_else(count: int) -> None:
    choose = random.Random(count)
    data = bytearray(choose.randbytes(count * BLOCK_BYTES))
    crcs = crcs_of(memoryview(data))
    assert damaged_blocks(memoryview(data), crcs) == []
    damaged = sorted({0, count - 1, choose.randrange(count)})
    for block in damaged:
        data[block * BLOCK_BYTES + choose.randrange(BLOCK_BYTES)] ^= 1 << choose.randrange(8)
    assert damaged_blocks(memoryview(data), crcs) == damaged


@pytest.mark.parametrize("count", [40, 256])
def test_blocks_that_changed_places_are_found(count: int) -> None:
    data = bytearray(random.Random(count).randbytes(count * BLOCK_BYTES))
    crcs = crcs_of(memoryview(data))
    first, second = data[:BLOCK_BYTES], data[-BLOCK_BYTES:]
    data[:BLOCK_BYTES], data[-BLOCK_BYTES:] = second, first
    assert damaged_blocks(memoryview(data), crcs) == [0, count - 1]
