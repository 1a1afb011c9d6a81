"""What the share changes is there on the mount at once, and the reverse; opens and locks of one hold for the other."""

import errno
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.opens.share_modes import DELETE, FILE_READ_DATA, FILE_SHARE_ALL, FILE_SHARE_READ, FILE_WRITE_DATA
from odxfs.token_attributes import READ_TOKEN, WRITE_TOKEN, TokenAnswer
from odxfs.types import InodeNumber
from odxfs.volume import AttributeChange, Inode, RenameFlags
from odxfs.volume.tree.inodes import InodeCache
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.classes import FileInformationClass as Class
from odxfs.wire.fscc.file_names import (
    FileAllInformation,
    FileNameInformation,
    FileNormalizedNameInformation,
)
from odxfs.wire.header import Command
from odxfs.wire.query_info import InfoType, QueryInfoRequest, QueryInfoResponse
from odxfs_mount.operations import Operations
from odxfs_mount.unmounting import find_mount
from tests.mount.both import hold_notices, mounted_and_shared
from tests.mount.inside import Inside, mounted_inside, on
from tests.support.peer import Peer

FILE = stat.S_IFREG | 0o644
FOLDER = stat.S_IFDIR | 0o755


async def make(inside: Inside, name: bytes, data: bytes = b"", parent: InodeNumber | None = None) -> Inode:
    """A file as the share would make it."""
    share = inside.share
    inode = await share.create(share.root if parent is None else parent, name, FILE, 0, 0)
    await share.write(inode, 0, data)
    return inode


async def test_what_the_share_creates_and_writes_is_there_at_once(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        assert await on(os.listdir, inside.path) == []
        assert not await on((inside.path / "new").exists)
        await make(inside, b"new", b"from the share")
        assert await on((inside.path / "new").read_bytes) == b"from the share"
        assert await on(os.listdir, inside.path) == ["new"]


async def test_cached_pages_do_not_survive_a_write_by_the_share(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        file = await make(inside, b"file", b"a" * 300_000)
        path = inside.path / "file"
        opened = await on(path.open, "rb", 0)
        assert await on(os.pread, opened.fileno(), 300_000, 0) == b"a" * 300_000
        for number in range(20):
            fill = bytes([number])
            await inside.share.write(file, number * 10_000, fill * 10_000)
            assert await on(os.pread, opened.fileno(), 10_000, number * 10_000) == fill * 10_000
        await on(opened.close)
        assert (await on(path.read_bytes))[200_000:] == b"a" * 100_000


async def test_the_size_follows_the_share(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        file = await make(inside, b"file", b"12345")
        path = inside.path / "file"
        assert (await on(path.stat)).st_size == 5
        await inside.share.write(file, 5, b"6789")
        assert (await on(path.stat)).st_size == 9
        await inside.share.truncate(file, 2)
        assert (await on(path.stat)).st_size == 2
        assert await on(path.read_bytes) == b"12"


async def test_names_follow_the_share(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        share, root = inside.share, inside.share.root
        for number in range(30):
            old, new = f"old-{number}", f"new-{number}"
            await make(inside, old.encode(), old.encode())
            await on((inside.path / old).stat)
            await share.rename(root, old.encode(), root, new.encode())
            await (
                inside.pool.followed()
            )  # as clients do: till then a program may be on its way by the old name
            assert not await on((inside.path / old).exists)
            assert await on((inside.path / new).read_bytes) == old.encode()
            await share.unlink(root, new.encode())
            await inside.pool.followed()
            assert not await on((inside.path / new).exists)
        assert await on(os.listdir, inside.path) == []


async def test_a_name_that_the_share_replaces_means_the_new_file(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        share, root = inside.share, inside.share.root
        await make(inside, b"target", b"old")
        assert await on((inside.path / "target").read_bytes) == b"old"
        for number in range(30):
            await make(inside, b"fresh", b"%d" % number)
            await share.rename(root, b"fresh", root, b"target")
            await inside.pool.followed()
            assert await on((inside.path / "target").read_bytes) == b"%d" % number
        await make(inside, b"other", b"other")
        await on((inside.path / "other").stat)
        await share.rename(root, b"other", root, b"target", RenameFlags.EXCHANGE)
        await inside.pool.followed()
        assert await on((inside.path / "target").read_bytes) == b"other"
        assert await on((inside.path / "other").read_bytes) == b"29"


@pytest.mark.parametrize("looks", ["at its name", "at a list"])
async def test_a_name_that_goes_while_it_is_looked_at_is_not_believed_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: str
) -> None:
    """The row of an inode takes a moment, as on a slow disk: when it comes the name has gone, and soon means another file."""
    async with mounted_inside(tmp_path) as inside:
        share = inside.share
        folder = (await share.create(share.root, b"folder", FOLDER, 0, 0)).number
        first = (await make(inside, b"a", b"", folder)).number
        old = (await make(inside, b"b", b"the old one", folder)).number
        get, waits, may_go = InodeCache.get, trio.Event(), trio.Event()
        slow = old if looks == "at its name" else first

        async def slow_get(cache: InodeCache, number: InodeNumber) -> Inode:
            found = await get(cache, number)
            if number == slow and not waits.is_set():
                waits.set()
                await may_go.wait()
            return found

        monkeypatch.setattr(InodeCache, "get", slow_get)
        monkeypatch.setattr(InodeCache, "recent", lambda *_: None)
        async with trio.open_nursery() as nursery:
            if looks == "at its name":
                nursery.start_soon(on, os.path.exists, inside.path / "folder" / "b")
            else:
                nursery.start_soon(on, lambda: list(os.scandir(inside.path / "folder")))
            await waits.wait()
            await share.rename(folder, b"b", folder, b"archive")
            await inside.pool.followed()
            may_go.set()
        new = await make(inside, b"b", b"", folder)
        await on((inside.path / "folder" / "b").write_bytes, b"meant for the new one")
        archive = await share.lookup(folder, b"archive")
        assert bytes(await share.read(archive, 0, 100)) == b"the old one"
        assert bytes(await share.read(new, 0, 100)) == b"meant for the new one"


async def test_a_program_never_sees_that_the_kernel_had_to_look_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The share replaces the file once more between the second look at the name and the open."""
    _, may_tell = hold_notices(monkeypatch)
    look_up, looks = Operations.lookup, []

    async def and_replaced(operations: Operations, *arguments: Any) -> Any:
        entry = await look_up(operations, *arguments)
        looks.append(arguments)
        if len(looks) == 2:  # the kernel asks whether the name means the same file still, and then which
            await replace(b"third")
        return entry

    async with mounted_inside(tmp_path) as inside:

        async def replace(name: bytes) -> None:
            await inside.share.rename(inside.share.root, name, inside.share.root, b"file")

        for name in ("file", "second", "third"):
            await on((inside.path / name).write_text, name)
        monkeypatch.setattr(Operations, "lookup", and_replaced)
        try:
            await replace(b"second")
            assert await on((inside.path / "file").read_text) == "second"
            assert len(looks) == 2
        finally:
            may_tell.set()


async def test_nor_when_the_kernel_was_told_of_the_first_change_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No name is doubtful for a moment between the second look and the open; then the share replaces the file again."""
    _, may_tell = hold_notices(monkeypatch)
    open_, opens = Operations.open, []

    async def after_the_next(operations: Operations, *arguments: Any) -> Any:
        opens.append(arguments)
        if len(opens) == 1:
            may_tell.set()
            await inside.pool.followed()
            may_tell.clear()
            await replace(b"third")
        return await open_(operations, *arguments)

    async with mounted_inside(tmp_path) as inside:

        async def replace(name: bytes) -> None:
            await inside.share.rename(inside.share.root, name, inside.share.root, b"file")

        for name in ("file", "second", "third"):
            await on((inside.path / name).write_text, name)
        monkeypatch.setattr(Operations, "open", after_the_next)
        try:
            await replace(b"second")
            assert await on((inside.path / "file").read_text) == "second"
            assert len(opens) == 1
        finally:
            may_tell.set()


async def test_nor_when_a_folder_is_needed_again_behind_a_link_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The share moves the folder away once more when the second walk has come to the link, which leads on from the folder."""
    _, may_tell = hold_notices(monkeypatch)
    read, reads = Operations.readlink, []

    async def after_the_next(operations: Operations, *arguments: Any) -> Any:
        reads.append(arguments)
        await inside.share.rename(inside.share.root, b"folder", inside.share.root, b"elsewhere")
        return await read(operations, *arguments)

    async with mounted_inside(tmp_path) as inside:
        for name in ("folder", "second"):
            await on((inside.path / name).mkdir)
            await on((inside.path / name / "file").write_text, name)
            await on((inside.path / name / "link").symlink_to, "file")
        monkeypatch.setattr(Operations, "readlink", after_the_next)
        root = inside.share.root
        try:
            await inside.share.rename(root, b"folder", root, b"first")
            await inside.share.rename(root, b"second", root, b"folder")
            assert await on((inside.path / "folder" / "link").read_text) == "second"
            assert len(reads) == 1
        finally:
            may_tell.set()


async def test_nor_who_makes_something_in_a_folder_that_is_moved_away_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second walk has come to the name that is to be made; the kernel asks for the folder's mode then."""
    _, may_tell = hold_notices(monkeypatch)
    look_up, looks = Operations.lookup, []

    async def and_moved(operations: Operations, parent: Any, name: bytes, ctx: Any) -> Any:
        try:
            return await look_up(operations, parent, name, ctx)
        finally:
            if name == b"new":
                looks.append(name)
                await inside.share.rename(inside.share.root, b"folder", inside.share.root, b"moved")

    async with mounted_inside(tmp_path) as inside:
        for name in ("folder", "second"):
            await on((inside.path / name).mkdir)
        monkeypatch.setattr(Operations, "lookup", and_moved)
        root = inside.share.root
        try:
            await inside.share.rename(root, b"folder", root, b"first")
            await inside.share.rename(root, b"second", root, b"folder")
            await on((inside.path / "folder" / "new").mkdir)
            assert len(looks) == 1
            assert await on((inside.path / "moved" / "new").is_dir)
        finally:
            may_tell.set()


async def test_who_has_looked_twice_for_one_file_is_not_believed_to_have_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, may_tell = hold_notices(monkeypatch)

    def look() -> str:
        (inside.path / "one").stat()
        return (inside.path / "two").read_text()

    async with mounted_inside(tmp_path) as inside:
        for name in ("one", "two", "new one", "new two"):
            await on((inside.path / name).write_text, name)
        root = inside.share.root
        try:
            await inside.share.rename(root, b"new one", root, b"one")
            await inside.share.rename(root, b"new two", root, b"two")
            assert await on(look) == "new two"
        finally:
            may_tell.set()


async def test_a_folder_that_the_share_moves_takes_its_paths_along(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        share, root = inside.share, inside.share.root
        folder = await share.create(root, b"folder", FOLDER, 0, 0)
        await make(inside, b"file", b"inside", folder.number)
        assert await on((inside.path / "folder" / "file").read_bytes) == b"inside"
        await share.rename(root, b"folder", root, b"moved")
        assert not await on((inside.path / "folder" / "file").exists)
        assert await on((inside.path / "moved" / "file").read_bytes) == b"inside"


async def test_attributes_follow_the_share(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        file = await make(inside, b"file")
        path = inside.path / "file"
        await on(path.stat)
        await inside.share.set_attributes(file, AttributeChange(mode=0o600, mtime_ns=1_234_567_890))
        info = await on(path.stat)
        assert (stat.S_IMODE(info.st_mode), info.st_mtime_ns) == (0o600, 1_234_567_890)


async def test_what_the_mount_changes_is_the_shares_at_once(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        share, root = inside.share, inside.share.root
        await on((inside.path / "file").write_bytes, b"from the mount")
        file = await share.lookup(root, b"file")
        assert bytes(await share.read(file, 0, 100)) == b"from the mount"
        await on(os.rename, inside.path / "file", inside.path / "renamed")
        assert (await share.lookup(root, b"renamed")) is file


async def test_an_open_that_does_not_share_keeps_the_mount_out(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        file = await make(inside, b"file", b"data")
        path = inside.path / "file"
        entry = inside.opens.open(
            file.number, FILE_READ_DATA | FILE_WRITE_DATA, FILE_SHARE_READ, "an SMB open"
        )
        for attempt in (
            lambda: path.open("r+b"),
            path.unlink,
            lambda: path.rename(inside.path / "other"),
            lambda: os.truncate(path, 0),
        ):
            with pytest.raises(OSError, check=lambda error: error.errno == errno.EBUSY):
                await on(attempt)
        assert inside.opens.check(file.number, FILE_READ_DATA, FILE_SHARE_ALL)
        inside.opens.close(entry)
        await on(path.unlink)


async def test_a_file_open_on_the_mount_is_seen_by_the_share(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        path = inside.path / "file"
        await on(path.write_bytes, b"data")
        opened = await on(path.open, "r+b", 0)
        number = (await inside.share.lookup(inside.share.root, b"file")).number
        assert not inside.opens.check(number, FILE_READ_DATA, FILE_SHARE_READ)
        assert inside.opens.check(number, FILE_READ_DATA | DELETE, FILE_SHARE_ALL)
        await on(opened.close)
        with trio.fail_after(60):
            while not inside.opens.check(number, FILE_READ_DATA, FILE_SHARE_READ):
                await trio.sleep(0.01)  # the kernel sends RELEASE after close(2) has returned


async def test_byte_range_locks_of_the_share_hold_on_the_mount(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        file = await make(inside, b"file", bytes(20_000))
        entry = inside.opens.open(file.number, FILE_READ_DATA, FILE_SHARE_ALL, "an SMB open")
        opened = await on((inside.path / "file").open, "r+b", 0)
        assert inside.opens.lock(entry, 4096, 4096, exclusive=True)
        with pytest.raises(BlockingIOError):
            await on(os.pwrite, opened.fileno(), b"x", 5000)
        with pytest.raises(BlockingIOError):
            await on(os.pread, opened.fileno(), 100, 5000)
        assert await on(os.pwrite, opened.fileno(), b"x", 10_000) == 1
        inside.opens.close(entry)
        assert await on(os.pwrite, opened.fileno(), b"x", 5000) == 1
        await on(opened.close)


async def test_a_file_the_share_deletes_stays_readable_where_it_is_open(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        await make(inside, b"file", b"still here")
        opened = await on((inside.path / "file").open, "rb", 0)
        await inside.share.unlink(inside.share.root, b"file")
        with pytest.raises(FileNotFoundError):
            await on((inside.path / "file").open)
        assert (await on(os.fstat, opened.fileno())).st_nlink == 0
        assert await on(os.pread, opened.fileno(), 100, 0) == b"still here"
        await on(opened.close)


async def test_leaving_takes_the_mount_away_though_a_file_is_open(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        script = f"exec 3>{inside.path}/file; echo open; read line; echo more >&3"
        holder = await trio.lowlevel.open_process(
            ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert await holder.stdout.receive_some() == b"open\n"
    assert find_mount(str(tmp_path / "mnt")) is None
    await holder.stdin.aclose()
    await holder.stdout.aclose()
    assert await holder.wait() != 0


async def test_unmounting_from_outside_ends_the_session(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        await on((inside.path / "file").write_bytes, b"data")
        done = await trio.run_process(["umount", str(inside.path)], check=False)
        assert done.returncode == 0
        await inside.ended.wait()
        assert not find_mount(str(inside.path))


@pytest.mark.parametrize("shared", [0, FILE_SHARE_READ])
async def test_tokens_on_the_mount_mind_what_an_smb_open_shares(tmp_path: Path, shared: int) -> None:
    """EBUSY as open(2) is: neither read past an open that shares nothing, nor written past one that lets others read."""
    busy = pytest.raises(OSError, check=lambda error: error.errno == errno.EBUSY)
    async with mounted_inside(tmp_path) as inside:
        theirs, _ = await make(inside, b"theirs", b"s" * 4096), await make(inside, b"mine", b"m" * 4096)
        path, mine = inside.path / "theirs", inside.path / "mine"
        read, write = READ_TOKEN % (0, 4096), WRITE_TOKEN % (0, 4096, 0)
        token = TokenAnswer.unpack(await on(os.getxattr, mine, read)).token
        entry = inside.opens.open(theirs.number, FILE_READ_DATA | FILE_WRITE_DATA, shared, "SMB")
        with busy:
            await on(os.setxattr, path, write, token)
        if shared:
            await on(os.getxattr, path, read)
        else:
            with busy:
                await on(os.getxattr, path, read)
        assert await inside.share.read(theirs, 0, 4096) == b"s" * 4096
        inside.opens.close(entry)
        await on(os.setxattr, path, write, token)
        assert await inside.share.read(theirs, 0, 4096) == b"m" * 4096


async def names_of(peer: Peer, fid: FileId) -> set[str]:
    """What each of the classes that have it says of the path of an open, from the share's root."""
    answers = {}
    for information in (Class.NAME, Class.NORMALIZED_NAME, Class.ALL):
        request = QueryInfoRequest(InfoType.FILE, information, fid)
        answer = await peer.call(Command.QUERY_INFO, request)
        answers[information] = QueryInfoResponse.unpack(answer.pdu).output_buffer
    return {
        FileNameInformation.unpack(answers[Class.NAME]).file_name.removeprefix("\\"),
        FileNormalizedNameInformation.unpack(answers[Class.NORMALIZED_NAME]).file_name,
        FileAllInformation.unpack(answers[Class.ALL]).name.file_name.removeprefix("\\"),
    }


@pytest.mark.parametrize("stream", ["", ":s"])
async def test_a_client_sees_where_programs_have_moved_what_it_has_open(tmp_path: Path, stream: str) -> None:
    async with mounted_and_shared(tmp_path) as both:
        root = both.path
        await on(os.makedirs, root / "above" / "folder")
        await on((root / "above" / "folder" / "file").write_bytes, b"data")
        fid = await both.peer.open("above\\folder\\file" + stream)
        assert await names_of(both.peer, fid) == {"above\\folder\\file" + stream}
        await on((root / "above").rename, root / "moved")
        assert await names_of(both.peer, fid) == {"moved\\folder\\file" + stream}
        await on((root / "moved" / "folder" / "file").rename, root / "moved" / "new?")
        assert await names_of(both.peer, fid) == {"moved\\new\uf025" + stream}
        await on((root / "moved" / "new?").unlink)
        assert await names_of(both.peer, fid) == {"moved\\new\uf025" + stream}
