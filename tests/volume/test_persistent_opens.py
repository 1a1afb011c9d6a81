"""Records of opens that outlive the process: what the next owner of a pool finds."""

import sqlite3
from pathlib import Path

import pytest

from odxfs.errors import SharingViolation
from odxfs.volume import check_directory, create_pool, open_pool, repair_directory

BODY = b'{"form": 1}'


async def test_the_next_owner_finds_the_record_and_its_inode(tmp_path: Path) -> None:
    create_pool(tmp_path)
    async with open_pool(tmp_path, owner="first") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"file", 0o644, 0, 0)
        volume.hold(inode)
        await volume.write(inode, 0, b"data")
        pool.persistent_opens.put(7, inode, b"old")
        pool.persistent_opens.put(7, inode, BODY)
        await volume.unlink(volume.root, b"file")
        await volume.release(inode)
    assert await check_directory(tmp_path) == []
    async with open_pool(tmp_path, owner="second") as pool:
        (record,) = pool.persistent_opens.list()
        assert (record.id, record.inode.number, record.body) == (7, inode.number, BODY)
        volume = pool.volume("main")
        assert await volume.inode(inode.number) is record.inode
        assert await volume.read(record.inode, 0, 4) == b"data"
        await pool.persistent_opens.remove(7)
        await pool.persistent_opens.remove(7)
        await pool.settle()
        assert record.inode.gone
        assert pool.persistent_opens.list() == []
        assert await pool.check() == []
    async with open_pool(tmp_path, owner="third") as pool:
        assert len(pool.persistent_opens) == 0


async def test_a_named_inode_stays_when_its_record_goes(tmp_path: Path) -> None:
    create_pool(tmp_path)
    async with open_pool(tmp_path, owner="tests") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"file", 0o644, 0, 0)
        for identifier in (1, 2):
            pool.persistent_opens.put(identifier, inode, BODY)
        await pool.persistent_opens.remove(1)
        assert pool.persistent_opens.keeps(inode.number)
        await pool.persistent_opens.remove(2)
        assert not pool.persistent_opens.keeps(inode.number)
        assert await volume.lookup(volume.root, b"file") is inode


async def test_a_record_of_a_missing_inode_is_found_and_dropped(tmp_path: Path) -> None:
    create_pool(tmp_path)
    with sqlite3.connect(tmp_path / "catalog.db") as catalog:
        catalog.execute("INSERT INTO persistent_open VALUES (7, 12345, X'00')")
    catalog.close()
    assert [finding.kind for finding in await check_directory(tmp_path)] == ["persistent open"]
    async with open_pool(tmp_path, owner="tests") as pool:
        assert pool.persistent_opens.list() == []
        await pool.commit()
    assert await check_directory(tmp_path) == []
    with sqlite3.connect(tmp_path / "catalog.db") as catalog:
        catalog.execute("INSERT INTO persistent_open VALUES (7, 12345, X'00')")
    catalog.close()
    report = await repair_directory(tmp_path)
    assert report.left == []
    assert await check_directory(tmp_path) == []


async def test_a_snapshot_does_not_hold_records(tmp_path: Path) -> None:
    create_pool(tmp_path)
    async with open_pool(tmp_path, owner="tests") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"file", 0o644, 0, 0)
        pool.persistent_opens.put(1, inode, BODY)
        await pool.snapshots.create("main", "then")
        await pool.persistent_opens.remove(1)
        await pool.commit()
        past = pool.snapshot_volume("main", "then")
        assert (await past.lookup(past.root, b"file")).holds == 0
        assert await pool.check() == []


async def test_records_that_nobody_has_claimed_do_not_keep_a_volume(tmp_path: Path) -> None:
    create_pool(tmp_path)
    async with open_pool(tmp_path, owner="first") as pool:
        await pool.volumes.create("other")
        volume = pool.volume("other")
        inode = await volume.create(volume.root, b"file", 0o644, 0, 0)
        for identifier in (1, 2):
            pool.persistent_opens.put(identifier, inode, BODY)
        volume.hold(inode)
        with pytest.raises(SharingViolation):
            await pool.volumes.delete("other")
        assert len(pool.persistent_opens) == 2
        await volume.release(inode)
    async with open_pool(tmp_path, owner="second") as pool:
        assert len(pool.persistent_opens) == 2
        await pool.volumes.delete("other")
        assert len(pool.persistent_opens) == 0
        await pool.settle()
        assert await pool.check() == []
