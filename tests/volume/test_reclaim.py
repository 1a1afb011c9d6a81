"""Disk space that nothing needs goes back to the file system below, whatever the files were like that it belonged to.

What is compared: the space that the pool's directory takes, and the reserve, the catalog and the data that the pool says it
has; what the pool says is free, and what is free on the disk.
"""

import os
import random
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from odxfs.errors import NoSpace
from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import Inode, Pin, Pool, Volume, check_directory, create_pool, open_pool
from odxfs.volume.allocation import reclaim as reclaim_module
from odxfs.volume.blocks.files import Files
from odxfs.volume.catalog.sqlite import SqliteEngine
from odxfs.volume.directory import RESERVE_BYTES

MIB = 1 << 20
BLOCK = os.urandom(BLOCK_BYTES)


async def make(volume: Volume, name: bytes, size: int = 0) -> Inode:
    inode = await volume.create(volume.root, name, 0o644, 0, 0)
    for offset in range(0, size, MIB):
        await volume.write(inode, offset, os.urandom(min(MIB, size - offset)))
    return inode


async def sequential(volume: Volume) -> None:
    await make(volume, b"sequential", 48 * MIB)


async def fragmented(volume: Volume) -> None:
    """Overwritten at random, so that it frees single blocks everywhere, and beside another, so that they do not adjoin."""
    choose = random.Random(1)
    first, second = await make(volume, b"first", 16 * MIB), await make(volume, b"second", 16 * MIB)
    for _ in range(12_000):
        for inode in (first, second):
            await volume.write(inode, choose.randrange(4096) * BLOCK_BYTES, BLOCK)


async def cloned(volume: Volume) -> None:
    """Sharing leaves, sharing blocks, and each changed after that."""
    source = await make(volume, b"source", 24 * MIB)
    for number, shift in enumerate((0, 3 * BLOCK_BYTES)):
        copy = await make(volume, b"copy%d" % number)
        await volume.clone_range(source, 0, copy, shift, source.size)
        for offset in range(0, source.size, 64 * BLOCK_BYTES):
            await volume.write(copy, offset, BLOCK)


async def many_small(volume: Volume) -> None:
    for number in range(3000):
        await volume.write(await make(volume, b"small%d" % number), 0, BLOCK * (number % 3 + 1))


async def delete_everything(volume: Volume) -> None:
    for entry in await volume.list_directory(volume.root, 0, 10_000):
        await volume.unlink(volume.root, entry.name)
    await settle(volume.pool)


async def settle(pool: Pool) -> None:
    """Let all that is freed come free."""
    while pool.references.dead or pool.space.held_blocks or not pool.namespace.orphans.is_settled:
        await pool.commit()


async def reclaim(pool: Pool) -> None:
    """Take turns of an idle pool until there is nothing left to look at."""
    while pool.space.suspects:
        await pool.reclaimer.turn(idle=True)
    await pool.reclaimer.turn(idle=True)


def disk_bytes(path: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())


def disk_bytes_of_catalog(directory: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in directory.glob("catalog.db*"))


def assert_gone(pool: Pool) -> None:
    """The directory takes what an empty pool takes, and says so."""
    expected = RESERVE_BYTES + disk_bytes_of_catalog(pool.directory) + pool.statistics().allocated_bytes
    assert abs(disk_bytes(pool.directory) - expected) < expected // 20
    assert disk_bytes_of_catalog(pool.directory) < 3 * MIB
    assert disk_bytes(pool.directory / "segments") < MIB
    assert pool.statistics().allocated_bytes == 0
    free_before, shown, free_after = (
        room(pool),
        pool.statistics().free_bytes,
        room(pool),
    )  # others use the disk, too
    assert min(free_before, free_after) - 16 * MIB < shown < max(free_before, free_after) + 16 * MIB


def room(pool: Pool) -> int:
    """What is free on the disk."""
    return Files().room(pool.directory)[1]


@pytest.mark.parametrize("shape", [sequential, fragmented, cloned, many_small])
async def test_after_deleting_everything_the_disk_has_its_space_back(
    volume: Volume, shape: Callable[[Volume], Awaitable[None]]
) -> None:
    pool = volume.pool
    await shape(volume)
    await pool.commit()
    assert disk_bytes(pool.directory / "segments") >= 16 * MIB
    await delete_everything(volume)
    await reclaim(pool)
    assert_gone(pool)
    assert await pool.check() == []
    again = await make(volume, b"again", 4 * MIB)
    assert len(await volume.read(again, 0, again.size)) == 4 * MIB
    assert await pool.check(read_data=True) == []


async def test_what_a_pin_holds_stays_on_the_disk_until_it_is_released(volume: Volume) -> None:
    pool = volume.pool
    inode = await make(volume, b"file", 24 * MIB)
    expected = bytes(await volume.read(inode, LEAF_BYTES, LEAF_BYTES))
    pin = await volume.capture(inode, LEAF_BYTES, LEAF_BYTES)
    await delete_everything(volume)
    await reclaim(pool)
    assert bytes(await pool.read_pin(pin, 0, pin.length)) == expected
    assert LEAF_BYTES <= disk_bytes(pool.directory / "segments") < LEAF_BYTES + MIB
    pool.release_pin(pin)
    await settle(pool)
    await reclaim(pool)
    assert_gone(pool)


async def test_space_that_was_freed_before_a_kill_goes_back_after_it(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        await fragmented(pool.volume("main"))
        await delete_everything(pool.volume("main"))
        copy_as_it_is(tmp_path / "pool", tmp_path / "killed")
    assert disk_bytes(tmp_path / "killed" / "segments") >= 16 * MIB
    async with open_pool(tmp_path / "killed", owner="second") as pool:
        await reclaim(pool)
        assert_gone(pool)
        assert await pool.check() == []


async def test_a_pool_that_is_left_has_given_its_space_back(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        await fragmented(pool.volume("main"))
        kept = await make(pool.volume("main"), b"kept", 5 * MIB)
        for name in (b"first", b"second"):
            await pool.volume("main").unlink(pool.volume("main").root, name)
        assert kept.size == 5 * MIB
    assert 5 * MIB <= disk_bytes(tmp_path / "pool" / "segments") < 6 * MIB
    assert await check_directory(tmp_path / "pool", read_data=True) == []


async def test_under_load_what_is_going_to_be_used_again_stays_and_the_rest_goes(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = volume.pool
    await sequential(volume)
    await pool.commit()
    await delete_everything(volume)
    before = disk_bytes(pool.directory / "segments")
    await pool.reclaimer.turn(idle=False)
    assert disk_bytes(pool.directory / "segments") == before
    monkeypatch.setattr(reclaim_module, "_KEPT_BLOCKS", 1024)
    await pool.reclaimer.turn(idle=False)
    assert disk_bytes(pool.directory / "segments") < before - 32 * MIB
    assert await pool.check() == []


# -- segments -----------------------------------------------------------------------------------------------------


def segments_of(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "segments").iterdir())


async def add_segments(volume: Volume, count: int) -> None:
    """Grow the pool to so many segments, the last one with a file in it, by taking the room of those before."""
    pool = volume.pool
    taken = [pool.space.allocate(2048)]
    while pool.segments.count < count:
        taken.append(pool.space.allocate(2048))
    await make(volume, b"last", MIB)
    for runs in taken:
        pool.space.give_back(runs)
    await pool.commit()


async def test_free_segments_at_the_end_are_removed_and_come_back_when_needed(volume: Volume) -> None:
    pool = volume.pool
    first = await make(volume, b"first", MIB)
    await add_segments(volume, 3)
    assert segments_of(pool.directory) == ["00000000", "00000001", "00000002"]
    await volume.unlink(volume.root, b"last")
    await settle(pool)
    await reclaim(pool)
    assert segments_of(pool.directory) == ["00000000"]
    assert await pool.check(read_data=True) == []
    await add_segments(volume, 2)
    assert segments_of(pool.directory) == ["00000000", "00000001"]
    assert len(await volume.read(first, 0, MIB)) == MIB
    assert await pool.check(read_data=True) == []


async def test_a_segment_in_the_middle_shrinks_to_its_header(volume: Volume) -> None:
    pool = volume.pool
    await add_segments(volume, 2)
    await reclaim(pool)
    sizes = [
        (pool.directory / "segments" / name).stat().st_blocks * 512 for name in segments_of(pool.directory)
    ]
    assert len(sizes) == 2
    assert sizes[0] <= 4 * BLOCK_BYTES
    assert sizes[1] >= MIB


async def test_a_segment_that_is_needed_while_it_is_being_forgotten_stays(volume: Volume) -> None:
    pool = volume.pool
    await add_segments(volume, 2)
    await volume.unlink(volume.root, b"last")
    await settle(pool)
    assert pool.space.retire_last_segment()
    await add_segments(volume, 2)  # before a commit has forgotten it
    await pool.commit()
    assert segments_of(pool.directory) == ["00000000", "00000001"]
    assert await pool.check(read_data=True) == []


async def test_no_segment_goes_in_which_something_is_being_written(volume: Volume) -> None:
    pool = volume.pool
    await add_segments(volume, 2)
    await volume.unlink(volume.root, b"last")
    await settle(pool)
    while (runs := pool.space.allocate(2048))[-1][0] >> 18 == 0:
        pass
    assert not pool.space.retire_last_segment()
    pool.space.give_back(runs)
    assert pool.space.retire_last_segment()


class Snapshotting(Files):
    """Copies the pool as a kill would leave it, before and after a segment's name is taken away."""

    def __init__(self, pool: Path, copies: Path) -> None:
        super().__init__()
        self._pool, self._copies = pool, copies
        self.made: list[Path] = []

    def remove(self, path: Path) -> bool:
        if not path.exists():
            return super().remove(path)
        self._copy()
        try:
            return super().remove(path)
        finally:
            self._copy()

    def _copy(self) -> None:
        self.made.append(self._copies / str(len(self.made)))
        copy_as_it_is(self._pool, self.made[-1])


def copy_as_it_is(source: Path, destination: Path) -> None:
    subprocess.run(["cp", "-r", "--sparse=auto", source, destination], check=True)


async def test_a_kill_between_forgetting_and_removing_segments_loses_nothing(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    files = Snapshotting(tmp_path / "pool", tmp_path)
    async with open_pool(tmp_path / "pool", owner="first", files=files) as pool:
        volume = pool.volume("main")
        await make(volume, b"first", MIB)
        await add_segments(volume, 3)
        await volume.unlink(volume.root, b"last")
        await settle(pool)
        await reclaim(pool)
        assert len(files.made) == 4
    for copy in files.made:
        assert await check_directory(copy, read_data=True) == []
        async with open_pool(copy, owner="second") as pool:
            await reclaim(pool)
            assert segments_of(copy) == ["00000000"]
            await add_segments(pool.volume("main"), 2)
            assert await pool.check(read_data=True) == []
        shutil.rmtree(copy)


async def test_a_commit_without_room_keeps_the_segments_that_it_would_have_forgotten(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, expect_log: Callable[[str], None]
) -> None:
    expect_log("the disk is full")
    pool = volume.pool
    await add_segments(volume, 2)
    await volume.unlink(volume.root, b"last")
    await settle(pool)

    async def refuse(*_: object, **__: object) -> None:
        raise NoSpace("the disk is full: the catalog cannot be written")

    monkeypatch.setattr(SqliteEngine, "commit", refuse)
    assert pool.space.retire_last_segment()
    with pytest.raises(NoSpace):
        await pool.commit()
    assert segments_of(pool.directory) == ["00000000", "00000001"]
    monkeypatch.undo()
    await pool.commit()
    assert segments_of(pool.directory) == ["00000000"]
    assert await pool.check() == []


# -- the catalog --------------------------------------------------------------------------------------------------


async def test_the_catalog_gives_back_what_deleted_rows_took(volume: Volume) -> None:
    pool = volume.pool
    pins: list[Pin] = []
    for number in range(400):
        inode = await make(volume, b"file%d" % number)
        for slot in range(0, 150, 2):  # too many runs for the short form: 24 KiB
            volume.write_nowait(inode, slot * BLOCK_BYTES, BLOCK)
        pins.append(await volume.capture(inode, 0, LEAF_BYTES))
    await pool.commit()
    await pool.reclaimer.turn(idle=True)
    assert (pool.directory / "catalog.db").stat().st_size > 8 * MIB
    await delete_everything(volume)
    for pin in pins:
        pool.release_pin(pin)
    await settle(pool)
    await reclaim(pool)
    assert (pool.directory / "catalog.db").stat().st_size < 3 * MIB
    assert (pool.directory / "catalog.db-wal").stat().st_size == 0
    assert_gone(pool)
    assert await pool.check() == []
