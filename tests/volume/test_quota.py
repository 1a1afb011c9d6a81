"""Quotas: growth past them is refused whole, by whatever road it comes, and everything else goes on."""

import os
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio

from odxfs.errors import InvalidArgument, NotFound, QuotaExceeded
from odxfs.types import BLOCK_BYTES, LEAF_BYTES, Buffer
from odxfs.volume import Inode, Volume, create_pool, open_pool
from odxfs.volume.blocks.files import Files

MIB = 1 << 20
QUOTA = 12 * MIB


async def make(volume: Volume, name: bytes, size: int = 0) -> Inode:
    inode = await volume.create(volume.root, name, 0o644, 0, 0)
    if size:
        await volume.write(inode, 0, os.urandom(size))
    return inode


@pytest.fixture
def limited(tmp_path: Path) -> AbstractAsyncContextManager[Volume]:
    """A volume with a quota, in a pool that is open during the test."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Volume]:
        create_pool(tmp_path / "limited-pool")
        async with open_pool(tmp_path / "limited-pool", owner="test") as pool:
            await pool.volumes.set_quota("main", QUOTA)
            yield pool.volume("main")

    return opened()


def charged(volume: Volume) -> int:
    return volume.pool.windows.allocated_blocks[volume.id] * BLOCK_BYTES


@asynccontextmanager
async def unchanged(volume: Volume, inode: Inode) -> AsyncIterator[None]:
    """What is refused inside leaves the file and the volume's account as they are."""
    before = (inode.size, inode.allocated_bytes, inode.mtime_ns, charged(volume))
    content = bytes(await volume.read(inode, 0, inode.size))
    with pytest.raises(QuotaExceeded):
        yield
    assert (inode.size, inode.allocated_bytes, inode.mtime_ns, charged(volume)) == before
    assert bytes(await volume.read(inode, 0, inode.size)) == content
    assert await volume.pool.check(read_data=True) == []


@pytest.mark.parametrize(
    ("offset", "length"), [(QUOTA - 4096, 8192), (QUOTA - 5 * MIB, 6 * MIB), (QUOTA - 1, 2)]
)
async def test_a_write_past_the_quota_changes_nothing(limited: Volume, offset: int, length: int) -> None:
    inode = await make(limited, b"file", QUOTA - 4096)
    async with unchanged(limited, inode):
        await limited.write(inode, offset, b"x" * length)
    await limited.write(inode, QUOTA - 4096, b"y" * 4096)
    assert not limited.write_nowait(inode, QUOTA, b"x" * 4096)
    assert charged(limited) == QUOTA


async def test_what_is_allocated_can_be_written_and_deleted_at_the_quota(limited: Volume) -> None:
    inode = await make(limited, b"file", QUOTA)
    await limited.write(inode, 0, b"a" * 10_000)
    await limited.write(inode, QUOTA - 3 * MIB, b"b" * (3 * MIB))
    await limited.truncate(inode, QUOTA - 100)
    await limited.deallocate(inode, 50, 5000)
    await make(limited, b"empty")
    await limited.truncate(inode, 2 * MIB)
    await limited.write(inode, 2 * MIB, b"c" * (QUOTA - 2 * MIB))
    await limited.unlink(limited.root, b"file")
    await make(limited, b"again", QUOTA)
    assert charged(limited) == QUOTA
    assert await limited.pool.check(read_data=True) == []


async def test_a_quota_below_what_is_used_refuses_growth_only(limited: Volume) -> None:
    inode = await make(limited, b"file", QUOTA)
    await limited.pool.volumes.set_quota("main", MIB)
    async with unchanged(limited, inode):
        await limited.write(inode, QUOTA, b"x")
    await limited.write(inode, 0, b"z" * (2 * MIB))
    numbers = limited.statfs()
    assert (numbers.blocks * BLOCK_BYTES, numbers.free_blocks) == (MIB, 0)
    await limited.truncate(inode, MIB // 2)
    await limited.write(inode, MIB // 2, b"x" * (MIB // 2))
    async with unchanged(limited, inode):
        await limited.write(inode, MIB, b"x")


@pytest.mark.parametrize("shift", [0, BLOCK_BYTES, 512])
async def test_sharing_does_not_get_around_a_quota(limited: Volume, shift: int) -> None:
    source = await make(limited, b"source", 10 * MIB)
    copy = await make(limited, b"copy", 4096)
    async with unchanged(limited, copy):
        await limited.clone_range(source, 0, copy, shift, 10 * MIB)
    pin = await limited.capture(source, 0, LEAF_BYTES)
    async with unchanged(limited, copy):
        await limited.write_pin(copy, shift, pin, 0, LEAF_BYTES)
    await limited.clone_range(source, 0, copy, shift, MIB)
    await limited.write_pin(source, 0, pin, 0, LEAF_BYTES)  # what is there already does not grow
    assert charged(limited) <= QUOTA
    limited.pool.release_pin(pin)
    assert await limited.pool.check(read_data=True) == []


async def test_two_large_writes_at_once_do_not_pass_the_quota_together(
    limited: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [await make(limited, b"a"), await make(limited, b"b")]
    write, both = Files.write, threading.Barrier(2)

    def meet(self: Files, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        if sum(map(len, buffers)) >= 4 * MIB:
            both.wait(timeout=60)  # both have been let through by then
        write(self, descriptor, buffers, offset)

    refused = []

    async def try_to_write(inode: Inode) -> None:
        try:
            await limited.write(inode, 0, b"x" * (8 * MIB))
        except QuotaExceeded:
            refused.append(inode)

    monkeypatch.setattr(Files, "write", meet)
    async with trio.open_nursery() as nursery:
        for inode in files:
            nursery.start_soon(try_to_write, inode)
    monkeypatch.undo()
    assert len(refused) == 1
    assert refused[0].allocated_bytes == 0
    assert charged(limited) == 8 * MIB
    assert await limited.pool.check() == []


async def test_what_is_being_deleted_makes_room_before_a_write_is_refused(limited: Volume) -> None:
    large = 257 * MIB  # given back by the reaper, behind the caller's back
    await limited.pool.volumes.set_quota("main", large)
    pool = limited.pool
    inode = await make(limited, b"source", MIB)
    shared = await make(limited, b"large")
    for offset in range(0, large - MIB, MIB):
        await limited.clone_range(inode, 0, shared, offset, MIB)
    await limited.unlink(limited.root, b"large")
    await limited.write(inode, 0, b"x" * (2 * MIB))
    assert charged(limited) == 2 * MIB
    assert await pool.check() == []


@pytest.mark.parametrize("shift", [0, 512])
async def test_what_is_being_deleted_makes_room_before_a_copy_is_refused(limited: Volume, shift: int) -> None:
    await limited.pool.volumes.set_quota("main", 258 * MIB)
    inode, copy = await make(limited, b"source", MIB), await make(limited, b"copy")
    shared = await make(limited, b"large")
    for number in range(257):  # given back by the reaper, in several turns: it is on 32 pages
        await limited.clone_range(inode, 0, shared, (number % 32 << 32) + number * LEAF_BYTES, MIB)
    await limited.unlink(limited.root, b"large")
    await limited.clone_range(inode, 0, copy, shift, MIB)
    assert bytes(await limited.read(copy, shift, MIB)) == bytes(await limited.read(inode, 0, MIB))
    assert await limited.pool.check() == []


async def test_a_quota_outlives_its_owner_and_can_be_taken_away(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        await pool.volumes.set_quota("main", MIB + 1)  # rounded up to a block
        with pytest.raises(NotFound):
            await pool.volumes.set_quota("other", MIB)
        with pytest.raises(InvalidArgument):
            await pool.volumes.set_quota("main", -1)
    async with open_pool(tmp_path / "pool", owner="second") as pool:
        volume = pool.volume("main")
        inode = await make(volume, b"file", MIB + BLOCK_BYTES)
        async with unchanged(volume, inode):
            await volume.write(inode, inode.size, b"x")
        numbers = volume.statfs()
        assert numbers.blocks == MIB // BLOCK_BYTES + 1
        assert numbers.pool_free_blocks > numbers.free_blocks == 0
        await pool.volumes.set_quota("main", 0)
        await volume.write(inode, inode.size, b"x")
        numbers = volume.statfs()
        assert numbers.free_blocks == numbers.pool_free_blocks


async def test_each_volume_has_its_own(limited: Volume) -> None:
    pool = limited.pool
    await pool.volumes.create("other")
    other = pool.volume("other")
    source = await make(other, b"file", QUOTA + MIB)
    copy = await make(limited, b"copy")
    async with unchanged(limited, copy):
        await limited.clone_range(source, 0, copy, 0, source.size)
    await limited.clone_range(source, 0, copy, 0, QUOTA)
    numbers = other.statfs()
    assert numbers.free_blocks == numbers.pool_free_blocks
