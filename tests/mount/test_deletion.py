"""What a client deletes and a local program has open or renames meanwhile, and the reverse."""

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.smb.information import moving
from odxfs.types import InodeNumber
from odxfs.volume import Volume
from odxfs.wire.access_mask import ShareAccess
from odxfs.wire.close import CloseRequest
from odxfs.wire.create import CreateDisposition, CreateOptions, OplockLevel
from odxfs.wire.create_contexts import REQUEST_LEASE, LeaseV2
from odxfs.wire.echo import EchoRequest
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.file_information import FileAllocationInformation, FileDispositionInformation
from odxfs.wire.fscc.file_names import FileLinkInformation, FileRenameInformation
from odxfs.wire.header import Command
from tests.mount.both import Both, hold_notices, mounted_and_shared
from tests.mount.inside import on
from tests.mount.test_refusals import RENAME_EXCHANGE, renameat2
from tests.support.peer import Peer, Refused
from tests.support.tokens import set_information

OPEN = CreateDisposition.OPEN


async def mark(peer: Peer, name: str) -> FileId:
    """An open of a file that is to be deleted when it ends."""
    fid = await peer.open(name, OPEN, share_access=ShareAccess.ALL)
    await set_information(peer, fid, FileDispositionInformation(delete_pending=True))
    return fid


async def delete(both: Both, name: str) -> None:
    """As `del` does it."""
    await both.peer.close(await mark(both.peer, name))


async def replace(both: Both, name: str) -> None:
    """As programs save: a new file gets the name."""
    fid = await both.peer.open("new")
    await both.peer.write(fid, 0, b"new")
    await set_information(both.peer, fid, FileRenameInformation(name, replace_if_exists=True))
    await both.peer.close(fid)


async def replace_by_link(both: Both, name: str) -> None:
    """A file gets the name as a further one."""
    fid = await both.peer.open("new")
    await set_information(both.peer, fid, FileLinkInformation(name, replace_if_exists=True))
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
        await replace(both, "file")
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


def _fstat(descriptor: int) -> None:
    assert os.fstat(descriptor).st_nlink == 0


def _read(descriptor: int) -> None:
    assert os.read(descriptor, 100) == b"data"


def _seek(descriptor: int) -> None:
    assert os.lseek(descriptor, 0, os.SEEK_END) == 4


def _change_mode(descriptor: int) -> None:
    os.fchmod(descriptor, 0o600)


@pytest.mark.parametrize("use", [_fstat, _read, _seek, _change_mode])
@pytest.mark.parametrize("take_away", [delete, replace])
async def test_a_descriptor_goes_on_though_a_duplicate_of_it_was_closed(
    tmp_path: Path, take_away: Callable[[Both, str], Any], use: Callable[[int], None]
) -> None:
    """As a child that has inherited it does at its end."""
    async with mounted_and_shared(tmp_path) as both:
        path = both.path / "file"
        await on(path.write_bytes, b"data")
        opened = await on(os.open, path, os.O_RDWR)
        await on(os.close, await on(os.dup, opened))
        await take_away(both, "file")
        await on(use, opened)
        await on(os.close, opened)


async def test_a_shell_reads_on_in_what_a_client_has_deleted(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        path = both.path / "file"
        await on(path.write_bytes, b"0\n1\n2\n")
        script = f"exec 3<{path}; /bin/true; echo open; read go; while read -u 3 line; do echo $line; done; echo end $?"
        shell = await on(
            lambda: subprocess.Popen(
                ["bash", "-c", script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        )
        assert shell.stdout is not None
        assert await on(shell.stdout.readline) == b"open\n"
        await delete(both, "file")
        told, _ = await on(shell.communicate, b"go\n")
        assert told == b"0\n1\n2\nend 0\n"


@pytest.mark.parametrize("take_away", [delete, replace, replace_by_link])
async def test_the_client_is_answered_when_the_kernel_has_forgotten_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, take_away: Callable[[Both, str], Any]
) -> None:
    async with mounted_and_shared(tmp_path) as both, both.another_client() as other:
        path, answered = both.path / "file", trio.Event()
        await on(path.write_bytes, b"data")
        opened = await on(os.open, path, os.O_RDWR)
        tells, may_tell = hold_notices(monkeypatch)

        async def ask() -> None:
            await take_away(both, "file")
            answered.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await on(tells.wait, 60)
            await other.call(Command.ECHO, EchoRequest())
            assert not answered.is_set()
            may_tell.set()
        found = await on(path.stat) if await on(path.exists) else None
        assert found is None or found.st_ino != (await on(os.fstat, opened)).st_ino
        await on(os.close, opened)


async def test_another_name_stays_though_a_program_removed_the_one_to_be_deleted(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        path = both.path / "file"
        await on(path.write_bytes, b"data")
        await on(os.link, path, both.path / "other")
        fid = await mark(both.peer, "file")
        await on(path.unlink)
        await both.peer.close(fid)
        assert await on(os.listdir, both.path) == ["other"]


async def test_a_file_that_a_program_renames_is_deleted_by_its_new_name(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        path, folder = both.path / "file", both.path / "folder"
        await on(path.write_bytes, b"data")
        await on(folder.mkdir)
        fid = await mark(both.peer, "file")
        await on(path.rename, folder / "moved")
        await on(path.write_bytes, b"another")
        await both.peer.close(fid)
        assert await on(os.listdir, folder) == []
        assert await on(path.read_bytes) == b"another"


async def test_so_it_is_when_it_is_to_be_deleted_on_close(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        path = both.path / "file"
        fid = await both.peer.open(
            "file", share_access=ShareAccess.ALL, create_options=CreateOptions.DELETE_ON_CLOSE
        )
        await on(path.rename, path.with_name("moved"))
        await on(path.write_bytes, b"another")
        await both.peer.close(fid)
        assert await on(os.listdir, both.path) == ["file"]
        assert await on(path.read_bytes) == b"another"


async def test_two_files_that_a_program_exchanges_go_by_their_new_names(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        for name in ("one", "two"):
            await on((both.path / name).write_bytes, name.encode())
        fid = await mark(both.peer, "two")
        await on(renameat2, both.path / "one", both.path / "two", RENAME_EXCHANGE)
        await both.peer.close(fid)
        assert await on((both.path / "two").read_bytes) == b"one"
        assert await on(os.listdir, both.path) == ["two"]


async def test_a_client_renames_what_it_has_open_and_not_what_has_its_name_by_now(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        path = both.path / "file"
        await on(path.write_bytes, b"data")
        fid = await both.peer.open("file", OPEN, share_access=ShareAccess.ALL)
        await on(path.rename, path.with_name("moved"))
        await on(path.write_bytes, b"another")
        await set_information(both.peer, fid, FileRenameInformation("renamed"))
        assert sorted(await on(os.listdir, both.path)) == ["file", "renamed"]
        assert await on((both.path / "renamed").read_bytes) == b"data"


async def test_what_gets_the_name_while_it_goes_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink, reached, go = Volume.unlink, trio.Event(), trio.Event()

    async def slow(self: Volume, parent: InodeNumber, name: bytes, permit: Any = None) -> None:
        if name == b"file":
            reached.set()
            await go.wait()
        await unlink(self, parent, name, permit)

    monkeypatch.setattr(Volume, "unlink", slow)
    async with mounted_and_shared(tmp_path) as both:
        path, new = both.path / "file", both.path / "new"
        await on(path.write_bytes, b"data")
        await on(new.write_bytes, b"precious")
        fid = await mark(both.peer, "file")
        closing = await both.peer.send(Command.CLOSE, CloseRequest(fid))
        await reached.wait()
        try:
            await on(os.rename, new, path)
        finally:
            go.set()
        await both.peer.final(closing)
        assert await on(path.read_bytes) == b"precious"


async def test_nobody_opens_a_stream_of_a_file_whose_name_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_stream, reached, go = Volume.find_stream, trio.Event(), trio.Event()

    async def slow(self: Volume, *arguments: Any) -> Any:
        found = await find_stream(self, *arguments)
        reached.set()
        await go.wait()
        return found

    async with mounted_and_shared(tmp_path) as both, both.another_client() as other:
        await on((both.path / "file").write_bytes, b"data")
        await on(os.link, both.path / "file", both.path / "other")
        await both.peer.close(await both.peer.open("file:s"))
        fid = await both.peer.open("file", OPEN, share_access=ShareAccess.ALL)
        monkeypatch.setattr(Volume, "find_stream", slow)
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def open_stream() -> None:
                with pytest.raises(Refused, check=lambda error: error.status == Status.DELETE_PENDING):
                    await other.open("file:s", OPEN, share_access=ShareAccess.ALL)

            await reached.wait()
            await set_information(both.peer, fid, FileDispositionInformation(delete_pending=True))
            go.set()
        await both.peer.close(fid)
        assert await on(os.listdir, both.path) == ["other"]


async def test_folders_are_told_when_the_name_goes_with_the_last_stream(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        await on((both.path / "file").write_bytes, b"data")
        stream = await both.peer.open("file:s", share_access=ShareAccess.ALL)
        await delete(both, "file")
        lease = (REQUEST_LEASE, LeaseV2(b"f" * 16, 3).pack())
        await both.peer.open(
            "",
            OPEN,
            create_options=CreateOptions.DIRECTORY_FILE,
            requested_oplock_level=OplockLevel.LEASE,
            create_contexts=(lease,),
        )
        await both.peer.close(stream)
        assert (await both.told()).new_lease_state == 0
        assert await on(os.listdir, both.path) == []


async def test_who_opens_the_target_of_a_rename_at_the_last_moment_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, reached, go = moving._check_directories, trio.Event(), trio.Event()

    async def slow(*arguments: Any) -> None:
        await check(*arguments)
        reached.set()
        await go.wait()

    monkeypatch.setattr(moving, "_check_directories", slow)
    async with mounted_and_shared(tmp_path) as both, both.another_client() as other:
        await on((both.path / "file").write_bytes, b"data")
        fid = await both.peer.open("new")
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def rename() -> None:
                with pytest.raises(Refused, check=lambda error: error.status == Status.ACCESS_DENIED):
                    await set_information(
                        both.peer, fid, FileRenameInformation("file", replace_if_exists=True)
                    )

            await reached.wait()
            await other.open("file", OPEN)
            go.set()
        assert await on((both.path / "file").read_bytes) == b"data"


async def test_what_a_client_set_aside_goes_with_it(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        fid = await both.peer.open("file", share_access=ShareAccess.ALL)
        await set_information(both.peer, fid, FileAllocationInformation(1 << 20))
        opened = await on(os.open, both.path / "file", os.O_RDONLY)
        inode = await both.pool.volume("main").inode(InodeNumber((await on(os.fstat, opened)).st_ino))
        assert inode.reserved_bytes
        await both.peer.close(fid)
        assert not inode.reserved_bytes
        await on(os.close, opened)
