"""Snapshots of a volume: a point in time of names and bytes, which costs nothing to make and gives back what it held."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.errors import (
    AlreadyExists,
    InvalidArgument,
    NoSpace,
    NotFound,
    ReadOnly,
    SharingViolation,
    Stale,
    StoreFailed,
)
from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import (
    AttributeChange,
    Pool,
    Snapshot,
    SnapshotAdded,
    SnapshotRemoved,
    Volume,
    check_directory,
    create_pool,
    leaf,
    open_pool,
)
from odxfs.volume.catalog.interface import PAST
from odxfs.volume.snapshots import restoring


async def tree_of(volume: Volume) -> dict[bytes, object]:
    """Everything that can be read: path -> what is there."""
    found: dict[bytes, object] = {}

    async def visit(number: int, path: bytes) -> None:
        for entry in await volume.list_directory(number):  # type: ignore[arg-type]
            inode = await volume.inode(entry.number)
            here = path + b"/" + entry.name
            attributes = {
                name: await volume.get_xattr(inode, name) for name in await volume.list_xattrs(inode)
            }
            times = (inode.mtime_ns, inode.ctime_ns)
            if inode.is_directory:
                found[here] = (inode.mode, attributes, times)
                await visit(entry.number, here)
            else:
                data = bytes(await volume.read(inode, 0, inode.size)) if inode.is_file else inode.target
                found[here] = (inode.mode, inode.nlink, attributes, times, inode.size, data)
            assert (await volume.lookup(number, entry.name)).number == entry.number  # type: ignore[arg-type]

    await visit(volume.root, b"")
    return found


async def fill(volume: Volume) -> None:
    folder = await volume.create(volume.root, b"folder", 0o40755, 0, 0)
    disk = await volume.create(folder.number, b"disk", 0o644, 1, 2)
    await volume.write(disk, 0, random.Random(1).randbytes(LEAF_BYTES + 100_000))
    await volume.truncate(disk, 5 * LEAF_BYTES)
    await volume.set_xattr(disk, b"user.a", b"1")
    await volume.link(disk, volume.root, b"Link")
    await volume.create(volume.root, b"symlink", 0o120777, 0, 0, target=b"folder/disk")


async def change_everything(volume: Volume) -> None:
    folder = await volume.lookup(volume.root, b"folder")
    disk = await volume.lookup(folder.number, b"disk")
    await volume.write(disk, 4096, b"new" * 5000)
    await volume.write(disk, 2 * LEAF_BYTES, b"where a hole was")
    await volume.deallocate(disk, 0, 4096)
    await volume.set_xattr(disk, b"user.a", b"2")
    await volume.set_xattr(disk, b"user.b", b"3")
    await volume.set_attributes(disk, AttributeChange(mode=0o600))
    await volume.unlink(volume.root, b"Link")
    await volume.rename(volume.root, b"folder", volume.root, b"Moved")
    await volume.unlink(volume.root, b"symlink")
    other = await volume.create(volume.root, b"other", 0o644, 0, 0)
    await volume.clone_range(disk, 0, other, 0, LEAF_BYTES)


async def remove_everything(volume: Volume, number: int = 0) -> None:
    number = number or volume.root
    for entry in await volume.list_directory(number):  # type: ignore[arg-type]
        if entry.kind == 0o040000:
            await remove_everything(volume, entry.number)
            await volume.rmdir(number, entry.name)  # type: ignore[arg-type]
        else:
            await volume.unlink(number, entry.name)  # type: ignore[arg-type]


def past(pool: Pool, snapshot: Snapshot) -> Volume:
    return pool.snapshot_volume("main", snapshot.name)


async def settle(pool: Pool) -> None:
    await pool.snapshots.deletion.settle()
    while pool.references.dead or pool.space.held_blocks:
        await pool.commit()


async def test_no_two_snapshots_of_a_volume_are_of_one_second(volume: Volume) -> None:
    """Also when the clock goes back; other volumes and snapshots that are gone do not count."""
    pool, second = volume.pool, 1_000_000_000
    made = []
    for name, now in (("a", 100.25), ("b", 100.75), ("c", 102.5), ("d", 100.0), ("e", 101.999), ("f", 99.5)):
        pool.clock = lambda now=now: int(now * second)  # type: ignore[misc]
        made.append((await pool.snapshots.create("main", name)).created_ns)
    assert made == [int(at * second) for at in (100.25, 101, 102.5, 103, 104, 99.5)]
    await pool.volumes.create("other")
    pool.clock = lambda: 100 * second
    assert (await pool.snapshots.create("other", "a")).created_ns == 100 * second
    await pool.snapshots.delete("main", "a")
    await settle(pool)
    assert (await pool.snapshots.create("main", "a")).created_ns == 100 * second


async def test_a_snapshot_holds_the_tree_as_it_was(volume: Volume) -> None:
    pool = volume.pool
    await fill(volume)
    before = await tree_of(volume)
    first = await pool.snapshots.create("main", "first")
    assert await tree_of(past(pool, first)) == before
    await change_everything(volume)
    assert await tree_of(past(pool, first)) == before, "changes that are not committed show"
    assert await pool.check() == []
    between = await tree_of(volume)
    second = await pool.snapshots.create("main", "second")
    await remove_everything(volume)
    await pool.commit()
    assert await pool.check(read_data=True) == []
    assert await tree_of(volume) == {}
    assert await tree_of(past(pool, first)) == before
    assert await tree_of(past(pool, second)) == between
    assert [snapshot.name for snapshot in pool.snapshots.of("main")] == ["first", "second"]
    assert (first.inodes, second.inodes) == (4, 4)


async def test_an_inode_of_a_snapshot_is_taken_for_no_other(volume: Volume) -> None:
    pool = volume.pool
    await fill(volume)
    views = [past(pool, await pool.snapshots.create("main", name)) for name in ("a", "b")]
    live = await volume.lookup(volume.root, b"Link")
    seen = [await view.lookup(view.root, b"Link") for view in views]
    assert len({live.number, *(inode.number for inode in seen)}) == 3
    assert len({volume.root, *(view.root for view in views)}) == 3
    assert [pool.snapshots.seen_in(inode.number).name for inode in seen] == ["a", "b"]  # type: ignore[union-attr]
    assert pool.snapshots.seen_in(live.number) is None
    folder = await views[0].lookup(views[0].root, b"folder")
    assert await views[0].parent_of(folder.number) == views[0].root
    assert sorted(await views[0].names_of(seen[0].number)) == sorted(
        [(views[0].root, b"Link"), (folder.number, b"disk")]
    )
    await pool.snapshots.delete("main", "a")
    assert pool.snapshots.seen_in(seen[0].number) is None


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0), (0, 2, 1)])
async def test_deleting_snapshots_in_any_order_gives_everything_back(
    volume: Volume, order: tuple[int, ...]
) -> None:
    pool = volume.pool
    await fill(volume)
    snapshots, trees = [], []
    for index in range(3):
        snapshots.append(await pool.snapshots.create("main", f"s{index}"))
        trees.append(await tree_of(volume))
        await change_everything(volume) if index == 0 else await write_some(volume, index)
    await remove_everything(volume)
    left = {0, 1, 2}
    for number in order:
        left.discard(number)
        await pool.snapshots.delete("main", f"s{number}")
        await write_some(volume, 50 + number)
        await settle(pool)
        assert await pool.check() == []
        for index in left:
            assert await tree_of(past(pool, snapshots[index])) == trees[index], f"snapshot {index}"
    await remove_everything(volume)
    await settle(pool)
    assert await pool.check() == []
    assert pool.statistics().allocated_bytes == 0


async def write_some(volume: Volume, seed: int) -> None:
    name = b"more%d" % (seed % 4)
    try:
        inode = await volume.lookup(volume.root, name)
    except NotFound:
        inode = await volume.create(volume.root, name, 0o644, 0, 0)
    choose = random.Random(seed)
    await volume.write(inode, choose.randrange(LEAF_BYTES), choose.randbytes(200_000))


async def test_a_snapshot_survives_a_reopening_and_a_kill(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        await fill(pool.volume("main"))
        before = await tree_of(pool.volume("main"))
        snapshot = await pool.snapshots.create("main", "kept")
        await change_everything(pool.volume("main"))
        now = await tree_of(pool.volume("main"))
    assert await check_directory(tmp_path / "pool", read_data=True) == []
    async with open_pool(tmp_path / "pool", owner="second") as pool:
        assert pool.snapshots.of("main") == [snapshot]
        assert await tree_of(past(pool, snapshot)) == before
        assert await tree_of(pool.volume("main")) == now
        await remove_everything(pool.volume("main"))
        await pool.snapshots.delete("main", "kept")
        # Closed in the middle of the deletion, maybe: the next owner goes on.
    async with open_pool(tmp_path / "pool", owner="third") as pool:
        await settle(pool)
        assert pool.statistics().allocated_bytes == 0
        assert await pool.check() == []


async def test_nothing_in_a_snapshot_can_be_changed(volume: Volume) -> None:
    pool = volume.pool
    await fill(volume)
    view = past(pool, await pool.snapshots.create("main", "s"))
    link = await view.lookup(view.root, b"Link")
    for change in (
        view.create(view.root, b"new", 0o644, 0, 0),
        view.unlink(view.root, b"Link"),
        view.rmdir(view.root, b"folder"),
        view.rename(view.root, b"Link", view.root, b"b"),
        view.link(link, view.root, b"c"),
        view.write(link, 0, b"x"),
        view.truncate(link, 0),
        view.deallocate(link, 0, 4096),
        view.set_attributes(link, AttributeChange(mode=0)),
        view.set_xattr(link, b"user.a", b""),
        view.remove_xattr(link, b"user.a"),
        view.clone_range(link, 0, link, LEAF_BYTES, 4096),
        volume.write(link, 0, b"x"),  # through the wrong door
        volume.truncate(link, 0),
        volume.clone_range(link, 0, link, LEAF_BYTES, 4096),
    ):
        with pytest.raises(ReadOnly):
            await change
    with pytest.raises(ReadOnly):
        view.write_nowait(link, 0, b"x")
    assert await tree_of(view) == await tree_of(volume)


async def test_a_token_and_a_clone_out_of_a_snapshot(volume: Volume) -> None:
    pool = volume.pool
    await fill(volume)
    snapshot = await pool.snapshots.create("main", "s")
    live = await volume.lookup(volume.root, b"Link")
    held = bytes(await volume.read(live, 0, live.size))
    await volume.write(live, 0, b"overwritten" * 1000)
    view = past(pool, snapshot)
    old = await view.lookup(view.root, b"Link")
    pin = await view.capture(old, 0, LEAF_BYTES)
    copy = await volume.create(volume.root, b"copy", 0o644, 0, 0)
    shared = await volume.clone_range(old, 0, copy, 0, old.size)
    assert shared == old.size
    await pool.snapshots.delete("main", "s")
    await settle(pool)
    assert bytes(await pool.read_pin(pin, 0, LEAF_BYTES)) == held[:LEAF_BYTES]
    assert bytes(await volume.read(copy, 0, copy.size)) == held
    assert await pool.check() == []
    pool.release_pin(pin)


async def test_a_clone_that_changes_no_reference_is_told_from_none(volume: Volume) -> None:
    pool = volume.pool
    await fill(volume)
    view = past(pool, await pool.snapshots.create("main", "s"))
    old, new = await view.lookup(view.root, b"Link"), await volume.lookup(volume.root, b"Link")
    await volume.clone_range(old, 0, new, 0, LEAF_BYTES)
    await pool.commit()
    await remove_everything(volume)
    await pool.snapshots.delete("main", "s")
    await settle(pool)
    assert await pool.check() == []
    assert pool.statistics().allocated_bytes == 0


async def test_whoever_reads_in_a_deleted_snapshot_is_told(volume: Volume) -> None:
    pool = volume.pool
    await fill(volume)
    view = past(pool, await pool.snapshots.create("main", "s"))
    link = await view.lookup(view.root, b"Link")
    await view.read(link, 0, 4096)
    await remove_everything(volume)
    await pool.snapshots.delete("main", "s")
    await settle(pool)
    for reading in (
        view.read(link, 0, 4096),
        view.lookup(view.root, b"Link"),
        view.list_directory(view.root),
        view.capture(link, 0, 4096),
        view.allocated_ranges(link, 0, LEAF_BYTES),
        view.next_data(link, 0),
        view.get_xattr(link, b"user.a"),
    ):
        with pytest.raises(Stale):
            await reading
    with pytest.raises(Stale):
        view.read_nowait(link, 0, 4096)
    with pytest.raises(NotFound):
        past(pool, view.snapshot)  # type: ignore[attr-defined]


@pytest.mark.parametrize("form", ["runs", "dense"])
async def test_a_deletion_frees_no_block_that_the_changed_file_still_has(
    volume: Volume, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "dense":
        monkeypatch.setattr(leaf, "MAX_RUNS", 3)
        monkeypatch.setattr(leaf, "_REJOIN_RUNS", 2)
    pool = volume.pool
    disk = await volume.create(volume.root, b"disk", 0o644, 0, 0)
    for block in range(0, 16, 2):
        await volume.write(disk, block * BLOCK_BYTES, b"before")
    snapshot = await pool.snapshots.create("main", "before")
    for block in (2, 3, 8):
        await volume.write(disk, block * BLOCK_BYTES, b"after")
    used = pool.statistics().allocated_bytes
    assert await pool.snapshots.held_bytes(snapshot) == 2 * BLOCK_BYTES
    await pool.snapshots.delete("main", "before")
    await settle(pool)
    assert pool.statistics().allocated_bytes == used - 2 * BLOCK_BYTES


async def test_what_a_deletion_would_free_is_what_it_frees(volume: Volume) -> None:
    pool = volume.pool
    await fill(volume)
    first = await pool.snapshots.create("main", "first")
    assert await pool.snapshots.held_bytes(first) == 0
    await remove_everything(volume)
    second = await pool.snapshots.create("main", "second")
    await pool.commit()
    used = pool.statistics().allocated_bytes
    assert await pool.snapshots.held_bytes(first) == used > LEAF_BYTES
    assert await pool.snapshots.held_bytes(second) == 0
    await pool.snapshots.delete("main", "second")
    await settle(pool)
    assert pool.statistics().allocated_bytes == used
    await pool.snapshots.delete("main", "first")
    await settle(pool)
    assert pool.statistics().allocated_bytes == 0


async def test_a_name_is_used_once_and_events_tell(volume: Volume) -> None:
    pool = volume.pool
    events: list[object] = []
    pool.add_observer(events.append)
    snapshot = await pool.snapshots.create("main", "daily")
    with pytest.raises(AlreadyExists):
        await pool.snapshots.create("main", "daily")
    for bad in ("", ".", "..", "a/b", "a\nb"):
        with pytest.raises(InvalidArgument):
            await pool.snapshots.create("main", bad)
    with pytest.raises(NotFound):
        await pool.snapshots.create("other", "daily")
    with pytest.raises(NotFound):
        await pool.snapshots.delete("main", "weekly")
    await pool.snapshots.delete("main", "daily")
    assert events == [
        SnapshotAdded(snapshot.volume, "", snapshot.id, "daily"),
        SnapshotRemoved(snapshot.volume, "", snapshot.id, "daily"),
    ]
    again = await pool.snapshots.create("main", "daily")
    assert again.id > snapshot.id


async def test_an_open_file_without_a_name_lives_on_in_the_snapshot_only(
    volume: Volume,
) -> None:
    pool = volume.pool
    inode = await volume.create(volume.root, b"a", 0o644, 0, 0)
    await volume.write(inode, 0, b"x" * LEAF_BYTES)
    volume.hold(inode)
    await volume.unlink(volume.root, b"a")
    await pool.snapshots.create("main", "s")
    await volume.release(inode)
    await pool.commit()
    assert await pool.check() == []
    await pool.snapshots.delete("main", "s")
    await settle(pool)
    assert pool.statistics().allocated_bytes == 0
    assert await pool.check() == []


async def test_making_a_snapshot_costs_no_more_for_a_big_volume(volume: Volume) -> None:
    pool = volume.pool
    for index in range(200):
        inode = await volume.create(volume.root, b"%d" % index, 0o644, 0, 0)
        await volume.write(inode, 0, b"x" * 4096)
    await pool.commit()
    await pool.snapshots.create("main", "s")
    for table in PAST.values():
        assert await pool.view.range(table, (0,), (1 << 62,)) == []


async def test_a_volume_goes_back_to_a_snapshot_and_later_ones_stay(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        volume = pool.volume("main")
        await fill(volume)
        nameless = await volume.create(volume.root, b"nameless", 0o644, 0, 0)
        await volume.write(nameless, 0, b"x" * 100_000)
        volume.hold(nameless)
        await volume.unlink(volume.root, b"nameless")
        first = await pool.snapshots.create("main", "first")
        before = await tree_of(volume)
        await volume.release(nameless)
        await change_everything(volume)
        second = await pool.snapshots.create("main", "second")
        between = await tree_of(volume)
        await remove_everything(volume)
        await write_some(volume, 1)
    async with open_pool(tmp_path / "pool", owner="second") as pool:
        volume = pool.volume("main")
        held = await volume.lookup(volume.root, b"more1")
        volume.hold(held)
        with pytest.raises(SharingViolation):
            await pool.snapshots.restore("main", "first")
        await volume.release(held)
        await pool.snapshots.restore("main", "first")
        assert await tree_of(pool.volume("main")) == before
        await pool.namespace.orphans.settle()
        assert await pool.check(read_data=True) == []
        assert await tree_of(past(pool, second)) == between
        await write_some(pool.volume("main"), 2)
        await pool.snapshots.restore("main", "second")
        assert await tree_of(pool.volume("main")) == between
        assert await tree_of(past(pool, first)) == before
        assert await pool.check(read_data=True) == []
        await remove_everything(pool.volume("main"))
        await pool.snapshots.delete("main", "first")
        await pool.snapshots.delete("main", "second")
        await settle(pool)
        assert pool.statistics().allocated_bytes == 0
    assert await check_directory(tmp_path / "pool") == []


async def test_a_snapshot_that_no_commit_could_make_leaves_nothing(
    tmp_path: Path, expect_log: Callable[[str], None]
) -> None:
    """What was changed before and after it can no longer be told apart, so it is given up, and what it kept comes back."""
    expect_log("the disk is full")
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        volume = pool.volume("main")
        await fill(volume)
        older = await pool.snapshots.create("main", "older")
        before = await tree_of(volume)
        commit, begun, go_on = pool.engine.commit, trio.Event(), trio.Event()

        async def without_room(*_changes: object, **_before: object) -> None:
            begun.set()
            await go_on.wait()
            raise NoSpace("no room")

        pool.engine.commit = without_room  # type: ignore[method-assign, assignment]
        pool.ballast.give_up()
        async with trio.open_nursery() as nursery:

            async def create() -> None:
                with pytest.raises(NoSpace):
                    await pool.snapshots.create("main", "lost")

            nursery.start_soon(create)
            await begun.wait()
            await change_everything(volume)  # behind the snapshot that will not be
            go_on.set()
        pool.engine.commit = commit  # type: ignore[method-assign]
        await pool.commit()
        await settle(pool)
        assert pool.snapshots.of("main") == [older]
        assert await tree_of(past(pool, older)) == before
        assert await pool.check() == []
        await remove_everything(volume)
        await pool.snapshots.delete("main", "older")
        await settle(pool)
        assert pool.statistics().allocated_bytes == 0
    assert await check_directory(tmp_path / "pool") == []


async def test_a_file_whose_deletion_failed_stays_after_a_restore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expect_log: Callable[[str], None]
) -> None:
    expect_log("cannot be given back yet")
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"file", 0o100644, 0, 0)
        await volume.write(inode, 0, b"data" * 4096)
        await pool.snapshots.create("main", "then")

        async def fail(_number: int) -> None:
            raise StoreFailed("injected")

        with monkeypatch.context() as failing:
            failing.setattr(pool.data, "discard", fail)
            await volume.unlink(volume.root, b"file")
        await pool.commit()
        await pool.snapshots.restore("main", "then")
    async with open_pool(tmp_path / "pool", owner="second") as pool:
        await pool.settle()
        volume = pool.volume("main")
        inode = await volume.lookup(volume.root, b"file")
        assert await volume.read(inode, 0, 8) == b"datadata"
        assert await pool.check(read_data=True) == []


async def test_a_restore_sees_what_was_committed_while_it_read(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = volume.pool
    inode = await volume.create(volume.root, b"file", 0o100644, 0, 0)
    await pool.snapshots.create("main", "then")
    await volume.write(inode, 0, b"more")
    read, calls = restoring._changed_since, list[Snapshot]()

    async def and_others_change(pool: Pool, snapshot: Snapshot) -> Any:
        found = await read(pool, snapshot)
        calls.append(snapshot)
        if len(calls) == 1:
            await volume.create(volume.root, b"new", 0o100644, 0, 0)
            await pool.commit()
        return found

    monkeypatch.setattr(restoring, "_changed_since", and_others_change)
    await pool.snapshots.restore("main", "then")
    assert await pool.check() == []
    assert [entry.name for entry in await volume.list_directory(volume.root)] == [b"file"]
