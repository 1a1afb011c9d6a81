"""Named streams in the store: shared, kept in snapshots, cloned, charged, found by the check and mended like files."""

from pathlib import Path

import pytest

from odxfs.errors import (
    AlreadyExists,
    InvalidArgument,
    NameTooLong,
    NotEmpty,
    NotFound,
    NotPermitted,
    QuotaExceeded,
    TooManyStreams,
)
from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import Volume, create_pool, open_pool, repair_directory
from odxfs.volume.tree import streams
from tests.volume.model.reality import seen_of
from tests.volume.test_repair import execute

BYTES = b"stream " * 10_000


async def with_stream(volume: Volume, name: bytes = b"file") -> None:
    base = await volume.create(volume.root, name, 0o644, 0, 0)
    await volume.write(await volume.create_stream(base, b"Stream"), 0, BYTES)


async def read_stream(volume: Volume, path: bytes, name: bytes) -> bytes:
    stream = (await volume.find_stream(await volume.lookup(volume.root, path), name))[1]
    return bytes(await volume.read(stream, 0, stream.size))


async def test_a_name_is_found_in_any_case_and_free_only_once(volume: Volume) -> None:
    base = await volume.create(volume.root, b"file", 0o644, 0, 0)
    stream = await volume.create_stream(base, "Größe".encode())
    assert await volume.find_stream(base, "GRÖßE".encode()) == ("Größe".encode(), stream)
    with pytest.raises(NotFound):
        await volume.find_stream(base, "GRÖSSE".encode())
    with pytest.raises(AlreadyExists):
        await volume.create_stream(base, "gRÖßE".encode())
    for name in (b"", b"a/b", b"a:b", b"a\\b", b"a\0b"):
        with pytest.raises(InvalidArgument):
            await volume.create_stream(base, name)
    with pytest.raises(NameTooLong):
        await volume.create_stream(base, b"x" * 766)
    with pytest.raises(InvalidArgument):
        await volume.create_stream(stream, b"of a stream")
    with pytest.raises(NotPermitted):
        await volume.link(stream, volume.root, b"a name")
    assert await volume.list_directory(volume.root) != []
    assert base.size == 0


async def test_a_file_has_only_so_many(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 3)
    base = await volume.create(volume.root, b"file", 0o644, 0, 0)
    for number in range(3):
        await volume.create_stream(base, b"%d" % number)
    with pytest.raises(TooManyStreams):
        await volume.create_stream(base, b"one more")


async def test_streams_count_and_go_with_their_file(volume: Volume) -> None:
    pool = volume.pool
    folder = await volume.create(volume.root, b"folder", 0o40755, 0, 0)
    await volume.write(await volume.create_stream(folder, b"s"), 0, BYTES)
    await with_stream(volume)
    await pool.commit()
    assert pool.statistics().inodes == 5
    assert pool.statistics().allocated_bytes == 2 * -(-len(BYTES) // BLOCK_BYTES) * BLOCK_BYTES
    await volume.rmdir(volume.root, b"folder")
    await volume.unlink(volume.root, b"file")
    await pool.commit()
    assert pool.statistics().inodes == 1
    assert pool.statistics().allocated_bytes == 0
    assert await pool.check() == []


async def test_a_quota_is_for_streams_too(volume: Volume) -> None:
    await volume.pool.volumes.set_quota("main", 4 * BLOCK_BYTES)
    with pytest.raises(QuotaExceeded):
        await with_stream(volume)


async def test_a_snapshot_keeps_streams_and_a_path_comes_back_with_them(volume: Volume) -> None:
    pool = volume.pool
    await with_stream(volume)
    await pool.snapshots.create("main", "then")
    before = await seen_of(volume)
    base = await volume.lookup(volume.root, b"file")
    await volume.write((await volume.find_stream(base, b"stream"))[1], 0, b"later")
    await volume.rename_stream(base, b"stream", b"renamed")
    assert await seen_of(pool.snapshot_volume("main", "then")) == before
    await volume.unlink(volume.root, b"file")
    allocated = pool.statistics().allocated_bytes
    await pool.snapshots.restore_path("main", "then", "file", "file", replace=False)
    assert await read_stream(volume, b"file", b"stream") == BYTES
    assert pool.statistics().allocated_bytes <= allocated
    await pool.snapshots.restore("main", "then")
    assert await seen_of(volume) == before
    assert await pool.check() == []


async def test_a_clone_has_the_streams_of_what_has_a_name(volume: Volume) -> None:
    pool = volume.pool
    await with_stream(volume)
    await with_stream(volume, b"removed")
    removed = await volume.lookup(volume.root, b"removed")
    volume.hold(removed)
    await volume.unlink(volume.root, b"removed")
    await pool.snapshots.create("main", "then")
    await pool.volumes.clone("clone", "main", "then")
    clone = pool.volume("clone")
    assert await seen_of(clone) == await seen_of(volume)
    assert await pool.check() == []
    await volume.release(removed)
    await volume.unlink(volume.root, b"file")
    assert await read_stream(clone, b"file", b"Stream") == BYTES
    await pool.commit()
    assert await pool.check() == []


async def test_extents_go_from_stream_to_file(volume: Volume) -> None:
    await with_stream(volume)
    base = await volume.lookup(volume.root, b"file")
    stream = (await volume.find_stream(base, b"Stream"))[1]
    await volume.truncate(stream, LEAF_BYTES)
    assert await volume.clone_range(stream, 0, base, 0, LEAF_BYTES) == LEAF_BYTES
    assert bytes(await volume.read(base, 0, len(BYTES))) == BYTES


async def test_what_is_written_to_a_stream_is_the_files_time(volume: Volume) -> None:
    await with_stream(volume)
    base = await volume.lookup(volume.root, b"file")
    before = base.mtime_ns
    await volume.write((await volume.find_stream(base, b"Stream"))[1], 0, b"!")
    assert base.mtime_ns > before


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("DELETE FROM stream", "lost+found"),
        ("UPDATE stream SET folded = x'41'", "lost+found"),
        ("UPDATE inode SET parent = 0 WHERE number = 3", "stream"),
        ("DELETE FROM inode WHERE number = 3", "stream"),
        ("DELETE FROM inode WHERE number = 2", "stream"),
    ],
)
async def test_no_bytes_of_a_stream_are_lost_to_a_damaged_row(
    tmp_path: Path, damage: str, found: str
) -> None:
    directory = tmp_path / "pool"
    create_pool(directory)
    async with open_pool(directory, owner="test") as pool:
        await with_stream(pool.volume("main"))
    execute(directory, damage)
    report = await repair_directory(directory)
    assert report.found != []
    assert report.left == []
    async with open_pool(directory, owner="test") as pool:
        volume = pool.volume("main")
        if found == "stream":
            assert (await read_stream(volume, b"file", b"stream"))[: len(BYTES)] == BYTES
        else:
            lost = await volume.lookup(volume.root, b"lost+found")
            inode = await volume.lookup(lost.number, b"#3")
            assert bytes(await volume.read(inode, 0, len(BYTES))) == BYTES
            with pytest.raises(NotFound):
                await volume.find_stream(await volume.lookup(volume.root, b"file"), b"stream")


async def test_an_inode_changes_its_kind_in_its_place(volume: Volume) -> None:
    pool = volume.pool
    await volume.create(volume.root, b"before", 0o644, 0, 0)
    inode = await volume.create(volume.root, b"file", 0o640, 7, 8)
    await volume.create(volume.root, b"behind", 0o644, 0, 0)
    await volume.set_xattr(inode, b"user.kept", b"1")
    listed = [entry.name for entry in await volume.list_directory(volume.root)]
    await pool.snapshots.create("main", "then")
    await volume.change_kind(inode, 0o120777, b"where/to")
    assert (inode.is_symlink, inode.target, inode.uid) == (True, b"where/to", 7)
    assert [entry.name for entry in await volume.list_directory(volume.root)] == listed
    assert await pool.check() == []
    await volume.change_kind(inode, 0o40755)
    assert (await volume.inode(volume.root)).nlink == 3
    await volume.create(inode.number, b"inside", 0o644, 0, 0)
    with pytest.raises(NotEmpty):
        await volume.change_kind(inode, 0o120777, b"full")
    await volume.unlink(inode.number, b"inside")
    await volume.change_kind(inode, 0o100644)
    await volume.write(inode, 0, BYTES)
    with pytest.raises(NotEmpty):
        await volume.change_kind(inode, 0o10644)
    await volume.truncate(inode, 0)
    await volume.link(inode, volume.root, b"second name")
    with pytest.raises(NotPermitted):
        await volume.change_kind(inode, 0o10644)
    await pool.commit()
    assert await pool.check() == []
    old = pool.snapshot_volume("main", "then")
    assert (await old.lookup(old.root, b"file")).is_file
