"""Volumes and snapshots that go, come or go back while something else is under way."""

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.errors import AttributeTooLarge, InvalidArgument, NotEmpty, NotFound, Stale, VolumeError
from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import AttributeChange, Volume, create_pool, open_pool
from odxfs.volume.blocks.files import Files
from odxfs.volume.blocks.segments import Segments
from odxfs.volume.blocks.threads import DiskThreads
from odxfs.volume.catalog.interface import Changes, Preserving
from odxfs.volume.catalog.sqlite import SqliteEngine
from odxfs.volume.snapshots.snapshot_volume import SnapshotVolume
from tests.volume.test_interleavings import Gate, at_gate

FILE, DIRECTORY, LINK, MIB = 0o100644, 0o040755, 0o120777, 1 << 20


def sync_at_gate(monkeypatch: pytest.MonkeyPatch, gate: Gate, seconds: float = 0.0) -> None:
    """Let the next commit wait at the gate, where it has taken what had changed."""
    sync = Files.sync

    def slow(files: Files, descriptor: int) -> None:
        gate.pass_through()
        time.sleep(seconds)
        sync(files, descriptor)

    monkeypatch.setattr(Files, "sync", slow)


async def turns(count: int) -> None:
    """Let others go on as far as they can."""
    for _ in range(count):
        await trio.lowlevel.checkpoint()


async def sound(volume: Volume) -> None:
    """Nothing is wrong once all that goes on in the background has ended."""
    await volume.pool.settle()
    assert [str(finding) for finding in await volume.pool.check(read_data=True)] == []


async def written(volume: Volume, name: bytes, data: bytes) -> Any:
    inode = await volume.create(volume.root, name, FILE, 0, 0)
    await volume.write(inode, 0, data)
    return inode


async def outcome(call: Callable[[], Awaitable[object]], results: list[object]) -> None:
    try:
        results.append(await call())
    except VolumeError as error:
        results.append(error)


async def test_deleting_a_clone_beside_a_commit_leaves_the_original(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, data, gate = volume.pool, os.urandom(64 * BLOCK_BYTES), Gate()
    file = await written(volume, b"f", data)
    await pool.snapshots.create("main", "s")
    await pool.volumes.clone("twin", "main", "s")
    await pool.snapshots.delete("main", "s")
    await pool.settle()
    twin = pool.volume("twin")
    sync_at_gate(monkeypatch, gate)
    async with trio.open_nursery() as nursery:
        with gate:
            await written(volume, b"h", b"z" * BLOCK_BYTES)
            nursery.start_soon(pool.commit)
            await gate.reached()
            await twin.write(await twin.lookup(twin.root, b"f"), 0, b"y" * BLOCK_BYTES)
            nursery.start_soon(pool.volumes.delete, "twin")
            await turns(100)
    await sound(volume)
    assert bytes(await volume.read(file, 0, len(data))) == data


@pytest.mark.parametrize("stage", ["wanted", "being made"])
async def test_a_volume_stays_while_a_snapshot_of_it_is_made(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    pool, gate, results = volume.pool, Gate(), list[object]()
    await pool.volumes.create("other")
    await written(volume if stage == "wanted" else pool.volume("other"), b"f", b"z" * BLOCK_BYTES)
    sync_at_gate(monkeypatch, gate)
    async with trio.open_nursery() as nursery:
        with gate:
            if stage == "wanted":
                nursery.start_soon(pool.commit)
                await gate.reached()
            nursery.start_soon(pool.snapshots.create, "other", "s")
            if stage == "being made":
                await gate.reached()
            await turns(3)
            nursery.start_soon(outcome, lambda: pool.volumes.delete("other"), results)
            await turns(20)
    assert isinstance(results[0], NotEmpty)
    assert [snapshot.name for snapshot in pool.snapshots.of("other")] == ["s"]
    await sound(volume)


async def test_going_back_takes_no_notice_of_what_came_and_went_meanwhile(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, data, gate = volume.pool, os.urandom(64 * BLOCK_BYTES), Gate()
    file = await written(volume, b"f", data)
    await pool.snapshots.create("main", "s")
    sync_at_gate(monkeypatch, gate)
    async with trio.open_nursery() as nursery:
        with gate:
            await written(volume, b"x", b"m" * BLOCK_BYTES)
            await volume.write(file, 0, b"1" * BLOCK_BYTES)
            nursery.start_soon(pool.snapshots.restore, "main", "s")
            await gate.reached()
            volume.hold(file)
            await volume.write(file, BLOCK_BYTES, b"2" * BLOCK_BYTES)
            await volume.write(file, LEAF_BYTES, b"2" * BLOCK_BYTES)
            await volume.release(file)
    await sound(volume)
    file = await volume.lookup(volume.root, b"f")
    assert bytes(await volume.read(file, 0, file.size)) == data


async def test_nothing_goes_back_to_a_snapshot_that_is_deleted_meanwhile(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, data, gate, results = volume.pool, os.urandom(64 * BLOCK_BYTES), Gate(), list[object]()
    file = await written(volume, b"f", data)
    await pool.snapshots.create("main", "s")
    await volume.write(file, 0, b"n" * len(data))
    await volume.create(volume.root, b"g", FILE, 0, 0)
    await pool.snapshots.create("main", "t")
    await volume.write(file, 0, b"m" * len(data))
    await pool.commit()
    sync_at_gate(monkeypatch, gate, 0.2)
    async with trio.open_nursery() as nursery:
        with gate:
            other = await written(volume, b"x", b"m" * BLOCK_BYTES)
            nursery.start_soon(pool.commit)
            await gate.reached()
            await volume.write(other, 0, b"m" * BLOCK_BYTES)
            nursery.start_soon(outcome, lambda: pool.snapshots.restore("main", "s"), results)
            await turns(2)
            nursery.start_soon(pool.snapshots.delete, "main", "s")
            await turns(50)
    assert isinstance(results[0], NotFound)
    await sound(volume)
    assert bytes(await volume.read(file, 0, len(data))) == b"m" * len(data)


async def test_an_abandoned_write_ends_before_the_pool_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_pool(tmp_path / "pool")
    gate, write = Gate(), Segments.write

    def slow(segments: Segments, place: int, buffers: Any) -> None:
        if sum(map(len, buffers)) >= MIB:
            gate.pass_through()
        write(segments, place, buffers)

    closed = trio.Event()

    async def abandon_a_write() -> None:
        async with open_pool(tmp_path / "pool", owner="test") as pool:
            volume = pool.volume("main")
            file = await volume.create(volume.root, b"f", FILE, 0, 0)
            monkeypatch.setattr(Segments, "write", slow)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(volume.write, file, 0, b"o" * (2 * MIB))
                await gate.reached()
                nursery.cancel_scope.cancel()
        closed.set()

    with gate:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(abandon_a_write)
            await gate.reached()
            with trio.move_on_after(0.5):
                await closed.wait()
            assert not closed.is_set()
            gate.open()
    monkeypatch.undo()
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        await volume.write(await volume.lookup(volume.root, b"f"), 0, b"n" * (4 * MIB))
        await pool.commit()
        await sound(volume)


async def test_a_large_write_that_may_not_grow_the_file_leaves_it_cut_off(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, gate = await written(volume, b"f", b"a" * (4 * MIB)), Gate()
    at_gate(monkeypatch, gate)

    async def write() -> None:
        await volume.write(file, 0, b"b" * (2 * MIB), may_grow=False)

    async with trio.open_nursery() as nursery:
        with gate:
            nursery.start_soon(write)
            await gate.reached()
            await volume.truncate(file, 5000)
    assert file.size == 5000
    assert bytes(await volume.read(file, 0, 6000)) == b"b" * 5000


async def test_so_does_a_copy_on_a_slow_disk(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    source, file = await written(volume, b"s", b"s" * MIB), await written(volume, b"f", b"a" * MIB)
    pin, gate, write = await volume.capture(source, 0, MIB), Gate(), Files.write

    def slow(files: Files, descriptor: int, buffers: Any, offset: int) -> None:
        if len(buffers[0]) >= 200_000:
            gate.pass_through()
        write(files, descriptor, buffers, offset)

    monkeypatch.setattr(Files, "write", slow)
    monkeypatch.setattr(DiskThreads, "is_slow", property(lambda _: True))

    async def copy() -> None:
        await volume.write_pin(file, 0, pin, 512, 600_000, may_grow=False)

    async with trio.open_nursery() as nursery:
        with gate:
            nursery.start_soon(copy)
            await gate.reached()
            await volume.truncate(file, 0)
    assert file.size == 0


def hold_the_look_for(
    monkeypatch: pytest.MonkeyPatch, volume: Volume, wanted: bytes
) -> tuple[trio.Event, trio.Event]:
    """Whoever looks for that name waits behind it: (he does, he may go on)."""
    directories, there, go = volume.pool.namespace.directories, trio.Event(), trio.Event()
    find = directories.find

    async def slow(directory: Any, name: bytes) -> Any:
        found = await find(directory, name)
        if name == wanted:
            there.set()
            await go.wait()
        return found

    monkeypatch.setattr(directories, "find", slow)
    return there, go


async def test_nothing_is_made_in_a_volume_that_is_deleted_meanwhile(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, results = volume.pool, list[object]()
    await pool.volumes.create("other")
    other = pool.volume("other")
    await written(other, b"f", b"data")
    await pool.commit()
    there, go = hold_the_look_for(monkeypatch, other, b"new")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome, lambda: other.create(other.root, b"new", FILE, 0, 0), results)
        await there.wait()
        await pool.volumes.delete("other")
        await pool.settle()
        go.set()
    assert isinstance(results[0], NotFound)
    await sound(volume)


async def test_what_becomes_a_directory_meanwhile_gets_no_second_name(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = await volume.create(volume.root, b"d", DIRECTORY, 0, 0)
    link = await volume.create(volume.root, b"f", LINK, 0, 0, target=b"t")
    results: list[object] = []
    there, go = hold_the_look_for(monkeypatch, volume, b"new")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome, lambda: volume.link(link, folder.number, b"new"), results)
        await there.wait()
        await volume.change_kind(link, DIRECTORY)
        go.set()
    assert isinstance(results[0], VolumeError)
    await sound(volume)


async def test_who_reads_in_a_snapshot_that_is_deleted_gets_nothing_of_now(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, file = volume.pool, await written(volume, b"f", b"o" * BLOCK_BYTES)
    await pool.snapshots.create("main", "s")
    view = pool.snapshot_volume("main", "s")
    seen = await view.lookup(view.root, b"f")
    await pool.commit()
    leaves, load = pool.windows.leaves, pool.windows.load_leaf
    for leaf in leaves._leaves.values():
        leaf.charged_bytes = 0
    leaves._leaves.clear()  # as if others had pushed them out
    leaves._logged.clear()
    leaves.weight_bytes = 0
    there, go, results = trio.Event(), trio.Event(), list[object]()

    async def slow(extents: Any, reference: Any) -> None:
        there.set()
        await go.wait()
        await load(extents, reference)

    monkeypatch.setattr(pool.windows, "load_leaf", slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome, lambda: view.read(seen, 0, BLOCK_BYTES), results)
        await there.wait()
        monkeypatch.undo()
        await pool.snapshots.delete("main", "s")
        await pool.snapshots.deletion.settle()
        await volume.write(file, 0, b"N" * BLOCK_BYTES)
        go.set()
    assert isinstance(results[0], Stale)


async def test_snapshots_of_two_volumes_may_have_one_name_at_one_time(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, gate = volume.pool, Gate()
    await pool.volumes.create("other")
    await written(volume, b"f", b"x" * 5000)
    sync_at_gate(monkeypatch, gate)
    async with trio.open_nursery() as nursery:
        with gate:
            nursery.start_soon(pool.snapshots.create, "main", "s")
            await gate.reached()
            nursery.start_soon(pool.snapshots.create, "other", "s")
            await turns(10)
    assert [snapshot.name for snapshot in pool.snapshots.of("other")] == ["s"]


async def test_a_descriptor_that_is_too_long_leaves_no_inode(volume: Volume) -> None:
    with pytest.raises(AttributeTooLarge):
        await volume.create(volume.root, b"f", FILE, 0, 0, security=b"x" * 70000)
    await sound(volume)


async def test_what_is_gone_gets_no_attributes(volume: Volume) -> None:
    file = await volume.create(volume.root, b"f", FILE, 0, 0)
    await volume.unlink(volume.root, b"f")
    for change in (
        lambda: volume.set_xattr(file, b"user.a", b"b"),
        lambda: volume.set_attributes(file, AttributeChange(security=b"sd")),
    ):
        results: list[object] = []
        await outcome(change, results)
        assert isinstance(results[0], VolumeError)
    await sound(volume)


async def test_a_copy_out_of_a_snapshot_that_is_removed_while_it_is_made_leaves_nothing(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, results = volume.pool, list[object]()
    folder = await volume.create(volume.root, b"d", DIRECTORY, 0, 0)
    file = await volume.create(folder.number, b"f", FILE, 0, 0)
    await volume.set_xattr(file, b"user.a", b"b")
    await volume.write(file, 0, b"x" * 5000)
    await pool.snapshots.create("main", "s")
    names, there, go = SnapshotVolume.list_xattrs, trio.Event(), trio.Event()

    async def slow(view: SnapshotVolume, inode: Any) -> Any:
        found = await names(view, inode)
        if found:
            there.set()
            await go.wait()
        return found

    monkeypatch.setattr(SnapshotVolume, "list_xattrs", slow)
    async with trio.open_nursery() as nursery:

        async def restore() -> object:
            return await pool.snapshots.restore_path("main", "s", "/d", "/e", replace=False)

        nursery.start_soon(outcome, restore, results)
        await there.wait()
        for entry in await volume.list_directory(volume.root):
            if entry.name.startswith(b".odxfs"):
                await volume.unlink(entry.number, b"f")
        go.set()
    assert isinstance(results[0], VolumeError)
    await sound(volume)


async def test_the_last_volume_keeps_its_persistent_opens(volume: Volume) -> None:
    file = await volume.create(volume.root, b"f", FILE, 0, 0)
    volume.pool.persistent_opens.put(1, file, b"x")
    with pytest.raises(InvalidArgument):
        await volume.pool.volumes.delete("main")
    assert 1 in volume.pool.persistent_opens
    await volume.pool.persistent_opens.remove(1)


async def test_a_volume_stays_until_its_deleted_snapshots_are_gone(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, gate, commit = volume.pool, Gate(), SqliteEngine.commit_blocking
    await pool.volumes.create("other")
    await pool.snapshots.create("other", "x")

    def gated(engine: SqliteEngine, changes: Changes, preserving: Preserving) -> None:
        gate.pass_through()
        commit(engine, changes, preserving)

    monkeypatch.setattr(SqliteEngine, "commit_blocking", gated)
    async with trio.open_nursery() as nursery:
        with gate:
            await volume.create(volume.root, b"file", 0o644, 0, 0)
            nursery.start_soon(pool.commit)
            await gate.reached()
            nursery.start_soon(pool.snapshots.delete, "other", "x")
            await turns(10)
            nursery.start_soon(pool.volumes.delete, "other")
            await turns(100)
            findings = [str(finding) for finding in await pool.check()]
    assert findings == []
    await pool.settle()
    assert await pool.check() == []
    assert pool.volume_names == ["main"]
