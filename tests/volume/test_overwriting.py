"""Single blocks written over others in a file of many pieces, as virtual disks are: who holds the old ones keeps them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from odxfs.errors import StoreFailed
from odxfs.types import BLOCK_BYTES
from odxfs.volume import Inode, Volume, create_pool, open_pool
from odxfs.volume.leaf import MAX_RUNS
from tests.support.failing import FailingFiles
from tests.volume.copying import copy_pool

BLOCKS = 4 * MAX_RUNS
"""Of the disk; every other one is a hole, so that its leaf keeps a place for each slot."""

WRITTEN = range(0, BLOCKS, 2)
OVERWRITTEN = range(0, BLOCKS, 6)


def block(number: int, generation: int) -> bytes:
    return (number * 1000 + generation).to_bytes(8, "little") * (BLOCK_BYTES // 8)


async def make_disk(volume: Volume) -> Inode:
    disk = await volume.create(volume.root, b"disk", 0o644, 0, 0)
    for number in WRITTEN:
        await volume.write(disk, number * BLOCK_BYTES, block(number, 0))
    await volume.pool.commit()
    return disk


async def overwrite(volume: Volume, disk: Inode, generation: int) -> None:
    for number in OVERWRITTEN:
        await volume.write(disk, number * BLOCK_BYTES, block(number, generation))


def content(generation: int) -> bytes:
    return b"".join(
        block(number, generation if number in OVERWRITTEN else 0) if number in WRITTEN else bytes(BLOCK_BYTES)
        for number in range(BLOCKS - 1)
    )


async def read(volume: Volume, file: Inode) -> bytes:
    return bytes(await volume.read(file, 0, BLOCKS * BLOCK_BYTES))


async def assert_sound(volume: Volume) -> None:
    assert await volume.pool.check(read_data=True) == []


async def test_the_latest_is_read_and_nothing_is_left_over(volume: Volume) -> None:
    disk = await make_disk(volume)
    used = volume.pool.space.used_blocks
    for generation in (1, 2, 3):
        await overwrite(volume, disk, generation)
        assert await read(volume, disk) == content(generation)
    assert volume.pool.space.used_blocks == used
    assert disk.allocated_bytes == len(WRITTEN) * BLOCK_BYTES
    await assert_sound(volume)


async def test_a_clone_a_token_and_a_snapshot_keep_what_they_had(volume: Volume) -> None:
    disk = await make_disk(volume)
    copy = await volume.create(volume.root, b"copy", 0o644, 0, 0)
    await volume.clone_range(disk, 0, copy, 0, disk.size)
    await overwrite(volume, disk, 1)
    pin = await volume.capture(disk, 0, disk.size)
    await overwrite(volume, disk, 2)
    await volume.pool.snapshots.create("main", "then")
    await overwrite(volume, disk, 3)
    assert await read(volume, copy) == content(0)
    assert bytes(await volume.pool.read_pin(pin, 0, disk.size)) == content(1)
    then = volume.pool.snapshot_volume("main", "then")
    assert await read(then, await then.lookup(then.root, b"disk")) == content(2)
    assert await read(volume, disk) == content(3)
    await assert_sound(volume)
    volume.pool.release_pin(pin)
    await assert_sound(volume)


async def test_what_was_synced_is_there_after_a_crash(volume: Volume, tmp_path: Path) -> None:
    disk = await make_disk(volume)
    for generation in (1, 2):
        await overwrite(volume, disk, generation)
        await volume.sync(disk)
    single = block(0, 7)
    await volume.write(disk, 0, single)
    await volume.sync(disk)  # so little goes through the log of leaves
    copy_pool(volume.pool.directory, tmp_path / "crashed")
    async with open_pool(tmp_path / "crashed", owner="test") as pool:
        again = pool.volume("main")
        found = await read(again, await again.lookup(again.root, b"disk"))
        assert found == single + content(2)[BLOCK_BYTES:]
        assert await pool.check(read_data=True) == []


async def test_a_disk_that_takes_no_data_leaves_the_old(
    tmp_path: Path, expect_log: Callable[[str], None]
) -> None:
    expect_log("the pool is read-only")
    create_pool(tmp_path / "pool")
    files = FailingFiles()
    async with open_pool(tmp_path / "pool", owner="test", files=files) as pool:
        volume = pool.volume("main")
        disk = await make_disk(volume)
        allocated = pool.statistics().allocated_bytes  # not what is free: the disk is not this test's alone
        files.failing = {"write"}
        with pytest.raises(StoreFailed):
            await volume.write(disk, 0, os.urandom(BLOCK_BYTES))
        assert pool.failure is not None
        assert pool.statistics().allocated_bytes == allocated
        assert await read(volume, disk) == content(0)
