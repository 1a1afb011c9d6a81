"""Operations that are done in parts: what a file holds after each part, as the volume's README promises it."""

from collections.abc import Iterator

from odxfs.types import BLOCK_BYTES, BLOCKS_PER_LEAF
from tests.volume.model.content import Content

_COPIED_BYTES = 1 << 20


def deallocated(content: Content, offset: int, length: int) -> list[Content]:
    """Unaligned edges first, then the whole blocks between them."""
    end = min(offset + length, content.size)
    if end <= offset:
        return [content]
    first, stop = -(-offset // BLOCK_BYTES) * BLOCK_BYTES, end // BLOCK_BYTES * BLOCK_BYTES
    found, now = list[Content](), content
    for low, high in ((offset, min(first, end)), (max(stop, offset), end), (first, stop)):
        now = now.copy()
        now.zero(low, max(0, high - low))
        found.append(now)
    return found


def cloned(
    content: Content, offset: int, held: Content, held_from: int, length: int, shift: int
) -> list[Content]:
    """`length` bytes of `held` written part by part; `shift` is where they were in the source's file, less `offset`."""
    found = list[Content]()
    reached = offset
    for end in _ends(offset, offset + length, shift):
        piece = held.part(held_from + reached - offset, end - reached)
        if shift % BLOCK_BYTES and not any(piece.read(0, end - reached)):  # a hole is made a hole
            found += deallocated(found[-1] if found else content, reached, end - reached)
        reached = end
        now = content.copy()
        now.put(offset, held.part(held_from, end - offset))
        found.append(now)
    return found or [content]


def _ends(offset: int, end: int, shift: int) -> Iterator[int]:
    """How far the file is written after each part."""
    first, stop = -(-offset // BLOCK_BYTES), end // BLOCK_BYTES
    if shift % BLOCK_BYTES or first >= stop:
        body, behind = first * BLOCK_BYTES, stop * BLOCK_BYTES
        ends = {min(body, end), *range(body + _COPIED_BYTES, behind, _COPIED_BYTES), behind, end}
        yield from sorted(at for at in ends if at > offset)
        return
    if first * BLOCK_BYTES > offset:
        yield first * BLOCK_BYTES
    block, shift_blocks = first, shift // BLOCK_BYTES
    while block < stop:
        slot, source_slot = block % BLOCKS_PER_LEAF, (block + shift_blocks) % BLOCKS_PER_LEAF
        if slot == source_slot == 0 and stop - block >= BLOCKS_PER_LEAF:
            block = stop // BLOCKS_PER_LEAF * BLOCKS_PER_LEAF
        else:
            block = min(block + BLOCKS_PER_LEAF - max(slot, source_slot), stop)
        yield block * BLOCK_BYTES
    if end > stop * BLOCK_BYTES:
        yield end
