"""What changes much of a file lets others have their turn, and bears what they do then."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import MOST_OF_ONE_MOMENT, Inode, Volume, create_pool, open_pool

FILE = 0o100644
MIB = 1024 * 1024
GIB = 1024 * MIB
PAGE_BYTES = 4 * GIB
"""What a page of an extent map stands for."""

PAGES = 4


class Turns:
    """Counts how often another task gets its turn: as often as the first one gives it away, or once less."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            self.count += 1


@asynccontextmanager
async def counted() -> AsyncIterator[Turns]:
    turns = Turns()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        while not turns.count:
            await trio.lowlevel.checkpoint()
        turns.count = 0
        yield turns
        nursery.cancel_scope.cancel()


@dataclass
class Great:
    """A file of PAGES pages with data everywhere, in which every window has the same leaf, and an empty one of that size."""

    volume: Volume
    full: Inode
    empty: Inode


@asynccontextmanager
async def great_files(directory: Path, size: int = PAGES * PAGE_BYTES) -> AsyncIterator[Great]:
    create_pool(directory / "pool")
    async with open_pool(directory / "pool", owner="test") as pool:
        volume = pool.volume("main")
        full, empty = [await volume.create(volume.root, name, FILE, 0, 0) for name in (b"full", b"empty")]
        await volume.write(full, 0, b"x" * LEAF_BYTES)
        while full.size < size:
            await volume.clone_range(full, 0, full, full.size, min(full.size, size - full.size))
        await volume.truncate(empty, size)
        yield Great(volume, full, empty)
        assert await pool.check() == []


@pytest.fixture
def great(tmp_path: Path) -> object:
    return great_files(tmp_path)


async def test_a_great_clone_gives_turns(great: Great) -> None:
    volume = great.volume
    pin = await volume.capture(great.full, 0, great.full.size)
    async with counted() as turns:
        await volume.write_pin(great.empty, 0, pin, 0, pin.length)
        assert turns.count >= PAGES - 2
    volume.pool.release_pin(pin)
    assert great.empty.allocated_bytes == great.full.size


async def test_blocks_that_are_shared_window_by_window_give_turns(great: Great) -> None:
    async with counted() as turns:
        await great.volume.clone_range(great.full, 0, great.empty, BLOCK_BYTES, 8 * LEAF_BYTES)
        assert turns.count >= 7


async def test_a_copy_that_moves_bytes_gives_turns(great: Great) -> None:
    volume = great.volume
    pin = await volume.capture(great.full, 0, 4 * MIB)
    async with counted() as turns:
        await volume.write_pin(great.empty, 512, pin, 0, 4 * MIB, may_grow=False)
        assert turns.count >= 4
    volume.pool.release_pin(pin)


async def test_zeroing_gives_turns(great: Great) -> None:
    async with counted() as turns:
        await great.volume.deallocate(great.full, 0, great.full.size)
        assert turns.count >= PAGES - 2
    assert (great.full.allocated_bytes, great.full.size) == (0, PAGES * PAGE_BYTES)


@pytest.mark.parametrize("size", [0, 5 * BLOCK_BYTES, 4097, PAGE_BYTES + 5])
async def test_cutting_off_gives_turns(great: Great, size: int) -> None:
    async with counted() as turns:
        await great.volume.truncate(great.full, size)
        assert turns.count >= (PAGES * PAGE_BYTES - size - 1) // PAGE_BYTES - 1
    assert great.full.size == size
    assert await great.volume.read(great.full, max(0, size - 3), 10) == b"x" * min(3, size)
    await great.volume.truncate(great.full, size + BLOCK_BYTES)
    assert await great.volume.read(great.full, size, BLOCK_BYTES) == bytes(BLOCK_BYTES)


async def test_holes_take_no_turns(great: Great) -> None:
    volume = great.volume
    async with counted() as turns:
        await volume.truncate(great.empty, 1 << 43)
        await volume.deallocate(great.empty, 0, great.empty.size)
        await volume.truncate(great.empty, 0)
        assert turns.count == 0


@pytest.mark.parametrize("way", ["clone", "zero", "truncate"])
@pytest.mark.parametrize("seed", range(3))
async def test_what_others_do_in_their_turns_is_borne(great: Great, way: str, seed: int) -> None:
    """They write, zero and cut the file that is being changed; the pool stays sound."""
    volume, target, choose = great.volume, great.full, random.Random(seed)

    async def others() -> None:
        for _ in range(40):
            at = choose.randrange(PAGES * PAGE_BYTES)
            match choose.randrange(4):
                case 0 | 1:
                    await volume.write(target, at, b"n" * 5000)
                case 2:
                    await volume.deallocate(target, at, 3 * LEAF_BYTES)
                case _:
                    await volume.truncate(target, at)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        match way:
            case "clone":
                await volume.clone_range(great.empty, 0, target, 0, great.empty.size)
            case "zero":
                await volume.deallocate(target, 0, target.size)
            case _:
                await volume.truncate(target, 0)


async def test_a_copy_of_more_than_one_moment_is_whole(tmp_path: Path) -> None:
    size = MOST_OF_ONE_MOMENT + 5 * LEAF_BYTES
    async with great_files(tmp_path, size) as great:
        volume = great.volume
        end = size - BLOCK_BYTES - 3
        await volume.write(great.full, end, b"end")
        await volume.clone_range(great.full, 0, great.empty, 0, size)
        assert (great.empty.allocated_bytes, great.empty.size) == (size, size)
        assert await volume.read(great.empty, end, 3) == b"end"
