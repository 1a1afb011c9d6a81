"""A file or a folder back out of a snapshot, while others do the same, delete the snapshot or use what is replaced."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from odxfs.errors import (
    AlreadyExists,
    InvalidArgument,
    NotADirectory,
    NotFound,
    SharingViolation,
    VolumeError,
)
from odxfs.types import LEAF_BYTES
from odxfs.volume import CAPABILITY_NAME, AttributeChange, RenameFlags, Volume, create_pool, open_pool
from tests.volume.test_snapshots import fill, tree_of


@asynccontextmanager
async def changed_since(volume: Volume) -> AsyncIterator[dict[bytes, object]]:
    """A volume whose folder was deleted after snapshot `then`, and what it held; sound at the end."""
    await fill(volume)
    before = await tree_of(volume)
    await volume.pool.snapshots.create("main", "then")
    folder = await volume.lookup(volume.root, b"folder")
    await volume.unlink(folder.number, b"disk")
    await volume.rmdir(volume.root, b"folder")
    yield before
    assert await volume.pool.check() == []


async def restore(volume: Volume, path: str, to: str = "", *, replace: bool = False) -> int:
    """Restore and tell how many inodes were made."""
    done = await volume.pool.snapshots.restore_path("main", "then", path, to or path, replace=replace)
    return done.inodes


async def names(volume: Volume) -> list[bytes]:
    return sorted(entry.name for entry in await volume.list_directory(volume.root))


async def test_a_folder_comes_back_with_all_that_describes_it_and_moves_nothing(volume: Volume) -> None:
    async with changed_since(volume) as before:
        allocated = volume.pool.statistics().allocated_bytes
        assert await restore(volume, "folder") == 2
        assert volume.pool.statistics().allocated_bytes <= allocated
        after = await tree_of(volume)
        for path in (b"/folder", b"/folder/disk"):
            now, was = after[path], before[path]
            assert isinstance(now, tuple)
            assert isinstance(was, tuple)
            if path == b"/folder":
                assert now[0] == was[0]
                assert now[2][0] == was[2][0]
            else:  # its other name, which was never gone, is another file now
                assert (now[0], now[2], now[3][0], now[4:]) == (was[0], was[2], was[3][0], was[4:])


async def test_a_program_comes_back_with_its_privileges(volume: Volume) -> None:
    program = await volume.create(volume.root, b"program", 0o104755, 1, 2)
    await volume.write(program, 0, b"#!/bin/ping")
    await volume.set_attributes(program, AttributeChange(mode=0o4755))
    await volume.set_xattr(program, CAPABILITY_NAME, b"cap_net_raw")
    await volume.pool.snapshots.create("main", "then")
    await restore(volume, "program", "again")
    copy = await volume.lookup(volume.root, b"again")
    assert (copy.mode, copy.uid, copy.gid) == (0o104755, 1, 2)
    assert await volume.get_xattr(copy, CAPABILITY_NAME) == b"cap_net_raw"


async def test_what_is_there_stays_unless_it_shall_be_replaced(volume: Volume) -> None:
    async with changed_since(volume):
        folder = await volume.create(volume.root, b"folder", 0o40700, 0, 0)
        await volume.create(folder.number, b"new", 0o644, 0, 0)
        with pytest.raises(AlreadyExists):
            await restore(volume, "folder")
        assert await names(volume) == [b"Link", b"folder", b"symlink"]
        await restore(volume, "folder", replace=True)
        found = await volume.lookup(volume.root, b"folder")
        assert [entry.name for entry in await volume.list_directory(found.number)] == [b"disk"]
        await restore(volume, "folder/disk", "symlink", replace=True)
        assert (await volume.lookup(volume.root, b"symlink")).is_file
        assert await names(volume) == [b"Link", b"folder", b"symlink"]


@pytest.mark.parametrize(
    ("path", "to", "error"),
    [
        ("no/such", "", NotFound),
        ("folder", "/", InvalidArgument),
        ("folder", "missing/folder", NotFound),
        ("folder", "Link/folder", NotADirectory),
        ("folder", "..", InvalidArgument),
        ("folder", ".snapshots", AlreadyExists),
    ],
)
async def test_a_refusal_leaves_nothing_behind(
    volume: Volume, path: str, to: str, error: type[VolumeError]
) -> None:
    async with changed_since(volume):
        before = await names(volume)
        with pytest.raises(error):
            await restore(volume, path, to)
        assert await names(volume) == before


async def test_several_at_once_do_not_meet(tmp_path: Path) -> None:
    """Whoever comes later is told that it is there, and takes nothing away from the first."""
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        folder = await volume.create(volume.root, b"folder", 0o40755, 0, 0)
        for index in range(20):
            file = await volume.create(folder.number, b"%d" % index, 0o644, 0, 0)
            await volume.write(file, 0, b"%d" % index * 4096)
        await pool.snapshots.create("main", "then")
        await volume.rename(volume.root, b"folder", volume.root, b"away")
    outcomes = []

    async def one(volume: Volume) -> None:
        try:
            outcomes.append(await restore(volume, "folder"))
        except AlreadyExists:
            outcomes.append(0)

    async with open_pool(
        tmp_path / "pool", owner="test"
    ) as pool:  # with cold caches, so that it waits for the disk
        volume = pool.volume("main")
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(one, volume)
        assert sorted(outcomes) == [0, 0, 0, 21]
        assert await names(volume) == [b"away", b"folder"]
        found = await volume.lookup(volume.root, b"folder")
        assert len(await volume.list_directory(found.number)) == 20
        assert await pool.check() == []


async def test_a_restore_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        await fill(pool.volume("main"))
        await pool.snapshots.create("main", "then")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        with trio.CancelScope() as scope:
            scope.cancel()  # felt where it first waits, which is for a leaf of the disk
            await restore(volume, "folder", "back")
        assert scope.cancelled_caught
        assert await names(volume) == [b"Link", b"folder", b"symlink"]
        assert await pool.check() == []


async def test_a_snapshot_that_is_deleted_meanwhile(volume: Volume) -> None:
    """The restore fails or is whole, and leaves nothing else behind."""
    async with changed_since(volume):
        data = random.Random(1).randbytes(LEAF_BYTES + 100_000)

        async def delete() -> None:
            await volume.pool.snapshots.delete("main", "then")

        outcome = "whole"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(delete)
            try:
                await restore(volume, "folder")
            except VolumeError as error:
                outcome = type(error).__name__
        await volume.pool.settle()
        if outcome == "whole":
            folder = await volume.lookup(volume.root, b"folder")
            disk = await volume.lookup(folder.number, b"disk")
            assert bytes(await volume.read(disk, 0, len(data))) == data
        else:
            assert outcome in ("Stale", "NotFound")
            assert await names(volume) == [b"Link", b"symlink"]


async def test_a_tree_that_is_deeper_than_a_path_is_long(volume: Volume) -> None:
    depth, parent = 1500, volume.root
    for _ in range(depth):
        parent = (await volume.create(parent, b"d", 0o40755, 0, 0)).number
    await volume.pool.snapshots.create("main", "then")
    assert await restore(volume, "d", "back") == depth
    await restore(volume, "d/d/d", "back", replace=True)
    assert await names(volume) == [b"back", b"d"]
    assert volume.pool.statistics().inodes == 1 + depth + depth - 2
    assert await volume.pool.check() == []


async def test_what_a_client_uses_is_not_replaced(volume: Volume) -> None:
    async with changed_since(volume):
        folder = await volume.create(volume.root, b"folder", 0o40755, 0, 0)
        used = await volume.create(folder.number, b"used", 0o644, 0, 0)
        volume.pool.is_in_use = lambda number: number == used.number
        for path, to in (("folder", "folder"), ("folder/disk", "folder/used")):
            with pytest.raises(SharingViolation):
                await restore(volume, path, to, replace=True)
        assert [entry.name for entry in await volume.list_directory(folder.number)] == [b"used"]
        volume.pool.is_in_use = lambda number: False
        await restore(volume, "folder", replace=True)
        assert await names(volume) == [b"Link", b"folder", b"symlink"]


async def test_no_entry_of_a_root_is_called_as_the_folder_of_snapshots(volume: Volume) -> None:
    """The mount would show its snapshots in its place."""
    name = b".snapshots"
    folder = await volume.create(volume.root, b"folder", 0o40755, 0, 0)
    file = await volume.create(folder.number, name, 0o644, 0, 0)
    with pytest.raises(AlreadyExists):
        await volume.create(volume.root, name, 0o644, 0, 0)
    with pytest.raises(AlreadyExists):
        await volume.link(file, volume.root, name)
    for flags in RenameFlags.NONE, RenameFlags.NOREPLACE, RenameFlags.EXCHANGE:
        with pytest.raises(AlreadyExists):
            await volume.rename(folder.number, name, volume.root, name, flags)
    assert await names(volume) == [b"folder"]


async def test_a_restored_file_is_durable(volume: Volume) -> None:
    async with changed_since(volume):
        await restore(volume, "folder/disk", "back")
        commits = volume.pool.statistics().commits
        await volume.pool.commit()
        assert volume.pool.statistics().commits == commits  # nothing was left to commit
