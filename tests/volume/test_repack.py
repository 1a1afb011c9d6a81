"""Re-packing: what is fragmented becomes contiguous, for one holder only, and nobody can tell but by the speed."""

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import trio

from odxfs.types import BLOCK_BYTES, BLOCKS_PER_LEAF, LEAF_BYTES, Buffer
from odxfs.volume import Inode, Pool, Volume, check_directory, create_pool, open_pool
from odxfs.volume.allocation.repack import QUIET_NS
from odxfs.volume.allocation.survey import Fragmented
from odxfs.volume.blocks.files import Files
from odxfs.volume.changes import Change
from tests.volume.copying import copy_pool
from tests.volume.test_interleavings import Gate

MIB = 1 << 20


async def disk(volume: Volume, name: bytes, size: int, *, holes: bool = False) -> tuple[Inode, bytes]:
    """A file in single blocks, and what it holds."""
    choose = random.Random(name)
    inode = await volume.create(volume.root, name, 0o644, 0, 0)
    await volume.write(inode, 0, os.urandom(size))
    blocks = list(range(size // BLOCK_BYTES))
    choose.shuffle(blocks)
    for block in blocks:
        await volume.write(inode, block * BLOCK_BYTES, choose.randbytes(BLOCK_BYTES))
    for block in blocks[: len(blocks) // 3] if holes else []:
        await volume.deallocate(inode, block * BLOCK_BYTES, BLOCK_BYTES)
    await volume.sync()
    return inode, bytes(await volume.read(inode, 0, size))


def pieces_of(pool: Pool, inode: Inode, window: int = 0) -> int:
    """Contiguous runs in one window, whose leaf is cached."""
    assert inode.extents is not None
    leaf = pool.windows.leaf(inode.extents.get(window))
    assert leaf is not None
    return len(leaf.pieces(0, BLOCKS_PER_LEAF))


async def settle(pool: Pool, later: int = 0) -> None:
    """Let the repacker meet everything, and come again when it has been quiet for long enough.

    Times begin at the pool's clock, so that its own task, which goes by that, finds nothing to be due.
    """
    now = pool.clock() + later
    rounds = pool.repacker.survey.rounds
    while pool.repacker.survey.rounds < rounds + 2:  # one of them from the beginning
        await pool.repacker.note_fragmented(now)
    for _ in range(16):
        await pool.repacker.turn(now + QUIET_NS)
    await pool.commit()


async def find(pool: Pool) -> list[Fragmented]:
    return await pool.repacker.survey.step(64)


@pytest.mark.parametrize("holes", [False, True])
async def test_a_fragmented_file_becomes_contiguous_and_nobody_is_told(tmp_path: Path, holes: bool) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        volume = pool.volume("main")
        inode, content = await disk(volume, b"disk", 2 * LEAF_BYTES, holes=holes)
        data_ranges = await volume.allocated_ranges(inode, 0, inode.size)
        times, used = (inode.mtime_ns, inode.ctime_ns, inode.atime_ns), pool.space.used_blocks
        assert pieces_of(pool, inode) > 1000
        changes: list[Change] = []
        pool.add_observer(changes.append)
        await settle(pool)
        assert pool.statistics().repacked_leaves == 2
        assert pool.statistics().repacked_bytes == inode.allocated_bytes
        assert pieces_of(pool, inode) <= len(data_ranges)
        assert bytes(await volume.read(inode, 0, inode.size)) == content
        assert await volume.allocated_ranges(inode, 0, inode.size) == data_ranges
        assert (inode.mtime_ns, inode.ctime_ns, inode.atime_ns) == times
        assert pool.space.used_blocks == used
        assert changes == []
        assert await pool.check(read_data=True) == []
    assert await check_directory(tmp_path / "pool", read_data=True) == []
    async with open_pool(tmp_path / "pool", owner="second") as pool:
        volume = pool.volume("main")
        inode = await volume.lookup(volume.root, b"disk")
        assert bytes(await volume.read(inode, 0, inode.size)) == content


async def test_what_was_fragmented_by_the_last_owner_is_found(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        _, content = await disk(pool.volume("main"), b"disk", LEAF_BYTES)
    async with open_pool(tmp_path / "pool", owner="second") as pool:
        volume = pool.volume("main")
        await settle(pool)
        assert pool.statistics().repacked_leaves == 1
        inode = await volume.lookup(volume.root, b"disk")
        assert bytes(await volume.read(inode, 0, inode.size)) == content
        assert await pool.check(read_data=True) == []


async def test_a_range_that_is_pinned_stays_as_it_was_whatever_is_packed_around_it(volume: Volume) -> None:
    """A token's source counts as changed by the places of its blocks."""
    inode, _ = await disk(volume, b"disk", 2 * LEAF_BYTES)
    pin = await volume.capture(inode, 0, LEAF_BYTES // 2)
    await settle(volume.pool)
    assert await volume.is_as_pinned(inode, pin)
    await volume.write(inode, LEAF_BYTES // 2, b"behind it")
    await volume.sync()
    await settle(volume.pool)
    assert await volume.is_as_pinned(inode, pin)
    await volume.write(inode, LEAF_BYTES // 2 - 1, b"n")
    assert not await volume.is_as_pinned(inode, pin)
    volume.pool.release_pin(pin)


async def test_the_survey_says_how_fragmented_things_are(volume: Volume) -> None:
    pool = volume.pool
    await disk(volume, b"disk", LEAF_BYTES)
    whole = await volume.create(volume.root, b"whole", 0o644, 0, 0)
    await volume.write(whole, 0, os.urandom(LEAF_BYTES))
    await volume.sync()
    found = await find(pool)
    numbers = pool.statistics()
    assert [noted.window for noted in found] == [0]
    assert numbers.surveyed_leaves == 2
    assert 500 < numbers.pieces_per_leaf < 1200


@pytest.mark.parametrize("holder", ["pin", "clone", "shifted clone", "snapshot"])
async def test_nothing_that_is_shared_is_moved(volume: Volume, holder: str) -> None:
    pool = volume.pool
    inode, content = await disk(volume, b"disk", LEAF_BYTES)
    match holder:
        case "pin":
            pin = await volume.capture(inode, 0, LEAF_BYTES)
        case "snapshot":
            await pool.snapshots.create("main", "before")
        case _:
            copy = await volume.create(volume.root, b"copy", 0o644, 0, 0)
            start = BLOCK_BYTES * 5 if holder == "shifted clone" else 0
            await volume.clone_range(inode, 0, copy, start, LEAF_BYTES if not start else 10 * BLOCK_BYTES)
    await volume.sync()
    used, shared = pool.space.used_blocks, pool.statistics().shared_bytes
    await settle(pool)
    assert pool.statistics().repacked_leaves == 0
    assert (pool.space.used_blocks, pool.statistics().shared_bytes) == (used, shared)
    assert bytes(await volume.read(inode, 0, inode.size)) == content
    if holder == "pin":
        assert bytes(await pool.read_pin(pin, 0, LEAF_BYTES)) == content
        pool.release_pin(pin)
        await pool.commit()
        await settle(pool)
        assert pool.statistics().repacked_leaves == 1
    assert await pool.check(read_data=True) == []


async def test_a_leaf_that_is_written_now_and_then_waits(volume: Volume) -> None:
    pool = volume.pool
    inode, _ = await disk(volume, b"disk", LEAF_BYTES)
    begin = pool.clock()
    await pool.repacker.turn(begin)
    await volume.write(inode, 0, b"x" * BLOCK_BYTES)
    await pool.repacker.turn(begin + QUIET_NS)
    assert pool.statistics().repacked_leaves == 0
    await pool.repacker.turn(begin + 2 * QUIET_NS - 1)
    assert pool.statistics().repacked_leaves == 0
    await pool.repacker.turn(begin + 2 * QUIET_NS)
    assert pool.statistics().repacked_leaves == 1


async def test_a_damaged_block_leaves_the_leaf_alone(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        inode, _ = await disk(volume, b"disk", 2 * LEAF_BYTES)
        assert inode.extents is not None
        leaf = pool.windows.leaf(inode.extents.get(0))
        assert leaf is not None
        with (tmp_path / "pool" / "segments" / "00000000").open("r+b") as segment:
            segment.seek(leaf.place_of(77) * BLOCK_BYTES)
            segment.write(b"flipped")
        places = bytes(leaf.places or b"")
        await settle(pool)
        await settle(pool, QUIET_NS * 3)
        assert pool.statistics().repacked_leaves == 1, "the other leaf"
        assert bytes(leaf.places or b"") == places


class Copying(Gate):
    """Holds the repacker where it is about to write what it has read."""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        write = Files.write

        def slow_write(files: Files, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
            if sum(map(len, buffers)) >= MIB:
                self.pass_through()
            write(files, descriptor, buffers, offset)

        monkeypatch.setattr(Files, "write", slow_write)


Meanwhile = Callable[[Volume, Inode], object]


async def overwrite(volume: Volume, inode: Inode) -> None:
    await volume.write(inode, 5 * BLOCK_BYTES, b"new" * 1000)


async def punch(volume: Volume, inode: Inode) -> None:
    await volume.deallocate(inode, 0, 50 * BLOCK_BYTES)


async def truncate(volume: Volume, inode: Inode) -> None:
    await volume.truncate(inode, MIB)


async def delete(volume: Volume, inode: Inode) -> None:
    await volume.unlink(volume.root, b"disk")


async def pin(volume: Volume, inode: Inode) -> None:
    await volume.capture(inode, 0, LEAF_BYTES)


async def snapshot(volume: Volume, inode: Inode) -> None:
    await volume.pool.snapshots.create("main", "meanwhile")


async def share_a_block(volume: Volume, inode: Inode) -> None:
    copy = await volume.create(volume.root, b"copy", 0o644, 0, 0)
    await volume.clone_range(inode, 0, copy, BLOCK_BYTES, 8 * BLOCK_BYTES)


@pytest.mark.parametrize(
    "meanwhile",
    [overwrite, punch, truncate, delete, pin, snapshot, share_a_block],
    ids=lambda change: change.__name__,
)
async def test_what_happens_while_a_leaf_is_being_copied_wins(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Volume, Inode], object]
) -> None:
    pool = volume.pool
    inode, content = await disk(volume, b"disk", LEAF_BYTES)
    (noted,) = await find(pool)
    moved: list[bool] = []

    async def repack() -> None:
        moved.append(await pool.repacker.repack(noted))

    async with trio.open_nursery() as nursery:
        with Copying() as gate:
            gate.install(monkeypatch)
            nursery.start_soon(repack)
            await gate.reached()
            await meanwhile(volume, inode)  # type: ignore[misc]
            expected = b"" if inode.gone else bytes(await volume.read(inode, 0, inode.size))
    monkeypatch.undo()
    assert moved == [False]
    if not inode.gone:
        assert bytes(await volume.read(inode, 0, inode.size)) == expected
    assert await pool.check(read_data=True) == []
    await pool.commit()
    assert await pool.check(read_data=True) == []
    assert len(content) == LEAF_BYTES


async def test_reads_under_way_get_what_they_began_with(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = volume.pool
    inode, content = await disk(volume, b"disk", LEAF_BYTES)
    (noted,) = await find(pool)
    gate, read = Gate(), Files.read

    def slow_read(files: Files, descriptor: int, buffer: memoryview, offset: int) -> None:
        gate.pass_through()
        read(files, descriptor, buffer, offset)

    monkeypatch.setattr(Files, "read", slow_read)
    found: list[bytes] = []

    async def read_all() -> None:
        found.append(bytes(await volume.read(inode, 0, LEAF_BYTES)))

    async with trio.open_nursery() as nursery:
        with gate:
            nursery.start_soon(read_all)
            await gate.reached()
            assert await pool.repacker.repack(noted)
            await volume.sync()
            other = await volume.create(volume.root, b"other", 0o644, 0, 0)
            await volume.write(other, 0, os.urandom(2 * LEAF_BYTES))
    assert found == [content]


async def test_a_kill_at_any_point_of_it_loses_nothing(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    copies: list[Path] = []

    def copy_as_killed() -> None:
        copies.append(tmp_path / f"killed{len(copies)}")
        copy_pool(tmp_path / "pool", copies[-1])

    async with open_pool(tmp_path / "pool", owner="first") as pool:
        volume = pool.volume("main")
        inode, content = await disk(volume, b"disk", LEAF_BYTES)
        (noted,) = await find(pool)
        assert await pool.repacker.repack(noted)
        copy_as_killed()  # the blocks are there, and nothing names them
        await pool.commit()
        copy_as_killed()
        await volume.write(inode, 0, os.urandom(LEAF_BYTES))  # may take the blocks that came free
        copy_as_killed()
    for copy in copies:
        assert await check_directory(copy, read_data=True) == []
        async with open_pool(copy, owner="second") as pool:
            volume = pool.volume("main")
            inode = await volume.lookup(volume.root, b"disk")
            assert bytes(await volume.read(inode, 0, LEAF_BYTES)) == content
