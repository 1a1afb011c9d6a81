"""The log of leaves: what is durable by it is there after a crash, it never grows past its bounds, and damage to it is told."""

import os
import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odxfs.errors import Corrupt
from odxfs.types import BLOCK_BYTES, LEAF_BYTES, LeafId
from odxfs.volume import (
    Inode,
    Pool,
    Volume,
    check_directory,
    create_pool,
    extents,
    open_pool,
    repair_directory,
)
from odxfs.volume.checking.scrub import Scrub
from odxfs.volume.leaf import SlotChange
from odxfs.volume.leaf_log import pack_row, unpack_row
from tests.volume.copying import copy_pool

BLOCKS = LEAF_BYTES // BLOCK_BYTES
FILE_BYTES = 3 * LEAF_BYTES


async def make_disk(volume: Volume) -> tuple[Inode, bytearray]:
    """A file that was written at random, committed, so that its leaves are dense; and what it holds."""
    inode = await volume.create(volume.root, b"disk", 0o644, 0, 0)
    content = bytearray(os.urandom(FILE_BYTES))
    await volume.write(inode, 0, content)
    for block in range(0, FILE_BYTES // BLOCK_BYTES, 7):
        await overwrite(volume, inode, content, block)
    await settle(volume.pool)
    return inode, content


async def overwrite(volume: Volume, inode: Inode, content: bytearray, block: int) -> None:
    start = block * BLOCK_BYTES
    content[start : start + BLOCK_BYTES] = os.urandom(BLOCK_BYTES)
    await volume.write(inode, start, content[start : start + BLOCK_BYTES])


async def settle(pool: Pool) -> None:
    """Have the leaves' own rows written."""
    pool.collect()
    await pool.commit()
    assert logged(pool.directory) == 0


def logged(directory: Path) -> int:
    """Rows of the log in the catalog."""
    catalog = sqlite3.connect(directory / "catalog.db")
    (rows,) = catalog.execute("SELECT COUNT(*) FROM leaf_log").fetchone()
    catalog.close()
    return int(rows)


def bodies(directory: Path) -> list[bytes]:
    """The bodies of all leaves in the catalog."""
    catalog = sqlite3.connect(directory / "catalog.db")
    rows = catalog.execute("SELECT body FROM leaf ORDER BY id").fetchall()
    catalog.close()
    return [body for (body,) in rows]


async def content_of(directory: Path, name: bytes = b"disk") -> bytes:
    """A file's bytes after the next owner has opened the pool, in which nothing is wrong."""
    async with open_pool(directory, owner="next") as pool:
        volume = pool.volume("main")
        inode = await volume.lookup(volume.root, name)
        content = bytes(await volume.read(inode, 0, inode.size))
        assert await pool.check(read_data=True) == []
    assert await check_directory(directory, read_data=True) == []
    return content


async def test_a_synced_write_is_there_after_a_crash_though_no_leaf_was_written(
    volume: Volume, tmp_path: Path
) -> None:
    inode, content = await make_disk(volume)
    before = bodies(volume.pool.directory)
    for block in (3, BLOCKS + 5, 3, 2 * BLOCKS + 1):
        await overwrite(volume, inode, content, block)
        await volume.sync(inode)
    await volume.deallocate(inode, 9 * BLOCK_BYTES, 2 * BLOCK_BYTES)
    content[9 * BLOCK_BYTES : 11 * BLOCK_BYTES] = bytes(2 * BLOCK_BYTES)
    await volume.sync(inode)
    assert logged(volume.pool.directory) == 5
    assert bodies(volume.pool.directory) == before
    copy_pool(volume.pool.directory, tmp_path / "crashed")
    assert await content_of(tmp_path / "crashed") == content
    assert logged(tmp_path / "crashed") == 0


async def test_a_check_before_anything_else_sees_the_pool_as_it_is(volume: Volume, tmp_path: Path) -> None:
    inode, content = await make_disk(volume)
    await overwrite(volume, inode, content, 3)
    await volume.sync(inode)
    copy_pool(volume.pool.directory, tmp_path / "crashed")
    assert await check_directory(tmp_path / "crashed", read_data=True) == []
    assert await content_of(tmp_path / "crashed") == content


async def test_a_leaf_that_came_to_be_shared_or_deleted_is_what_it_was(
    volume: Volume, tmp_path: Path
) -> None:
    inode, content = await make_disk(volume)
    gone = await volume.create(volume.root, b"gone", 0o644, 0, 0)
    await volume.clone_range(inode, 0, gone, 0, FILE_BYTES)
    await overwrite(volume, gone, bytearray(content), 77)
    await settle(volume.pool)
    await overwrite(volume, gone, bytearray(content), 78)
    await overwrite(volume, inode, content, 3)
    await volume.sync(inode)
    copy = await volume.create(volume.root, b"copy", 0o644, 0, 0)
    await volume.clone_range(inode, 0, copy, 0, FILE_BYTES)
    await volume.sync(inode)
    then = bytes(content)
    await overwrite(volume, inode, content, 4)
    await volume.unlink(volume.root, b"gone")
    await volume.sync(inode)
    copy_pool(volume.pool.directory, tmp_path / "crashed")
    assert await content_of(tmp_path / "crashed", b"copy") == then
    assert await content_of(tmp_path / "crashed") == content


async def test_the_log_is_bounded_and_ends_when_nobody_waits(
    volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extents, "MAX_LOGGED_SLOTS", 100)
    inode, content = await make_disk(volume)
    most, choose = 0, random.Random(3)
    for _ in range(150):
        await overwrite(volume, inode, content, choose.randrange(3 * BLOCKS))
        await volume.sync(inode)
        most = max(most, logged(volume.pool.directory))
    assert 50 < most <= 100
    await overwrite(volume, inode, content, 1)
    await volume.pool.committer.commit_once()
    assert logged(volume.pool.directory) == 0
    copy_pool(volume.pool.directory, tmp_path / "crashed")
    assert await content_of(tmp_path / "crashed") == content


async def test_an_idle_pool_leaves_the_log_alone(volume: Volume) -> None:
    inode, content = await make_disk(volume)
    await overwrite(volume, inode, content, 3)
    await volume.sync(inode)
    commits = volume.pool.committer.commits
    await volume.pool.committer.commit_once()
    assert volume.pool.committer.commits == commits
    assert logged(volume.pool.directory) == 1


async def test_leaves_of_the_log_stay_in_memory(volume: Volume) -> None:
    inode, content = await make_disk(volume)
    await overwrite(volume, inode, content, 3)
    await volume.sync(inode)
    leaves = volume.pool.windows.leaves
    leaves.budget_bytes = 0
    other = await volume.create(volume.root, b"other", 0o644, 0, 0)
    for window in range(100):
        await volume.write(other, window * LEAF_BYTES, b"x" * BLOCK_BYTES)
    await volume.sync()
    assert bytes(await volume.read(inode, 0, FILE_BYTES)) == content


async def test_a_scrub_goes_by_leaves_as_they_are(volume: Volume) -> None:
    """What the log has freed is overwritten long before the leaf's own row says so."""
    inode, content = await make_disk(volume)
    for _ in range(3):
        for block in range(0, 400):
            await overwrite(volume, inode, content, block)
            if block % 20 == 0:
                await volume.sync(inode)
    await volume.sync(inode)
    scrub = Scrub(volume.pool)
    await scrub.run(1 << 40)
    assert (scrub.progress.state, scrub.progress.damaged) == ("complete", 0)


async def damaged_pool(tmp_path: Path) -> tuple[Path, bytearray, bytearray]:
    """A crashed pool with two rows in the log, the first of them damaged; what the disk held before and after that row."""
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        inode, content = await make_disk(volume)
        before = bytearray(content)
        await overwrite(volume, inode, content, 3)
        await volume.sync(inode)
        await overwrite(volume, inode, content, 4)
        await volume.sync(inode)
        copy_pool(pool.directory, tmp_path / "crashed")
    before[4 * BLOCK_BYTES : 5 * BLOCK_BYTES] = content[4 * BLOCK_BYTES : 5 * BLOCK_BYTES]
    catalog = sqlite3.connect(tmp_path / "crashed" / "catalog.db")
    first, body = catalog.execute("SELECT id, body FROM leaf_log ORDER BY id LIMIT 1").fetchone()
    catalog.execute(
        "UPDATE leaf_log SET body = ? WHERE id = ?", (body[:9] + bytes([body[9] ^ 1]) + body[10:], first)
    )
    catalog.commit()
    catalog.close()
    return tmp_path / "crashed", before, content


async def test_a_damaged_log_is_told_and_not_guessed_at(tmp_path: Path) -> None:
    directory, _, _ = await damaged_pool(tmp_path)
    with pytest.raises(Corrupt, match="log of leaves fails its checksum: run 'odxfs fsck --repair'"):
        async with open_pool(directory, owner="next"):
            pass
    findings = await check_directory(directory)
    assert "log of leaves fails its checksum" in findings[0].sentence


async def test_a_repair_gives_up_what_is_damaged_of_the_log_alone(tmp_path: Path) -> None:
    directory, before, _ = await damaged_pool(tmp_path)
    report = await repair_directory(directory)
    assert report.left == []
    assert any("log of leaves" in lost.sentence for lost in report.lost)
    async with open_pool(directory, owner="next") as pool:
        volume = pool.volume("main")
        inode = await volume.lookup(volume.root, b"disk")
        for block in range(FILE_BYTES // BLOCK_BYTES):
            start = block * BLOCK_BYTES
            if block != 3:  # its old block may hold something else by now, which its checksum tells
                assert (
                    bytes(await volume.read(inode, start, BLOCK_BYTES)) == before[start : start + BLOCK_BYTES]
                )


changes = st.builds(
    lambda first, place, crcs: (first, len(crcs), place, tuple(crcs) if place else ()),
    st.integers(0, BLOCKS - 64),
    st.integers(0, 2**63),
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=64),
)


@given(
    st.integers(1, 2**40),
    st.lists(st.tuples(st.integers(1, 2**52).map(LeafId), changes), min_size=1),
    st.data(),
)
def test_a_row_is_what_was_packed_or_damaged(
    number: int, entries: list[tuple[LeafId, SlotChange]], data: st.DataObject
) -> None:
    body = pack_row(number, entries)
    assert unpack_row(number, body) == entries
    with pytest.raises(Corrupt):
        unpack_row(number + 1, body)
    at = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(Corrupt):
        unpack_row(number, body[:at] + bytes([body[at] ^ 0x10]) + body[at + 1 :])
    with pytest.raises(Corrupt):
        unpack_row(number, body[:at])


def test_a_row_that_was_cut_off_is_damaged_wherever_that_was() -> None:
    """The checksum of nothing is the number of the row, which the leaf of the first entry may have, too."""
    body = pack_row(1, [(LeafId(1), (0, 1, 0, ()))])
    for end in range(len(body)):
        with pytest.raises(Corrupt):
            unpack_row(1, body[:end])
