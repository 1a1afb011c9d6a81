"""Small writes that go on where others ended lie together, and what is kept back for them is nobody's loss."""

import os
import random

import pytest

from odxfs.errors import NoSpace
from odxfs.types import BLOCK_BYTES, BLOCKS_PER_LEAF
from odxfs.volume import Inode, Volume
from odxfs.volume.allocation.space import Space
from odxfs.volume.blocks.files import Files
from tests.volume.test_space import blocks, space  # noqa: F401 - the fixture

MIB = 1 << 20


def pieces_of(volume: Volume, inode: Inode) -> int:
    """Contiguous runs in the file's first window."""
    assert inode.extents is not None
    leaf = volume.pool.windows.leaf(inode.extents.get(0))
    assert leaf is not None
    return len(leaf.pieces(0, BLOCKS_PER_LEAF))


async def test_files_that_grow_in_turns_are_each_in_long_runs(volume: Volume) -> None:
    files = [await volume.create(volume.root, b"%d" % number, 0o644, 0, 0) for number in range(8)]
    expected = [bytearray() for _ in files]
    for _ in range(512):
        for inode, content in zip(files, expected, strict=True):
            data = os.urandom(BLOCK_BYTES)
            await volume.write(inode, len(content), data)
            content.extend(data)
    for inode, content in zip(files, expected, strict=True):
        assert bytes(await volume.read(inode, 0, inode.size)) == content
        assert pieces_of(volume, inode) < 12
    assert await volume.pool.check(read_data=True) == []


async def test_a_disk_that_is_written_at_several_places_in_turns_stays_in_long_runs(volume: Volume) -> None:
    inode = await volume.create(volume.root, b"disk", 0o644, 0, 0)
    await volume.write(inode, 0, os.urandom(8 * MIB))
    starts = [0, 400, 900, 1500]
    for step in range(300):
        for start in starts:
            await volume.write(inode, (start + step) * BLOCK_BYTES, os.urandom(BLOCK_BYTES))
    assert pieces_of(volume, inode) < 40
    assert await volume.pool.check(read_data=True) == []


async def test_what_is_kept_back_counts_as_free_and_is_there_when_the_disk_is_full(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = volume.pool
    monkeypatch.setattr(Files, "room", lambda *_: (1 << 40, 1 << 39))  # others use the disk, too
    inode = await volume.create(volume.root, b"file", 0o644, 0, 0)
    for block in range(40):
        await volume.write(inode, block * BLOCK_BYTES, b"x" * BLOCK_BYTES)
    kept = pool.space.streams.blocks
    assert kept > 0
    free = pool.statistics().free_bytes
    await pool.commit()
    pool.space.streams.dissolve()
    assert pool.space.streams.blocks == 0
    assert pool.statistics().free_bytes >= free
    await volume.write(inode, 40 * BLOCK_BYTES, b"x" * BLOCK_BYTES)
    assert await pool.check() == []
    pool.space.press()
    assert pool.space.streams.blocks == 0
    with pytest.raises(NoSpace):
        pool.space.streams.allocate(inode.number, 41, 2 * kept)
    assert await pool.check() == []


def test_streams_hand_out_each_block_once_and_keep_count(space: Space) -> None:  # noqa: F811
    choose = random.Random(3)
    streams, taken = space.streams, set[int]()
    ends = [(inode, choose.randrange(1 << 20)) for inode in range(40)]
    for turn in range(6000):
        count = choose.choice([1, 1, 1, 2, 7, 40])
        at = choose.randrange(len(ends))
        inode, block = ends[at] if choose.random() < 0.9 else (at, choose.randrange(1 << 20))
        got = blocks(streams.allocate(inode, block, count))
        assert len(got) == count
        assert taken.isdisjoint(got)
        taken.update(got)
        ends[at] = (inode, block + count)
        if turn % 1500 == 1499:
            streams.dissolve()
            assert streams.blocks == 0
    busy = sum(int.from_bytes(group.busy, "little").bit_count() for group in space.groups)
    headers = -(-len(space.groups) // 16)
    assert busy == len(taken) + space.checked_out_blocks() + headers


async def test_a_stream_of_a_deleted_file_keeps_nothing_for_long(volume: Volume) -> None:
    pool = volume.pool
    inode = await volume.create(volume.root, b"file", 0o644, 0, 0)
    for block in range(40):
        await volume.write(inode, block * BLOCK_BYTES, b"x" * BLOCK_BYTES)
    await volume.unlink(volume.root, b"file")
    await pool.commit()
    await pool.reclaimer.turn(idle=True)
    await pool.reclaimer.turn(idle=True)
    assert pool.space.streams.blocks == 0
    assert list((pool.directory / "segments").iterdir()) == []
