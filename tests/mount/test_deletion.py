"""What a client deletes and a local program has open, and the reverse."""

import errno
import os
from pathlib import Path

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.wire.access_mask import ShareAccess
from odxfs.wire.create import CreateDisposition
from odxfs.wire.fscc.file_information import FileDispositionInformation
from odxfs.wire.fscc.file_names import FileRenameInformation
from tests.mount.both import Both, mounted_and_shared
from tests.mount.inside import on
from tests.support.peer import Refused
from tests.support.tokens import set_information


async def delete(both: Both, name: str) -> None:
    """As `del` does it."""
    fid = await both.peer.open(name, CreateDisposition.OPEN)
    await set_information(both.peer, fid, FileDispositionInformation(delete_pending=True))
    await both.peer.close(fid)


async def test_the_name_goes_at_once_and_the_program_keeps_its_file(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        path, inodes = both.path / "file", both.pool.statistics().inodes
        await on(path.write_bytes, b"before")
        opened = await on(os.open, path, os.O_RDWR)
        await delete(both, "file")
        assert await on(os.listdir, both.path) == []
        assert (await on(os.fstat, opened)).st_nlink == 0

        await both.peer.close(await both.peer.open("file", CreateDisposition.CREATE))
        assert await on(path.read_bytes) == b""
        assert await on(os.pwrite, opened, b"after", 6) == 5
        assert await on(os.pread, opened, 100, 0) == b"beforeafter"

        await on(path.unlink)
        await on(os.close, opened)
        with trio.fail_after(60):
            while both.pool.statistics().inodes > inodes:  # the kernel tells of a close when it has returned
                await trio.sleep(0.01)


async def test_a_client_gives_the_name_to_another_file(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        path = both.path / "file"
        await on(path.write_bytes, b"old")
        opened = await on(os.open, path, os.O_RDWR)
        fid = await both.peer.open("new")
        await both.peer.write(fid, 0, b"new")
        await set_information(both.peer, fid, FileRenameInformation("file", replace_if_exists=True))
        assert await on(path.read_bytes) == b"new"
        assert await on(os.pread, opened, 100, 0) == b"old"
        await on(os.close, opened)


async def test_but_not_that_of_a_file_that_a_client_has_open(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        fid = await both.peer.open("new")
        await both.peer.open("file")
        with pytest.raises(Refused, check=lambda error: error.status == Status.ACCESS_DENIED):
            await set_information(both.peer, fid, FileRenameInformation("file", replace_if_exists=True))


async def test_another_name_of_the_file_can_still_be_opened(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        path, other = both.path / "file", both.path / "other"
        await on(path.write_bytes, b"data")
        await on(os.link, path, other)
        opened = await on(os.open, path, os.O_RDONLY)
        await delete(both, "file")
        assert await on(os.listdir, both.path) == ["other"]
        assert await both.peer.read(await both.peer.open("other", CreateDisposition.OPEN), 0, 100) == b"data"
        assert await on(other.read_bytes) == b"data"
        await on(os.close, opened)


async def test_it_waits_for_other_clients_and_nobody_opens_it_meanwhile(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        path = both.path / "file"
        await on(path.write_bytes, b"data")
        opened = await on(os.open, path, os.O_RDONLY)
        another = await both.peer.open("file", share_access=ShareAccess.ALL)
        await delete(both, "file")
        with pytest.raises(OSError, check=lambda error: error.errno == errno.EBUSY):
            await on(path.open, "rb")
        with pytest.raises(Refused, check=lambda error: error.status == Status.DELETE_PENDING):
            await both.peer.open("file", CreateDisposition.OPEN)
        await on(os.close, opened)
        assert await on(os.listdir, both.path) == ["file"]
        await both.peer.close(another)
        assert await on(os.listdir, both.path) == []
