"""Several volumes in one pool: made empty, made out of a snapshot without moving data, deleted with all that they hold."""

from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.errors import AlreadyExists, InvalidArgument, NotEmpty, NotFound, SharingViolation, Stale
from odxfs.types import LEAF_BYTES
from odxfs.volume import Pool, Volume, check_directory, create_pool, open_pool
from tests.volume.copying import copy_pool
from tests.volume.test_snapshots import change_everything, fill, remove_everything, settle, tree_of


async def given_back(pool: Pool) -> None:
    await pool.volumes.deletion.settle()
    await settle(pool)


async def test_volumes_are_trees_of_their_own_in_one_store(volume: Volume) -> None:
    pool = volume.pool
    await fill(volume)
    await pool.volumes.create("other")
    other = pool.volume("other")
    assert await tree_of(other) == {}
    await fill(other)
    assert pool.volume_names == ["main", "other"]
    source = await volume.lookup(volume.root, b"Link")
    copy = await other.create(other.root, b"copy", 0o644, 0, 0)
    assert await other.clone_range(source, 0, copy, 0, source.size) == source.size
    assert bytes(await other.read(copy, 0, 5000)) == bytes(await volume.read(source, 0, 5000))
    with pytest.raises(NotFound):
        await other.inode(source.number)
    with pytest.raises(AlreadyExists):
        await pool.volumes.create("other")
    assert await pool.check() == []


async def test_a_clone_is_the_snapshot_and_shares_its_data(volume: Volume) -> None:
    pool = volume.pool
    await fill(volume)
    before = await tree_of(volume)
    await pool.snapshots.create("main", "s")
    await change_everything(volume)
    changed = await tree_of(volume)
    used = pool.statistics().allocated_bytes
    await pool.volumes.clone("clone", "main", "s")
    clone = pool.volume("clone")
    assert await tree_of(clone) == before
    assert pool.statistics().allocated_bytes == used
    assert await pool.check(read_data=True) == []
    await change_everything(clone)
    assert await tree_of(volume) == changed
    assert await tree_of(pool.snapshot_volume("main", "s")) == before
    assert await pool.check(read_data=True) == []


async def test_clones_and_snapshots_go_in_any_order_and_leave_nothing(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        volume = pool.volume("main")
        await fill(volume)
        before = await tree_of(volume)
        await pool.snapshots.create("main", "s")
        await pool.volumes.clone("clone", "main", "s")
        await pool.snapshots.create("clone", "of the clone")
        await pool.snapshots.delete("main", "s")
        await remove_everything(volume)
        with pytest.raises(NotEmpty):
            await pool.volumes.delete("clone")
        await change_everything(pool.volume("clone"))
        await given_back(pool)
        assert await pool.check() == []
        assert await tree_of(pool.snapshot_volume("clone", "of the clone")) == before
        await pool.volumes.clone("clone of the clone", "clone", "of the clone")
        await pool.snapshots.delete("clone", "of the clone")
        await pool.volumes.delete("clone")
        await given_back(pool)
        assert await pool.check() == []
        assert pool.volume_names == ["clone of the clone", "main"]
    assert await check_directory(tmp_path / "pool", read_data=True) == []
    async with open_pool(tmp_path / "pool", owner="second") as pool:
        assert await tree_of(pool.volume("clone of the clone")) == before
        await pool.volumes.delete("clone of the clone")
        await given_back(pool)
        assert pool.statistics().allocated_bytes == 0
        assert await pool.check() == []


async def test_a_clone_that_was_not_made_to_the_end_goes_away(tmp_path: Path) -> None:
    """The power goes between two of the parts in which it is made, or the snapshot is deleted meanwhile."""
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        volume = pool.volume("main")
        for index in range(600):
            inode = await volume.create(volume.root, b"%d" % index, 0o644, 0, 0)
            await volume.write(inode, 0, b"x" * 4096)
        await pool.snapshots.create("main", "s")
        past_range, reads, half_way, go_on = pool.engine.past_range, [0], trio.Event(), trio.Event()

        async def waiting_in_the_middle(*arguments: Any) -> Any:
            reads[0] += 1
            if reads[0] == 6:
                half_way.set()
                await go_on.wait()
            return await past_range(*arguments)

        pool.engine.past_range = waiting_in_the_middle  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:

            async def clone() -> None:
                with pytest.raises(Stale):
                    await pool.volumes.clone("clone", "main", "s")

            nursery.start_soon(clone)
            await half_way.wait()
            await pool.commit()
            assert await pool.check() == [], "the part that is there is no finding"
            copy_pool(tmp_path / "pool", tmp_path / "cut")
            await pool.snapshots.delete("main", "s")
            go_on.set()
        await given_back(pool)
        assert pool.volume_names == ["main"]
        assert await pool.check() == []
    assert await check_directory(tmp_path / "pool") == []
    async with open_pool(tmp_path / "cut", owner="after the cut") as pool:
        await given_back(pool)
        assert pool.volume_names == ["main"]
        assert await pool.check() == []
        await pool.volumes.clone("clone", "main", "s")
        assert await tree_of(pool.volume("clone")) == await tree_of(pool.volume("main"))


async def test_a_volume_in_use_or_the_last_one_is_not_deleted(volume: Volume) -> None:
    pool = volume.pool
    with pytest.raises(InvalidArgument):
        await pool.volumes.delete("main")
    await pool.volumes.create("other")
    other = pool.volume("other")
    inode = await other.create(other.root, b"a", 0o644, 0, 0)
    await other.write(inode, 0, b"x" * LEAF_BYTES)
    other.hold(inode)
    with pytest.raises(SharingViolation):
        await pool.volumes.delete("other")
    await other.release(inode)
    await pool.volumes.delete("other")
    await given_back(pool)
    assert pool.statistics().allocated_bytes == 0
    with pytest.raises(NotFound):
        pool.volume("other")
