"""A new segment is made before it is needed, by a thread that may wait for the disk; what came of it is no one's at first."""

import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from odxfs.errors import NoSpace, SegmentBeingMade, StoreFailed
from odxfs.types import BLOCK_BYTES, Buffer
from odxfs.volume import Inode, Pool, Volume, check_directory, create_pool, open_pool
from odxfs.volume.allocation.space import LARGE_BLOCKS
from odxfs.volume.blocks.files import Files
from odxfs.volume.leaf import Run
from tests.support.waiting import until

SEGMENT = "00000001"


class WatchedFiles(Files):
    """Notes which threads make segments; making one fails as `failure` says and waits for `answers`; the disk may be full."""

    def __init__(self) -> None:
        super().__init__()
        self.makers: list[int] = []
        self.failure: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.is_full = False

    def open(self, path: Path, *, create: bool = False) -> int:
        if create:
            self.makers.append(threading.get_ident())
            assert self.answers.wait(60), "the test never let the disk answer"
            if self.failure is not None:
                raise self.failure
        return super().open(path, create=create)

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        if self.is_full:
            raise NoSpace("the disk is full")
        super().write(descriptor, buffers, offset)


def take_until(pool: Pool, condition: Callable[[], bool]) -> list[Run]:
    """Take blocks that nobody comes to name."""
    taken: list[Run] = []
    while not condition():
        taken += pool.space.allocate(LARGE_BLOCKS)
    return taken


async def make_next(pool: Pool) -> list[Run]:
    """Take so much room that the next segment is made."""
    taken = take_until(pool, lambda: pool.segments.count > 0 and pool.space.has_little_room)
    pool.next_segment.want()
    await until(lambda: pool.segments.has_next)
    return taken


async def test_the_next_one_is_there_when_the_last_one_is_full(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    files = WatchedFiles()
    async with open_pool(tmp_path / "pool", owner="test", files=files) as pool:
        taken = pool.space.allocate(LARGE_BLOCKS)
        made = len(files.makers)
        taken += await make_next(pool)
        assert pool.segments.count == 1
        taken += take_until(pool, lambda: pool.segments.count == 2)
        assert len(files.makers) == made + 1
        assert threading.get_ident() not in files.makers[made:]
        pool.space.give_back(taken)
        volume = pool.volume("main")
        file = await volume.create(volume.root, b"file", 0o644, 0, 0)
        await volume.write(file, 0, b"x" * BLOCK_BYTES)
    assert await check_directory(tmp_path / "pool", read_data=True) == []


async def test_who_waits_for_it_together_is_served_together(tmp_path: Path) -> None:
    """Large writes, which wait for a thread, and as many as need the segment at once."""
    create_pool(tmp_path / "pool")
    files, data = WatchedFiles(), b"x" * (4 << 20)
    async with open_pool(tmp_path / "pool", owner="test", files=files) as pool:
        volume = pool.volume("main")
        disks = [await volume.create(volume.root, b"%d" % number, 0o644, 0, 0) for number in range(6)]
        taken = take_until(pool, lambda: pool.segments.count > 0 and pool.space.has_little_room)
        made = len(files.makers)
        files.answers.clear()
        pool.next_segment.want()
        await until(lambda: len(files.makers) > made)
        with suppress(SegmentBeingMade):
            while True:
                taken += pool.space.allocate(LARGE_BLOCKS)
        async with trio.open_nursery() as nursery:
            for disk in disks:
                nursery.start_soon(volume.write, disk, 0, data)
            await trio.testing.wait_all_tasks_blocked()
            files.answers.set()
        assert not pool.space.is_pressed
        assert pool.segments.count == 2
        pool.space.give_back(taken)
        for disk in disks:
            assert bytes(await volume.read(disk, 0, len(data))) == data


async def write_a_block(volume: Volume, disk: Inode) -> None:
    await volume.write(disk, 0, b"y" * BLOCK_BYTES)


async def write_much(volume: Volume, disk: Inode) -> None:
    await volume.write(disk, 0, b"y" * (4 << 20))


async def cut_in_a_block(volume: Volume, disk: Inode) -> None:
    await volume.truncate(disk, 100)


async def zero_in_a_block(volume: Volume, disk: Inode) -> None:
    await volume.deallocate(disk, 100, 100)


@pytest.mark.parametrize("change", [write_a_block, write_much, cut_in_a_block, zero_in_a_block])
async def test_a_full_disk_is_told_though_a_segment_is_there(
    tmp_path: Path,
    change: Callable[[Volume, Inode], Awaitable[None]],
    expect_log: Callable[[str], None],
) -> None:
    expect_log("the disk is full")
    create_pool(tmp_path / "pool")
    files = WatchedFiles()
    async with open_pool(tmp_path / "pool", owner="test", files=files) as pool:
        volume = pool.volume("main")
        disk = await volume.create(volume.root, b"disk", 0o644, 0, 0)
        await volume.write(disk, 0, b"x" * (4 * BLOCK_BYTES))
        taken = await make_next(pool)
        files.is_full = True
        with pytest.raises(NoSpace):
            await change(volume, disk)
        files.is_full = False
        pool.space.relax()
        pool.space.give_back(taken)
        assert bytes(await volume.read(disk, 0, 4 * BLOCK_BYTES)) == b"x" * (4 * BLOCK_BYTES)


async def test_no_segment_is_retired_while_one_is_being_made(tmp_path: Path) -> None:
    """The thread would make the file of the retired one, which stands until a commit has forgotten it."""
    create_pool(tmp_path / "pool")
    files = WatchedFiles()
    async with open_pool(tmp_path / "pool", owner="test", files=files) as pool:
        taken = take_until(pool, lambda: pool.segments.count > 0 and pool.space.has_little_room)
        made = len(files.makers)
        files.answers.clear()
        pool.next_segment.want()
        await until(lambda: len(files.makers) > made)
        pool.space.give_back(taken)
        assert not pool.space.retire_last_segment()
        files.answers.set()
        await until(lambda: pool.segments.has_next)
        assert pool.space.retire_last_segment()


async def test_one_that_nothing_came_to_use_goes_with_those_before_it(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    directory = tmp_path / "pool" / "segments"
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        pool.space.give_back(await make_next(pool))
        assert (directory / SEGMENT).exists()
        await pool.commit()
        assert pool.space.retire_last_segment()
        volume = pool.volume("main")
        await volume.create(volume.root, b"file", 0o644, 0, 0)
        await pool.commit()
        assert not (directory / SEGMENT).exists()
        assert pool.segments.count == 0
        file = await volume.lookup(volume.root, b"file")
        await volume.write(file, 0, b"y" * BLOCK_BYTES * LARGE_BLOCKS)
    assert await check_directory(tmp_path / "pool", read_data=True) == []


async def test_the_next_owner_removes_one_that_was_not_used(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        file = await volume.create(volume.root, b"file", 0o644, 0, 0)
        await volume.write(file, 0, b"x" * BLOCK_BYTES)
        pool.space.give_back(await make_next(pool))
    assert await check_directory(tmp_path / "pool", read_data=True) == []
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        assert pool.segments.count == 1
        assert not (tmp_path / "pool" / "segments" / SEGMENT).exists()


@pytest.mark.parametrize("failure", [NoSpace("full"), StoreFailed("failed")])
async def test_a_disk_that_has_no_room_or_fails_is_met_as_ever(
    tmp_path: Path, failure: Exception, expect_log: Callable[[str], None]
) -> None:
    create_pool(tmp_path / "pool")
    files = WatchedFiles()
    async with open_pool(tmp_path / "pool", owner="test", files=files) as pool:
        taken = take_until(pool, lambda: pool.segments.count > 0 and pool.space.has_little_room)
        made, files.failure = len(files.makers), failure
        if isinstance(failure, StoreFailed):
            expect_log("the pool is read-only")
        pool.next_segment.want()
        await until(lambda: len(files.makers) > made)
        await trio.testing.wait_all_tasks_blocked()
        assert not pool.segments.has_next
        assert (pool.failure is None) == isinstance(failure, NoSpace)
        pool.space.give_back(taken)
