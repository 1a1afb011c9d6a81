"""The scrub: it reads everything once, finds what the disk has changed, and is never wrong beside changes."""

import os
import random
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import Inode, Volume
from odxfs.volume.checking.scrub import RECORD, Scrub, read_record

FAST = 1 << 40


async def make(volume: Volume, name: bytes, length: int) -> Inode:
    inode = await volume.create(volume.root, name, 0o644, 0, 0)
    await volume.write(inode, 0, os.urandom(length))
    return inode


def place_of(volume: Volume, inode: Inode, block: int) -> int:
    extents = inode.extents
    assert extents is not None
    leaf = volume.pool.windows.leaf(extents.get(block // 2048))
    assert leaf is not None
    return leaf.place_of(block % 2048)


def flip(volume: Volume, place: int) -> None:
    """Change a bit of a block behind everybody's back."""
    with (volume.pool.directory / "segments" / "00000000").open("r+b", buffering=0) as file:
        file.seek(place * BLOCK_BYTES + 1000)
        byte = file.read(1)[0]
        file.seek(place * BLOCK_BYTES + 1000)
        file.write(bytes([byte ^ 1]))
        os.fsync(file.fileno())


async def test_every_block_is_read_once_however_often_it_is_shared(volume: Volume) -> None:
    inode = await make(volume, b"a", LEAF_BYTES + 10 * BLOCK_BYTES)
    copy = await volume.create(volume.root, b"b", 0o644, 0, 0)
    await volume.clone_range(inode, 0, copy, 0, inode.size)
    await volume.write(copy, 5 * BLOCK_BYTES, b"x" * BLOCK_BYTES)
    await volume.sync()
    scrub = Scrub(volume.pool)
    await scrub.run(FAST)
    progress = scrub.progress
    assert (progress.state, progress.damaged) == ("complete", 0)
    assert progress.done_bytes == progress.total_bytes == volume.pool.statistics().allocated_bytes
    record = read_record(volume.pool.directory)
    assert record is not None
    assert record["state"] == "complete"


@pytest.mark.parametrize("content", ["[]", "5", "{}", "{", pytest.param("[" * 100_000, id="nested")])
def test_a_record_that_makes_no_sense_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / RECORD).write_text(content)
    assert read_record(tmp_path) is None


async def test_the_record_which_names_files_is_its_owners_alone(volume: Volume) -> None:
    volume.pool.directory.chmod(0o755)
    await Scrub(volume.pool).run(FAST)
    assert stat.S_IMODE((volume.pool.directory / RECORD).stat().st_mode) == 0o600


async def test_damage_is_named_by_every_holder_and_byte(
    volume: Volume, expect_log: Callable[[str], None]
) -> None:
    expect_log("scrub: ")
    inode = await make(volume, b"a", LEAF_BYTES + 10 * BLOCK_BYTES)
    shared = await volume.create(volume.root, b"whole", 0o644, 0, 0)
    await volume.clone_range(inode, 0, shared, LEAF_BYTES, LEAF_BYTES)
    await volume.pool.snapshots.create("main", "then")
    part = await volume.create(volume.root, b"part", 0o644, 0, 0)
    await volume.clone_range(inode, 7 * BLOCK_BYTES, part, 0, 4 * BLOCK_BYTES)
    await volume.unlink(volume.root, b"whole")
    pin = await volume.capture(inode, 0, LEAF_BYTES)
    place = place_of(volume, inode, 7)
    await volume.sync()
    flip(volume, place)
    scrub = Scrub(volume.pool)
    await scrub.run(FAST)
    where = {finding.where.replace(" of volume main", "") for finding in scrub.progress.findings}
    assert {
        f"/a (inode {inode.number}), byte {7 * BLOCK_BYTES}",
        f"/part (inode {part.number}), byte 0",
        "a token",
    } <= where
    assert any(
        "snapshot then: /whole" in name and f"byte {LEAF_BYTES + 7 * BLOCK_BYTES}" in name for name in where
    )
    assert all(
        f"segment 0, byte {place * BLOCK_BYTES}" in finding.sentence for finding in scrub.progress.findings
    )
    assert bytes(await volume.read(inode, 8 * BLOCK_BYTES, BLOCK_BYTES))
    volume.pool.release_pin(pin)


async def test_a_damaged_leaf_is_found_and_the_rest_is_read(
    volume: Volume, expect_log: Callable[[str], None]
) -> None:
    expect_log("scrub: ")
    for name in (b"a", b"b"):
        inode = await make(volume, name, 10 * BLOCK_BYTES)
    await volume.sync()
    catalog = sqlite3.connect(volume.pool.directory / "catalog.db")
    with catalog:
        catalog.execute("UPDATE leaf SET body = zeroblob(length(body)) WHERE id = 1")
    catalog.close()
    scrub = Scrub(volume.pool)
    await scrub.run(FAST)
    (finding,) = scrub.progress.findings
    assert finding.kind == "leaf"
    assert "/a" in finding.where
    assert scrub.progress.done_bytes == inode.allocated_bytes


async def test_a_stopped_pass_goes_on_where_it_was(volume: Volume) -> None:
    for number in range(3):
        await make(volume, b"%d" % number, LEAF_BYTES)
    await volume.sync()
    scrub = Scrub(volume.pool)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scrub.run, 50_000_000)
            while scrub.progress.done_bytes < LEAF_BYTES // 2:
                await trio.sleep(0)
            scope.cancel()
    stopped = scrub.progress.done_bytes
    assert scrub.progress.state == "stopped"
    assert 0 < stopped < scrub.progress.total_bytes
    await scrub.run(FAST)
    assert scrub.progress.state == "complete"
    assert scrub.progress.done_bytes == scrub.progress.total_bytes
    await scrub.run(FAST, restart=True)
    assert scrub.progress.done_bytes == scrub.progress.total_bytes


@pytest.mark.mock_clock
async def test_it_keeps_to_its_rate(volume: Volume, expect_log: Callable[[str], None]) -> None:
    for words in ("the disk does not answer", "the disk answers again"):
        expect_log(words)  # by this clock, which does not wait for threads
    await make(volume, b"a", 3 << 20)
    await volume.sync()
    began = trio.current_time()
    await Scrub(volume.pool).run(1 << 20)
    assert trio.current_time() - began >= 3


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_found_beside_changes(volume: Volume, seed: int) -> None:
    choose = random.Random(seed)
    inodes = [await make(volume, b"%d" % number, LEAF_BYTES // 2) for number in range(4)]
    passes = 0

    async def change() -> None:
        while passes < 14:
            inode, what = choose.choice(inodes), choose.random()
            offset = choose.randrange(LEAF_BYTES // 2)
            if what < 0.6:
                await volume.write(inode, offset, choose.randbytes(choose.choice((100, 4096, 300_000))))
            elif what < 0.7:
                await volume.truncate(inode, offset)
            elif what < 0.8:
                await volume.clone_range(inode, 0, choose.choice(inodes), LEAF_BYTES, offset)
            elif what < 0.9:
                volume.pool.release_pin(await volume.capture(inode, 0, LEAF_BYTES))
            else:
                await volume.sync()
            await trio.sleep(0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(change)
        scrub = Scrub(volume.pool)
        for passes in range(15):  # noqa: B007 - the other task looks at it
            await scrub.run(FAST)
            assert scrub.progress.findings == []
            assert scrub.progress.state == "complete"
    assert await volume.pool.check(read_data=True) == []
