"""Local programs beside a client that caches: it gives up what stands in their way before they get to the file."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyfuse3
import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.opens.share_modes import DELETE
from odxfs.smb.caching import breaks
from odxfs.types import Buffer
from odxfs.volume.blocks.files import Files
from odxfs.wire.client_exchange import ALL_ONES
from odxfs.wire.create import CreateOptions, OplockLevel
from odxfs.wire.create_contexts import REQUEST_LEASE, LeaseV2
from odxfs.wire.echo import EchoRequest
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.classes import ReparseTag
from odxfs.wire.fscc.file_names import FileRenameInformation
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.reparse import RELATIVE, ReparseData, SymbolicLinkData
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.oplock_break import LeaseBreakNotification
from odxfs.wire.query_info import InfoType
from odxfs.wire.set_info import SetInfoRequest
from odxfs_mount import files
from tests.mount.acting import OTHER, OWNER, acting
from tests.mount.both import hold_notices, mounted_and_shared
from tests.mount.inside import on
from tests.support.waiting import until

R, H, W = 1, 2, 4
KEY, FOLDER_KEY = b"k" * 16, b"f" * 16


def lease(state: int, key: bytes = KEY) -> dict[str, Any]:
    context = (REQUEST_LEASE, LeaseV2(key, state).pack())
    return {"requested_oplock_level": OplockLevel.LEASE, "create_contexts": (context,)}


async def test_a_local_reader_gets_what_a_client_has_not_yet_written(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        fid = await both.peer.open("file", **lease(R | W | H))
        read: list[bytes] = []

        async def read_locally() -> None:
            read.append(await on((both.path / "file").read_bytes))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_locally)
            assert (await both.told()).new_lease_state == R | H
            await both.peer.write(fid, 0, b"from the client's memory")
            await both.agree(R | H, KEY)
        assert read == [b"from the client's memory"]


def _append(path: Path) -> None:
    with path.open("ab", 0) as opened:
        opened.write(b"more")


def _truncate(path: Path) -> None:
    os.truncate(path, 1)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("change", [_append, _truncate, _empty])
async def test_a_local_change_ends_what_a_client_reads_from_memory(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    async with mounted_and_shared(tmp_path) as both:
        fid = await both.peer.open("file", **lease(R))
        await both.peer.write(fid, 0, b"old")
        await on(change, both.path / "file")
        assert await both.told() == LeaseBreakNotification(KEY, R, 0, 2)
        size = (both.path / "file").stat
        assert (
            len(await both.peer.read(fid, 0, 100) if (await on(size)).st_size else b"")
            == (await on(size)).st_size
        )


def _unlink(path: Path) -> None:
    path.unlink()


def _rename(path: Path) -> None:
    path.rename(path.with_name("other"))


@pytest.mark.parametrize("remove", [_unlink, _rename])
async def test_a_file_that_a_client_only_keeps_open_for_itself_is_let_go(
    tmp_path: Path, remove: Callable[[Path], None]
) -> None:
    async with mounted_and_shared(tmp_path) as both:
        fid = await both.peer.open("file", share_access=3, **lease(R | H))

        async def close_when_told() -> None:
            assert (await both.told()).new_lease_state == R
            await both.peer.close(fid)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(close_when_told)
            await on(remove, both.path / "file")
        assert not await on((both.path / "file").exists)


async def test_a_client_that_does_not_answer_holds_a_local_program_up_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaks, "BREAK_SECONDS", 0.05)
    async with mounted_and_shared(tmp_path) as both:
        await both.peer.open("file", **lease(R | W | H))
        assert await on((both.path / "file").read_bytes) == b""
        assert not both.opens.cached


async def _make(path: Path) -> None:
    await on((path / "new").touch)


async def _make_folder(path: Path) -> None:
    await on((path / "new").mkdir)


async def _rename_within(path: Path) -> None:
    await on((path / "there").rename, path / "elsewhere")


async def _remove(path: Path) -> None:
    await on((path / "there").unlink)


async def _touch(path: Path) -> None:
    await on(os.utime, path / "there", (1, 1))


async def _write_and_close(path: Path) -> None:
    await on((path / "there").write_bytes, b"longer")


@pytest.mark.parametrize("change", [_make, _make_folder, _rename_within, _remove, _touch, _write_and_close])
async def test_a_local_change_of_a_folder_ends_what_a_client_lists_from_memory(
    tmp_path: Path, change: Callable[[Path], Awaitable[None]]
) -> None:
    async with mounted_and_shared(tmp_path) as both:
        await both.peer.close(await both.peer.open("folder", create_options=CreateOptions.DIRECTORY_FILE))
        await both.peer.close(await both.peer.open("folder\\there"))
        await both.peer.open("folder", create_options=CreateOptions.DIRECTORY_FILE, **lease(R, FOLDER_KEY))
        await change(both.path / "folder")
        assert await both.told() == LeaseBreakNotification(FOLDER_KEY, R, 0, 2)


def _make_link(fid: FileId) -> IoctlRequest:
    link = ReparseData(ReparseTag.SYMLINK, SymbolicLinkData("there", "there", RELATIVE).pack()).pack()
    return IoctlRequest(Fsctl.SET_REPARSE_POINT, fid, link, 0, 0, flags=1)


def _rename_to(fid: FileId, name: str) -> SetInfoRequest:
    wanted = FileRenameInformation(name)
    return SetInfoRequest(InfoType.FILE, wanted.INFO_CLASS, fid, wanted.pack())


async def test_a_file_that_a_program_has_open_does_not_become_a_link(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        path, fid = both.path / "file", await both.peer.open("file")
        request = _make_link(fid)
        opened = await on(os.open, path, os.O_RDWR)
        assert (await both.peer.answer(Command.IOCTL, request)).header.status == Status.SHARING_VIOLATION
        await on(os.pwrite, opened, b"from here", 0)
        await on(os.ftruncate, opened, 0)
        await on(os.close, opened)
        while len(both.opens) > 1:  # the kernel tells of a close when it has returned
            await trio.sleep(0.01)
        await both.peer.call(Command.IOCTL, request)
        assert await on(os.readlink, path) == "there"


async def test_a_client_that_renames_is_answered_when_the_kernel_has_forgotten_the_old_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tells, may_tell = hold_notices(monkeypatch)
    async with mounted_and_shared(tmp_path) as both:
        await on((both.path / "old").write_bytes, b"moved")
        fid = await both.peer.open("old")
        renamed = await both.peer.send(Command.SET_INFO, _rename_to(fid, "new"))
        await on(tells.wait, 60)
        await both.peer.call(Command.ECHO, EchoRequest())
        assert not both.peer.has_response(renamed)  # though what was sent later has its
        may_tell.set()
        assert (await both.peer.final(renamed)).header.status == Status.SUCCESS
        assert not await on((both.path / "old").exists)
        assert await on((both.path / "new").read_bytes) == b"moved"


async def test_a_folder_that_a_program_keeps_holds_up_no_change_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tells, may_tell = hold_notices(monkeypatch, pyfuse3.ROOT_INODE)
    async with mounted_and_shared(tmp_path) as both:
        await on((both.path / "folder").mkdir)
        for name in ("old", "folder/one", "folder/two", "folder/three"):
            await on((both.path / name).touch)
        old = await both.peer.open("old")
        renaming = await both.peer.send(Command.SET_INFO, _rename_to(old, "new"))
        await on(tells.wait, 60)
        one = await both.peer.open("folder\\one")
        await both.peer.call(Command.SET_INFO, _rename_to(one, "folder\\1"))
        doomed = {"desired_access": DELETE, "create_options": CreateOptions.DELETE_ON_CLOSE}
        await both.peer.close(await both.peer.open("folder\\two", **doomed))
        linked = await both.peer.open("folder\\three")
        await both.peer.call(Command.IOCTL, _make_link(linked))
        assert not both.peer.has_response(renaming)
        assert sorted(await on(os.listdir, both.path / "folder")) == ["1", "three"]
        assert await on(os.readlink, both.path / "folder" / "three") == "there"
        may_tell.set()
        assert (await both.peer.final(renaming)).header.status == Status.SUCCESS


@dataclass(frozen=True)
class SlowDisk:
    """Long writes of this process stop on their way to the disk, once `armed`, until they may go on."""

    armed: threading.Event
    begun: threading.Event
    go_on: threading.Event


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    trio_thread, disk = threading.get_ident(), SlowDisk(*(threading.Event() for _ in range(3)))
    write = Files.write

    def slow_write(files: Files, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        if disk.armed.is_set() and threading.get_ident() != trio_thread:
            disk.begun.set()
            assert disk.go_on.wait(60), "the test never let the disk go on"
        write(files, descriptor, buffers, offset)

    monkeypatch.setattr(Files, "write", slow_write)
    for longest in ("INLINE_BYTES", "SHORT_BYTES"):
        monkeypatch.setattr(f"odxfs.volume.writes.{longest}", 65536)
    return disk


def _write_long(path: Path) -> None:
    with path.open("r+b", 0) as opened:
        os.write(
            opened.fileno(), b"n" * (1 << 20)
        )  # which says EAGAIN, while the object's own write says None


async def test_a_client_that_comes_to_cache_a_file_during_a_local_write_hears_of_it(
    tmp_path: Path, slow_disk: SlowDisk
) -> None:
    """The client reads the old bytes meanwhile."""
    async with mounted_and_shared(tmp_path) as both:
        fid = await both.peer.open("file")
        await both.peer.write(fid, 0, b"old")
        await both.peer.close(fid)
        slow_disk.armed.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on, _write_long, both.path / "file")
            await until(slow_disk.begun.is_set)
            fid = await both.peer.open("file", **lease(R | H))
            assert await both.peer.read(fid, 0, 3) == b"old"
            slow_disk.go_on.set()
        with trio.fail_after(10):
            assert (await both.told()).new_lease_state == 0
        assert await both.peer.read(fid, 0, 3) == b"nnn"


async def test_what_a_client_locks_during_a_local_write_is_not_written(
    tmp_path: Path, slow_disk: SlowDisk
) -> None:
    said: list[OSError] = []

    def refused() -> None:
        try:
            _write_long(both.path / "file")
        except OSError as error:
            said.append(error)

    async with mounted_and_shared(tmp_path) as both:
        fid = await both.peer.open("file")
        await both.peer.write(fid, 0, b"old")
        slow_disk.armed.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on, refused)
            await until(slow_disk.begun.is_set)
            lock = LockElement(0, 3, LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY)
            await both.peer.call(Command.LOCK, LockRequest(fid, (lock,)))
            slow_disk.go_on.set()
        assert [error.errno for error in said] == [errno.EAGAIN]
        assert await both.peer.read(fid, 0, 100) == b"old"


def _rename(path: Path) -> None:
    path.rename(path.with_name("report"))


READER = """
import mmap, os, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
    for _ in sys.stdin:
        os.write(1, mapping[:3])
"""


async def test_mappings_follow_the_share_though_a_local_removal_waits_for_a_client(tmp_path: Path) -> None:
    """The kernel takes no name from a folder in which it is removing one; that holds up nothing else."""
    async with mounted_and_shared(tmp_path) as both:
        fid = await both.peer.open("mapped")
        await both.peer.write(fid, 0, b"old")
        await both.peer.close(await both.peer.open("gone"))
        assert await on((both.path / "gone").exists)
        reader = await trio.lowlevel.open_process(
            [sys.executable, "-c", READER, str(both.path / "mapped")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

        async def mapped() -> bytes:
            await reader.stdin.send_all(b"\n")
            return bytes(await reader.stdout.receive_some())

        async with both.another_client() as holder, trio.open_nursery() as nursery:
            assert await mapped() == b"old"
            held = await holder.open("held", share_access=3, **lease(R | H))
            nursery.start_soon(on, (both.path / "held").unlink)
            await holder.next_response(ALL_ONES)
            gone = await both.peer.open(
                "gone", desired_access=DELETE, create_options=CreateOptions.DELETE_ON_CLOSE
            )
            await both.peer.close(gone)
            await both.peer.write(fid, 0, b"new")
            with trio.fail_after(20):  # the server gives the holder up after 35
                while await mapped() != b"new":
                    await trio.sleep(0.05)
            await holder.close(held)
        await reader.stdin.aclose()
        await reader.wait()
        assert not await on((both.path / "held").exists)


async def test_programs_that_wait_for_a_client_leave_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, many = [], trio.CapacityLimiter(130)
    give_way = files.give_way

    async def counted(*arguments: Any, **options: Any) -> None:
        waiting.append(arguments)
        await give_way(*arguments, **options)

    monkeypatch.setattr(files, "give_way", counted)

    def read() -> None:
        assert (both.path / "file").read_bytes() == b""

    async with mounted_and_shared(tmp_path) as both, trio.open_nursery() as nursery:
        await both.peer.open("file", **lease(R | W | H))
        for _ in range(120):
            nursery.start_soon(partial(trio.to_thread.run_sync, read, limiter=many))
        await both.told()
        await until(lambda: len(waiting) == 120)
        await on((both.path / "another").touch)
        await both.agree(R, KEY)


@pytest.mark.parametrize(("change", "name"), [(_rename, "mine"), (os.unlink, "report")])
async def test_what_gets_a_name_in_a_sticky_folder_while_a_client_is_waited_for_is_judged_itself(
    tmp_path: Path, change: Callable[[Path], None], name: str
) -> None:
    tmp_path.chmod(0o755)
    async with mounted_and_shared(tmp_path) as both:
        await on(both.path.chmod, 0o1777)
        assert (
            await on(acting, OWNER, lambda where: where.write_bytes(b"the owner's"), both.path / name) == "ok"
        )
        await on(acting, OWNER, lambda where: where.chmod(0o666), both.path / name)
        fid = await both.peer.open(name, share_access=3, **lease(R | H))
        share, said = both.pool.volume("main", origin="smb"), list[str]()

        async def act() -> None:
            said.append(await on(acting, OWNER, change, both.path / name))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(act)
            await both.told()
            if name == "report":
                await share.rename(share.root, b"report", share.root, b"elsewhere")
            others = await share.create(share.root, b"report", 0o100644, OTHER.uid, OTHER.gid)
            await both.peer.close(fid)
        assert said == ["EPERM"]
        assert await share.lookup(share.root, b"report") is others
