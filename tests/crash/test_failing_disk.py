"""A disk that fails or is full: nothing acknowledged is lost, nothing unsound is kept, and the refusal has a name."""

import contextlib
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from odxfs.errors import Corrupt, NoSpace, ReadOnly, StoreFailed
from odxfs.types import Buffer
from odxfs.volume import Inode, Volume, check_directory, create_pool, open_pool
from odxfs.volume.blocks.files import Files


class FailingFiles(Files):
    """Fails what `fail` names from the moment it is set."""

    fail = ""

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        if self.fail == "write":
            raise StoreFailed("writing a segment failed: Input/output error")
        super().write(descriptor, buffers, offset)

    def sync(self, descriptor: int) -> None:
        if self.fail == "sync":
            raise StoreFailed("syncing a segment failed: Input/output error")
        super().sync(descriptor)

    def read_nowait(self, descriptor: int, buffer: memoryview | bytearray, offset: int) -> bool:
        return self.fail != "cache" and super().read_nowait(descriptor, buffer, offset)


async def make(volume: Volume, name: bytes) -> Inode:
    return await volume.create(volume.root, name, 0o644, 0, 0)


@pytest.mark.parametrize("failing", ["write", "sync"])
async def test_after_an_error_the_pool_is_read_only_and_keeps_what_was_durable(
    tmp_path: Path, failing: str, expect_log: Callable[[str], None]
) -> None:
    expect_log("the pool is read-only")
    create_pool(tmp_path / "pool")
    files = FailingFiles()
    async with open_pool(tmp_path / "pool", owner="first", files=files) as pool:
        volume = pool.volume("main")
        inode = await make(volume, b"a")
        await volume.write(inode, 0, b"durable")
        await volume.sync()
        files.fail = failing
        with pytest.raises((StoreFailed, ReadOnly)):
            await change_durably(volume, inode)
        for change in (
            volume.write(inode, 0, b"x"),
            volume.sync(),
            volume.truncate(inode, 1),
            make(volume, b"b"),
        ):
            with pytest.raises(ReadOnly):
                await change
        assert pool.failure is not None
        assert "Input/output error" in pool.failure
        assert bytes(await volume.read(inode, 0, 7)) in (b"durable", b"changed")
    assert await check_directory(tmp_path / "pool", read_data=True) == []
    async with open_pool(tmp_path / "pool", owner="second") as pool:
        volume = pool.volume("main")
        inode = await volume.lookup(volume.root, b"a")
        assert bytes(await volume.read(inode, 0, 7)) == b"durable"


@pytest.mark.parametrize("operation", ["write", "write_large", "truncate", "deallocate", "write_pin"])
async def test_whatever_writes_data_latches_the_pool_when_the_disk_fails(
    tmp_path: Path, operation: str, expect_log: Callable[[str], None]
) -> None:
    expect_log("the pool is read-only")
    create_pool(tmp_path / "pool")
    files = FailingFiles()
    async with open_pool(tmp_path / "pool", owner="first", files=files) as pool:
        volume = pool.volume("main")
        inode = await make(volume, b"a")
        await volume.write(inode, 0, b"x" * 20_000)
        await volume.sync()
        pin = await volume.capture(inode, 0, 4096)
        files.fail = "write"
        operations = {
            "write": partial(volume.write, inode, 10, b"y"),
            "write_large": partial(volume.write, inode, 0, bytes(1 << 20)),
            "truncate": partial(volume.truncate, inode, 5000),
            "deallocate": partial(volume.deallocate, inode, 5000, 100),
            "write_pin": partial(volume.write_pin, inode, 10, pin, 0, 4096),
        }
        with pytest.raises(StoreFailed):
            await operations[operation]()
        assert pool.failure is not None
        assert bytes(await volume.read(inode, 0, 30_000)) == b"x" * 20_000
        assert await pool.check(read_data=True) == []


async def test_a_block_that_cannot_be_read_fails_the_write_into_it_and_nothing_else(tmp_path: Path) -> None:
    class UnreadableFiles(Files):
        is_failing = False

        def read_nowait(self, descriptor: int, buffer: memoryview | bytearray, offset: int) -> bool:
            if self.is_failing:
                raise StoreFailed("reading a segment failed: Input/output error")
            return super().read_nowait(descriptor, buffer, offset)

    create_pool(tmp_path / "pool")
    files = UnreadableFiles()
    async with open_pool(tmp_path / "pool", owner="first", files=files) as pool:
        volume = pool.volume("main")
        inode = await make(volume, b"a")
        await volume.write(inode, 0, b"x" * 20_000)
        files.is_failing = True
        with pytest.raises(StoreFailed):
            await volume.write(inode, 10, b"y")
        await volume.write(inode, 8192, b"z" * 4096)
        files.is_failing = False
        await volume.sync()
        expected = b"x" * 8192 + b"z" * 4096 + b"x" * (20_000 - 12_288)
        assert bytes(await volume.read(inode, 0, 30_000)) == expected


async def test_what_is_not_in_the_page_cache_is_read_by_a_thread(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    files = FailingFiles()
    async with open_pool(tmp_path / "pool", owner="first", files=files) as pool:
        volume = pool.volume("main")
        inode = await make(volume, b"a")
        await volume.write(inode, 0, b"0123456789" * 5000)
        files.fail = "cache"
        assert volume.read_nowait(inode, 0, 10) is None
        assert bytes(await volume.read(inode, 9_995, 10)) == b"5678901234"
        assert not volume.write_nowait(inode, 3, b"unaligned")
        await volume.write(inode, 3, b"unaligned")
        assert bytes(await volume.read(inode, 0, 14)) == b"012unaligned23"
        await volume.truncate(inode, 4)
        await volume.truncate(inode, 8)
        assert bytes(await volume.read(inode, 0, 8)) == b"012u\0\0\0\0"
        assert await pool.check() == []


async def change_durably(volume: Volume, inode: Inode) -> None:
    await volume.write(inode, 0, b"changed")
    await volume.sync()


def fill_with_foreign_bytes(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):  # no space left on device
        while True:
            file.write(bytes(65536))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "none", directory], check=True)
    yield directory
    subprocess.run(["umount", directory], check=True)


async def fill(volume: Volume, name: bytes) -> list[Inode]:
    """Write 4 MiB files until the disk is full; the last one is what fitted."""
    inodes: list[Inode] = []
    while True:
        inodes.append(await make(volume, name + b"%d" % len(inodes)))
        for part in range(4):
            try:
                await volume.write(inodes[-1], part << 20, bytes([len(inodes)]) * (1 << 20))
            except NoSpace:
                return inodes


async def test_a_full_disk_loses_nothing_and_is_usable_after_a_deletion(
    small_disk: Path, expect_log: Callable[[str], None]
) -> None:
    expect_log("the disk is full")
    create_pool(small_disk / "pool")
    async with open_pool(small_disk / "pool", owner="first") as pool:
        volume = pool.volume("main")
        inodes = await fill(volume, b"f")
        assert len(inodes) > 5
        await volume.sync()
        assert await pool.check(read_data=True) == []
        for number, inode in enumerate(inodes[:-1], 1):
            assert bytes(await volume.read(inode, 0, 4 << 20)) == bytes([number]) * (4 << 20)
        await volume.unlink(volume.root, b"f2")
        await volume.unlink(volume.root, b"f3")
        fresh = await make(volume, b"fresh")
        await volume.write(fresh, 0, b"z" * (7 << 20))
        await volume.sync()
        assert await pool.check(read_data=True) == []
    async with open_pool(small_disk / "pool", owner="second") as pool:
        volume = pool.volume("main")
        fresh = await volume.lookup(volume.root, b"fresh")
        assert bytes(await volume.read(fresh, 0, fresh.size)) == b"z" * (7 << 20)
        await volume.write(fresh, 0, b"w" * 100_000)
        await volume.unlink(volume.root, b"fresh")
        await fill(volume, b"g")
        assert await pool.check(read_data=True) == []


async def test_the_reserve_lets_a_full_disk_commit(
    small_disk: Path, expect_log: Callable[[str], None]
) -> None:
    expect_log("the disk is full")
    create_pool(small_disk / "pool")
    async with open_pool(small_disk / "pool", owner="first") as pool:
        volume = pool.volume("main")
        inode = await make(volume, b"a")
        await volume.sync()
        stuffing = small_disk / "stuffing"
        fill_with_foreign_bytes(stuffing)
        with pytest.raises(NoSpace):
            await volume.write(inode, 0, b"x" * (2 << 20))
        for number in range(200):
            await make(volume, b"new%d" % number)
        await volume.sync()
        stuffing.unlink()
        await volume.write(inode, 0, b"x" * (2 << 20))
        await volume.sync()
        assert await pool.check(read_data=True) == []
    assert await check_directory(small_disk / "pool", read_data=True) == []


async def test_closing_names_nothing_that_a_failed_sync_may_have_lost(
    tmp_path: Path, expect_log: Callable[[str], None]
) -> None:
    expect_log("the pool is read-only")
    create_pool(tmp_path / "pool")
    files = FailingFiles()
    async with open_pool(tmp_path / "pool", owner="first", files=files) as pool:
        volume = pool.volume("main")
        await volume.write(await make(volume, b"old"), 0, b"durable")
        await volume.sync()
        await volume.write(await make(volume, b"new"), 0, b"never synced")
        await volume.unlink(
            volume.root, b"old"
        )  # leaves for whose blocks the closing pool makes a commit of its own
        files.fail = "sync"
        await pool.finish()
        assert pool.failure is not None
    async with open_pool(tmp_path / "pool", owner="second") as pool:
        volume = pool.volume("main")
        assert [entry.name for entry in await volume.list_directory(volume.root)] == [b"old"]


async def test_a_reserve_that_cannot_be_taken_back_does_not_end_the_pool(tmp_path: Path) -> None:
    class UnreservingFiles(FailingFiles):
        def allocate(self, descriptor: int, length: int) -> None:
            if self.fail:
                raise StoreFailed("reserving space failed: Input/output error")
            super().allocate(descriptor, length)

    create_pool(tmp_path / "pool")
    files = UnreservingFiles()
    async with open_pool(tmp_path / "pool", owner="first", files=files) as pool:
        volume = pool.volume("main")
        pool.ballast.give_up()
        files.fail = "allocate"
        await make(volume, b"a")
        await volume.sync()
        files.fail = ""
        await make(volume, b"b")
        await volume.sync()
        assert pool.ballast.is_reserved


async def test_damage_that_is_met_in_the_middle_of_a_change_keeps_it_from_being_committed(
    tmp_path: Path, expect_log: Callable[[str], None]
) -> None:
    expect_log("the pool is read-only")
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="first") as pool:
        volume = pool.volume("main")
        inode, copy = await make(volume, b"a"), await make(volume, b"copy")
        await volume.write(inode, 0, b"a" * 20_000)
        await volume.clone_range(inode, 0, copy, 4096, 16_384)
    catalog = sqlite3.connect(tmp_path / "pool" / "catalog.db")
    with catalog:
        catalog.execute("UPDATE space SET counts = ? WHERE counts IS NOT NULL", (b"damaged",))
    catalog.close()
    async with open_pool(tmp_path / "pool", owner="second") as pool:
        volume = pool.volume("main")
        inode = await volume.lookup(volume.root, b"a")
        with pytest.raises(Corrupt):
            await volume.write(inode, 0, b"b" * 20_000)
        assert pool.failure is not None
        with pytest.raises(ReadOnly):
            await volume.sync()
    findings = await check_directory(tmp_path / "pool", read_data=True)
    assert len(findings) == 1
    assert "the counts of block group 0 are damaged" in findings[0].sentence
