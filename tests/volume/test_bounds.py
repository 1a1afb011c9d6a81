"""What a pool keeps in memory and in its catalog stays in proportion, however fast it is filled."""

from pathlib import Path

import pytest

from odxfs.errors import NoAttribute
from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import Volume, commit, create_pool, open_pool
from odxfs.volume.catalog.interface import Table

ROWS = 64


async def test_names_made_without_a_pause_wait_for_commits(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "_CHANGED_ROWS", ROWS)
    view, most = volume.pool.view, 0
    for number in range(500):
        await volume.create(volume.root, b"%d" % number, 0o644, 0, 0)
        most = max(most, view.changes)
    for number in range(500):
        await volume.unlink(volume.root, b"%d" % number)
        most = max(most, view.changes)
    assert ROWS <= most < 6 * ROWS
    assert await volume.list_directory(volume.root) == []
    assert await volume.pool.check() == []


async def test_a_small_file_takes_a_few_bytes_of_extent_map(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        small = await volume.create(volume.root, b"small", 0o644, 0, 0)
        sparse = await volume.create(volume.root, b"sparse", 0o644, 0, 0)
        await volume.write(small, 0, b"s" * BLOCK_BYTES)
        await volume.write(sparse, 5 * LEAF_BYTES, b"p" * BLOCK_BYTES)
        await volume.sync()
        for inode, length in ((small, 8), (sparse, 48)):
            row = await pool.view.get(Table.EXTENTS, (inode.number, 0))
            assert row is not None
            assert isinstance(row[0], bytes)
            assert len(row[0]) == length
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        sparse = await volume.lookup(volume.root, b"sparse")
        assert await volume.allocated_ranges(sparse, 0, sparse.size) == [(5 * LEAF_BYTES, BLOCK_BYTES)]
        assert bytes(await volume.read(sparse, 5 * LEAF_BYTES, 1)) == b"p"
        await volume.truncate(sparse, 0)
        await volume.sync()
        assert await pool.view.get(Table.EXTENTS, (sparse.number, 0)) is None
        assert await pool.check() == []


async def test_a_capture_across_full_windows_reads_no_leaf(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"disk", 0o644, 0, 0)
        await volume.write(inode, 0, b"d" * LEAF_BYTES)
        await volume.write(inode, LEAF_BYTES, b"d" * BLOCK_BYTES)
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        inode = await volume.lookup(volume.root, b"disk")
        pin = await volume.capture(inode, BLOCK_BYTES, BLOCK_BYTES)
        assert not pin.is_hole
        assert pool.statistics().cached_leaves == 0
        await volume.truncate(inode, 2 * LEAF_BYTES)
        past = await volume.capture(inode, LEAF_BYTES + BLOCK_BYTES, BLOCK_BYTES)
        assert past.is_hole
        pool.release_pin(pin)


async def test_an_inode_without_attributes_gets_one(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    for turn in range(2):
        async with open_pool(tmp_path / "pool", owner="test") as pool:
            volume = pool.volume("main")
            if turn == 0:
                await volume.create(volume.root, b"file", 0o644, 0, 0)
            inode = await volume.lookup(volume.root, b"file")
            for name in (b"user.a", b"user.b"):
                with pytest.raises(NoAttribute):
                    await volume.get_xattr(inode, name)
                await volume.set_xattr(inode, name, b"value")
                assert await volume.get_xattr(inode, name) == b"value"
            for name in (b"user.a", b"user.b"):
                await volume.remove_xattr(inode, name)
            with pytest.raises(NoAttribute):
                await volume.get_xattr(inode, b"user.a")


async def test_more_rows_than_one_statement_takes_are_set_and_deleted(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        for number in range(173):
            await volume.create(volume.root, b"%03d" % number, 0o644, 0, 0)
        await volume.sync()
        for number in range(0, 173, 2):
            await volume.unlink(volume.root, b"%03d" % number)
            await volume.create(volume.root, b"%03d again" % number, 0o644, 0, 0)
        await volume.sync()
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        found = {entry.name for entry in await volume.list_directory(volume.root)}
        assert found == {b"%03d" % n for n in range(1, 173, 2)} | {
            b"%03d again" % n for n in range(0, 173, 2)
        }
        assert await pool.check() == []
