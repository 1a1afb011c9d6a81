"""A long read of a file in many pieces is verified at once, and a bad block in it is still told by its own place."""

import os

import pytest

from odxfs.types import BLOCK_BYTES
from odxfs.volume.checksums import crcs_of
from odxfs.volume.reads import BadBlock, Piece, verify

LAYOUT = ((0, 3, 700), (3, 1, 20), (4, 40, 300), (60, 2, 5), (62, 1, 9000))
"""(first block, blocks, place); blocks 44 to 59 are a hole."""

BLOCKS = 64


def laid_out() -> tuple[memoryview, list[Piece]]:
    view = memoryview(bytearray(BLOCKS * BLOCK_BYTES))
    pieces = []
    for first, count, place in LAYOUT:
        part = view[first * BLOCK_BYTES : (first + count) * BLOCK_BYTES]
        part[:] = os.urandom(len(part))
        pieces.append(Piece(first * BLOCK_BYTES, count, place, crcs_of(part)))
    return view, pieces


def test_what_is_sound_passes() -> None:
    verify(*laid_out())
    verify(memoryview(b""), [])


@pytest.mark.parametrize(
    ("block", "place"),
    [(0, 700), (2, 702), (3, 20), (4, 300), (17, 313), (43, 339), (60, 5), (61, 6), (62, 9000)],
)
def test_a_bad_block_is_named_wherever_it_is(block: int, place: int) -> None:
    view, pieces = laid_out()
    view[block * BLOCK_BYTES + 99] ^= 1
    with pytest.raises(BadBlock) as caught:
        verify(view, pieces)
    assert (caught.value.place, caught.value.position) == (place, block * BLOCK_BYTES)
