"""Cases in which copy-on-write stores have lost or shown wrong data: each is a test of its own here.

OpenZFS shipped three of them broken: cloning blocks that were not synced yet, holes reported where data was being written
(SEEK_DATA), and clones that were done in part and reported as whole.
"""

import errno
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import trio

from odxfs.errors import NoSpace, StoreFailed, VolumeError
from odxfs.offload import Caller, Mechanism, OffloadEngine, TokenLimits, TokenRegistry
from odxfs.types import BLOCK_BYTES, LEAF_BYTES, Buffer
from odxfs.volume import Pool, Volume, check_directory, create_pool, open_pool
from odxfs.volume.blocks.files import Files
from tests.volume.copying import copy_pool
from tests.volume.model.content import Content
from tests.volume.model.reality import content_of, seen_of
from tests.volume.model.subject import Subject
from tests.volume.model.tree import Frozen, Tree
from tests.volume.slow_engine import SlowEngine

MIB = 1 << 20


async def crashed_copy_holds(directory: Path, copy: Path) -> Frozen:
    """What the next owner finds if this one died now."""
    copy_pool(directory, copy)
    assert await check_directory(copy, read_data=True) == []
    async with open_pool(copy, owner="after the crash") as pool:
        return await seen_of(pool.volume("main"))


# Cloning dirty blocks


@pytest.mark.parametrize(
    "offset", [0, 4096, 512, LEAF_BYTES], ids=["aligned", "shifted", "unaligned", "next leaf"]
)
async def test_a_clone_of_blocks_that_were_never_synced_is_as_durable_as_its_source(
    tmp_path: Path, offset: int
) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        subject = Subject(pool.volume("main"), Tree())
        source, copy = await subject.create((b"source",)), await subject.create((b"copy",))
        await subject.write(source, 0, random.Random(1).randbytes(MIB + 700))
        await subject.clone_range(source, 0, copy, offset, MIB + 700)
        await subject.write(source, 8192, b"source changes" * 1000)
        await subject.write(copy, offset + 40_000, b"copy changes" * 1000)
        await subject.volume.sync()
        durable = subject.tree.frozen()
        await subject.write(source, 0, b"never synced" * 10_000)
        await subject.clone_range(copy, 0, source, 0, 70_000)
        await subject.truncate(copy, 10)
        await subject.assert_same()
        assert await crashed_copy_holds(tmp_path / "pool", tmp_path / "crashed") == durable
        await subject.volume.sync()
        assert (
            await crashed_copy_holds(tmp_path / "pool", tmp_path / "crashed-later") == subject.tree.frozen()
        )


async def test_a_clone_made_while_its_source_is_being_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit under way has the source, not the clone; the next has both, though the data was not written again."""
    create_pool(tmp_path / "pool")
    begun, go_on, sync = threading.Event(), threading.Event(), Files.sync

    def slow_sync(files: Files, descriptor: int) -> None:
        begun.set()
        go_on.wait()
        sync(files, descriptor)

    async with open_pool(tmp_path / "pool", owner="first") as pool:
        subject = Subject(pool.volume("main"), Tree())
        source, copy = await subject.create((b"source",)), await subject.create((b"copy",))
        await subject.volume.sync()
        await subject.write(source, 0, random.Random(1).randbytes(300_000))
        frozen = subject.tree.frozen()
        monkeypatch.setattr(Files, "sync", slow_sync)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(subject.volume.sync)
            await trio.to_thread.run_sync(begun.wait)
            await subject.clone_range(source, 0, copy, 4096, 300_000)
            await subject.write(source, 4096, b"changed" * 2000)
            go_on.set()
        assert await crashed_copy_holds(tmp_path / "pool", tmp_path / "crashed") == frozen
        await subject.volume.sync()
        await subject.assert_same()
        assert (
            await crashed_copy_holds(tmp_path / "pool", tmp_path / "crashed-later") == subject.tree.frozen()
        )


# Holes


@pytest.mark.parametrize("seed", range(3))
async def test_data_is_never_reported_as_a_hole_while_it_is_written_cloned_and_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Islands of data that are there all the time, overwritten and shared again and again, with holes between them."""
    create_pool(tmp_path / "pool")
    choose = random.Random(seed)
    islands = [0, 5 * BLOCK_BYTES, LEAF_BYTES - BLOCK_BYTES, LEAF_BYTES, 2 * LEAF_BYTES + 9 * BLOCK_BYTES]
    monkeypatch.setattr("odxfs.volume.extents._ALWAYS_CACHED", 20)
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        pool.windows.leaves.budget_bytes = 0
        pool.view._engine = SlowEngine(pool.engine, choose)
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"file", 0o644, 0, 0)
        other = await volume.create(volume.root, b"other", 0o644, 0, 0)
        await volume.truncate(inode, 3 * LEAF_BYTES)
        for island in islands:
            await volume.write(inode, island, b"x" * BLOCK_BYTES)
            assert await volume.next_data(inode, island) == island
        await volume.clone_range(inode, 0, other, 0, 3 * LEAF_BYTES)

        async def change(nursery: trio.Nursery) -> None:
            for _ in range(60):
                island = choose.choice(islands)
                match choose.randrange(4):
                    case 0:
                        await volume.write(
                            inode, island + choose.randrange(2) * 100, b"y" * choose.choice((9, 3996))
                        )
                    case 1:
                        await volume.clone_range(other, island, inode, island, BLOCK_BYTES)
                    case 2:
                        await volume.clone_range(other, 0, inode, 0, choose.choice((1, 2)) * LEAF_BYTES)
                    case _:
                        await volume.deallocate(inode, 40 * BLOCK_BYTES, LEAF_BYTES // 2)
            nursery.cancel_scope.cancel()

        async def commit() -> None:
            while True:
                await pool.commit()
                for _ in range(choose.randrange(20)):
                    await trio.lowlevel.checkpoint()

        async def look() -> None:
            while True:
                island = choose.choice(islands)
                assert await volume.next_data(inode, island) == island
                assert await volume.next_data(inode, island + BLOCK_BYTES - 1) == island + BLOCK_BYTES - 1
                ranges = await volume.allocated_ranges(inode, 0, 3 * LEAF_BYTES)
                for island in islands:
                    assert any(
                        start <= island and island + BLOCK_BYTES <= start + length for start, length in ranges
                    )
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            for task in (look, look, commit):
                nursery.start_soon(task)
            nursery.start_soon(change, nursery)
        pool.view._engine = pool.engine
        assert await pool.check(read_data=True) == []


# Clones in part


class FailingFiles(Files):
    """Fails a write of data with an errno."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left: int | None = None
        self.number = errno.EIO

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left < 0:
                raise (NoSpace if self.number == errno.ENOSPC else StoreFailed)("the disk does not take it")
        super().write(descriptor, buffers, offset)


CLONES = {
    "copied, because nothing lies alike": (100, 3 * MIB),
    "an edge before, and one behind": (4096 + 100, 3 * MIB),
    "across a leaf": (LEAF_BYTES - MIB + 512, 3 * MIB),
}


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("case", CLONES)
async def test_a_clone_that_fails_in_the_middle_never_says_that_it_is_whole(
    tmp_path: Path, expect_log: Callable[[str], None], case: str, number: int
) -> None:
    """At whichever write it fails: an error is raised, and the file is the old one with a first part of the new."""
    expect_log("the pool is read-only")
    expect_log("the disk is full")
    offset, length = CLONES[case]
    source_offset = 100 if case.startswith("an edge") else 512 if case.startswith("across") else 0
    for failing_write in range(10):
        directory = tmp_path / f"{failing_write}"
        create_pool(directory)
        files = FailingFiles()
        async with open_pool(directory, owner="first", files=files) as pool:
            subject = Subject(pool.volume("main"), Tree())
            source, copy = await subject.create((b"source",)), await subject.create((b"copy",))
            await subject.write(source, 0, random.Random(1).randbytes(4 * MIB))
            await subject.write(copy, 0, random.Random(2).randbytes(2 * MIB))
            await subject.volume.sync()
            files.number, files.writes_left = number, failing_write
            try:
                await subject.clone_range(source, source_offset, copy, offset, length)
            except (
                VolumeError
            ):  # that the file holds a part, and no other bytes, was looked at by the subject
                is_whole = False
            else:
                is_whole = True
            assert await content_of(subject.volume, copy.inode) == copy.content
            assert (pool.failure is not None) == (number == errno.EIO and not is_whole)
            files.writes_left = None
            assert await pool.check(read_data=True) == []
        assert await check_directory(directory, read_data=True) == []
        if is_whole:
            assert failing_write > 0
            return
    raise AssertionError("the clone has more writes than were tried")


async def test_a_pool_that_latches_in_the_middle_of_a_clone_ends_it(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, expect_log: Callable[[str], None]
) -> None:
    expect_log("the pool is read-only")
    subject = Subject(volume, Tree())
    source, copy = await subject.create((b"source",)), await subject.create((b"copy",))
    await subject.write(source, 0, random.Random(1).randbytes(3 * MIB))
    write, writes = Files.write, 0
    token = trio.lowlevel.current_trio_token()

    def latching(files: Files, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            trio.from_thread.run_sync(volume.pool.latch, "something else has failed", trio_token=token)
        write(files, descriptor, buffers, offset)

    monkeypatch.setattr(Files, "write", latching)
    monkeypatch.setattr(
        volume.pool.writer, "goes_inline", lambda *_, **__: False
    )  # so that something can happen meanwhile
    with pytest.raises(VolumeError):
        await subject.clone_range(source, 0, copy, 100, 3 * MIB)
    assert 0 < copy.content.size < 3 * MIB
    assert await content_of(volume, copy.inode) == copy.content


@pytest.mark.parametrize("cut_to", [0, 5000, MIB])
async def test_copy_file_range_counts_what_is_there_when_the_source_is_cut_meanwhile(
    tmp_path: Path, cut_to: int
) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"source", 0o644, 0, 0)
        await volume.write(inode, 0, b"s" * (2 * MIB))
    async with open_pool(tmp_path / "pool", owner="second") as pool:
        pool.view._engine = SlowEngine(pool.engine, random.Random(1))
        volume, engine = pool.volume("main"), make_engine(pool)
        source = await volume.lookup(volume.root, b"source")
        copy = await volume.create(volume.root, b"copy", 0o644, 0, 0)
        counts: list[int] = []

        async def clone() -> None:
            call = (Mechanism.COPY_FILE_RANGE, "write", Caller(), "main", copy.number, 0, 2 * MIB)
            with engine.recorded(*call) as record:
                counts.append(await engine.copy(record, volume, source, 0, copy, 0, 2 * MIB))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(clone)
            nursery.start_soon(volume.truncate, source, cut_to)
        pool.view._engine = pool.engine
        assert counts in ([cut_to], [2 * MIB])
        expected = Content()
        expected.write(0, b"s" * counts[0])
        assert await content_of(volume, copy) == expected


def make_engine(pool: Pool) -> OffloadEngine:
    registry = TokenRegistry(pool.uuid, TokenLimits(), pool.release_pin, lambda: 0)
    return OffloadEngine(registry, lambda: 0.0)
