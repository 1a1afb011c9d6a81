"""Pools as their owner meets them: made once, owned by one, found again as they were left."""

import json
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest
import trio

from odxfs.errors import ExitCode, UserError
from odxfs.types import LEAF_BYTES
from odxfs.volume import check_directory, create_pool, open_pool
from odxfs.volume.directory import RESERVE_BYTES


@pytest.fixture
def pool_directory(tmp_path: Path) -> Path:
    create_pool(tmp_path / "pool")
    return tmp_path / "pool"


async def refusal(directory: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        async with open_pool(directory, owner="second"):
            pass
    return caught.value


async def test_what_was_written_is_there_after_reopening(pool_directory: Path) -> None:
    data = os.urandom(LEAF_BYTES + 12_345)
    async with open_pool(pool_directory, owner="first") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"a", 0o644, 0, 0)
        await volume.write(inode, 0, data)
        copy = await volume.create(volume.root, b"b", 0o644, 0, 0)
        await volume.clone_range(inode, 0, copy, 0, len(data))
    assert await check_directory(pool_directory, read_data=True) == []
    async with open_pool(pool_directory, owner="second") as pool:
        volume = pool.volume("main")
        for name in (b"a", b"b"):
            inode = await volume.lookup(volume.root, name)
            assert bytes(await volume.read(inode, 0, inode.size)) == data
            assert inode.allocated_bytes == LEAF_BYTES + 4 * 4096
        assert await pool.check() == []


async def test_a_pool_is_left_in_order_when_its_owner_is_cancelled(pool_directory: Path) -> None:
    with trio.CancelScope() as scope:
        async with open_pool(pool_directory, owner="first") as pool:
            volume = pool.volume("main")
            inode = await volume.create(volume.root, b"a", 0o644, 0, 0)
            await volume.write(inode, 0, b"written and not synced")
            scope.cancel()
            await trio.sleep_forever()
    async with open_pool(pool_directory, owner="second") as pool:
        volume = pool.volume("main")
        inode = await volume.lookup(volume.root, b"a")
        assert bytes(await volume.read(inode, 0, 100)) == b"written and not synced"


async def test_an_error_inside_comes_out_as_itself(pool_directory: Path) -> None:
    with pytest.raises(KeyError):
        async with open_pool(pool_directory, owner="first"):
            raise KeyError("mine")


async def test_a_second_owner_is_told_who_has_the_pool(pool_directory: Path) -> None:
    async with open_pool(pool_directory, owner="odxfs mount"):
        error = await refusal(pool_directory)
        assert error.exit_code is ExitCode.BUSY
        assert f"odxfs mount (process {os.getpid()})" in str(error)
    async with open_pool(pool_directory, owner="third"):
        pass


async def test_what_is_not_a_pool_is_said_in_one_line(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing"):
        error = await refusal(directory)
        assert error.exit_code is ExitCode.NOT_A_POOL
        assert "\n" not in str(error)


async def test_a_newer_format_is_left_alone(pool_directory: Path) -> None:
    identity = pool_directory / "pool.json"
    content = json.loads(identity.read_text())
    identity.write_text(json.dumps({**content, "format": 99}))
    error = await refusal(pool_directory)
    assert error.exit_code is ExitCode.FORMAT


def test_a_pool_is_made_in_an_empty_directory_only(tmp_path: Path, pool_directory: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for directory in (pool_directory, tmp_path / "full"):
        with pytest.raises(UserError) as caught:
            create_pool(directory)
        assert caught.value.exit_code is ExitCode.EXISTS
    with pytest.raises(UserError):
        create_pool(tmp_path / "file")
    assert (tmp_path / "full" / "file").read_text() == "mine"


async def test_concurrent_syncs_share_a_commit(pool_directory: Path) -> None:
    async with open_pool(pool_directory, owner="first") as pool:
        volume = pool.volume("main")
        inodes = [await volume.create(volume.root, b"%d" % n, 0o644, 0, 0) for n in range(20)]
        await pool.commit()
        before = pool.statistics().commits

        async def write_and_sync(number: int) -> None:
            await volume.write(inodes[number], 0, b"x" * 5000)
            await volume.sync(inodes[number])

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(write_and_sync, number)
        assert pool.statistics().commits - before <= 3
        await pool.commit()
        assert pool.statistics().commits - before <= 3


async def test_a_copy_that_left_out_zeros_holds_space_back_again(pool_directory: Path) -> None:
    copy = pool_directory.parent / "copy"
    subprocess.run(["cp", "-a", "--sparse=always", pool_directory, copy], check=True)
    assert (copy / "ballast").stat().st_blocks * 512 < RESERVE_BYTES
    async with open_pool(copy, owner="test") as pool:
        assert pool.ballast.is_reserved
        assert (copy / "ballast").stat().st_blocks * 512 >= RESERVE_BYTES
        assert not pool.space.is_pressed


async def test_a_damaged_segment_header_is_found(pool_directory: Path) -> None:
    async with open_pool(pool_directory, owner="first") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"a", 0o644, 0, 0)
        await volume.write(inode, 0, b"data")
    with (pool_directory / "segments" / "00000000").open("r+b") as file:
        file.write(b"x")
    assert any("header" in finding.sentence for finding in await check_directory(pool_directory))


@pytest.mark.parametrize("size", [0, 12_288, 19_999])
async def test_the_check_sees_what_would_show_when_a_file_grows(pool_directory: Path, size: int) -> None:
    async with open_pool(pool_directory, owner="first") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"a", 0o644, 0, 0)
        await volume.write(inode, 0, b"x" * 20_000)
    assert await check_directory(pool_directory, read_data=True) == []
    catalog = sqlite3.connect(pool_directory / "catalog.db")
    with catalog:
        catalog.execute("UPDATE inode SET size = ? WHERE number = ?", (size, inode.number))
    catalog.close()
    found = await check_directory(pool_directory, read_data=True)
    assert [finding.sentence for finding in found] == [
        f"inode {inode.number} has data past its end at byte {size}"
    ]
