"""SET_INFO: attributes, sizes, renames, links and deletion, with the rights and refusals of Windows."""

import stat
import struct
from pathlib import Path

import pytest

from odxfs.errors import NotFound
from odxfs.ntstatus import Status
from odxfs.volume import AttributeChange
from odxfs.wire.create import CreateDisposition, CreateOptions
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc import file_information as info
from odxfs.wire.fscc.classes import FileAttributes
from odxfs.wire.fscc.classes import FileInformationClass as Class
from odxfs.wire.fscc.ea import ExtendedAttribute, pack_full_ea, unpack_full_ea
from odxfs.wire.fscc.file_names import FileLinkInformation, FileRenameInformation, FileRenameInformationEx
from odxfs.wire.fscc.filetime import KEEP, STOP_UPDATES, Filetime, from_ns
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.sparse import FileZeroDataInformation
from odxfs.wire.header import Command
from odxfs.wire.query_info import InfoType
from odxfs.wire.read import ReadRequest
from tests.support.remote import DIRECTORY, Remote, remote, served
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, Served

DELETE = 0x10000
READ_ATTRIBUTES = 0x80


async def times(client: Remote, fid: object) -> info.FileBasicInformation:
    _, data = await client.query(fid, Class.BASIC)  # type: ignore[arg-type]
    return info.FileBasicInformation.unpack(data)


def basic(
    created: Filetime = KEEP,
    written: Filetime = KEEP,
    changed: Filetime = KEEP,
    attributes: int = 0,
) -> bytes:
    return info.FileBasicInformation(created, KEEP, written, changed, attributes).pack()


def rename_to(name: str, *, replace: bool = False) -> bytes:
    return FileRenameInformation(name, replace).pack()


async def names(client: Remote, directory: str = "") -> bool | None:
    status, fid = await client.try_create(directory, CreateDisposition.OPEN)
    if status is Status.SUCCESS:
        await client.close(fid)
    return status is Status.SUCCESS


async def stored_names(share: Served) -> set[bytes]:
    return {entry.name for entry in await share.volume.list_directory(share.volume.root, 0, 99)}


async def test_times_are_set_kept_and_frozen(tmp_path: Path) -> None:
    moment = from_ns(1_500_000_000_000_000_000)
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        before = await times(client, fid)
        assert await client.set(fid, Class.BASIC, basic(created=moment, written=moment)) is Status.SUCCESS
        after = await times(client, fid)
        assert (after.creation_time, after.last_write_time) == (moment, moment)
        assert after.last_access_time == before.last_access_time
        assert await client.set(fid, Class.BASIC, basic(changed=moment)) is Status.SUCCESS
        assert await client.set(fid, Class.BASIC, basic(attributes=FileAttributes.HIDDEN)) is Status.SUCCESS
        assert (await times(client, fid)).change_time == moment
        assert await client.set(fid, Class.BASIC, basic(written=STOP_UPDATES)) is Status.SUCCESS
        assert (await times(client, fid)).last_write_time == moment
        assert await client.set(fid, Class.BASIC, basic(written=Filetime(-3))) is Status.INVALID_PARAMETER


async def test_attributes(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        wanted = FileAttributes.READONLY | FileAttributes.SYSTEM
        assert await client.set(fid, Class.BASIC, basic(attributes=wanted)) is Status.SUCCESS
        assert (await times(client, fid)).file_attributes == wanted
        assert await client.set(fid, Class.BASIC, basic(attributes=FileAttributes.NORMAL)) is Status.SUCCESS
        assert (await times(client, fid)).file_attributes == FileAttributes.NORMAL
        refused = await client.set(fid, Class.BASIC, basic(attributes=FileAttributes.DIRECTORY))
        assert refused is Status.INVALID_PARAMETER
        folder = await client.make_directory("d")
        refused = await client.set(folder, Class.BASIC, basic(attributes=FileAttributes.TEMPORARY))
        assert refused is Status.INVALID_PARAMETER


@pytest.mark.parametrize("how", ["write", "end of file", "zeros", "stream", "new stream", "rename", "local"])
async def test_what_changes_a_file_marks_it_for_the_next_backup(tmp_path: Path, how: str) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid, stream = await client.make_file("f", b"x" * 10000), await client.create("f:s")
        assert await client.set(fid, Class.BASIC, basic(attributes=FileAttributes.HIDDEN)) is Status.SUCCESS
        await client.call(Command.READ, ReadRequest(fid, 0, 10).pack())
        assert (
            await client.set(fid, Class.FULL_EA, pack_full_ea([ExtendedAttribute(b"A", b"v")]))
            is Status.SUCCESS
        )
        assert (await times(client, fid)).file_attributes == FileAttributes.HIDDEN
        if how == "write":
            await client.write(fid, 5, b"y")
        elif how == "end of file":
            assert await client.set(fid, Class.END_OF_FILE, struct.pack("<q", 7)) is Status.SUCCESS
        elif how == "zeros":
            zeros = FileZeroDataInformation(0, 4096).pack()
            assert (await client.fsctl(fid, Fsctl.SET_ZERO_DATA, zeros))[0] is Status.SUCCESS
        elif how == "stream":
            await client.write(stream, 0, b"y")
        elif how == "new stream":
            await client.create("f:t")
        elif how == "rename":
            await client.close(stream)
            assert await client.set(fid, Class.RENAME, rename_to("g")) is Status.SUCCESS
        else:
            await share.volume.write(await share.volume.lookup(share.volume.root, b"f"), 0, b"y")
        assert (await times(client, fid)).file_attributes == FileAttributes.HIDDEN | FileAttributes.ARCHIVE


async def test_contents_that_make_no_sense_are_no_wrong_length(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        for length in (3, 200):
            malformed = bytearray(rename_to("renamed"))
            struct.pack_into("<I", malformed, 16, length)
            assert await client.set(fid, Class.RENAME, bytes(malformed)) is Status.INVALID_PARAMETER
        assert await client.set(fid, Class.RENAME, rename_to("")[:19]) is Status.INFO_LENGTH_MISMATCH
        for chain in (b"\7\0\0\0" + bytes(20), b"\0" * 7, b"\0\0\0\0\0\1\xff\0a\0"):
            assert await client.set(fid, Class.FULL_EA, chain) is Status.EA_LIST_INCONSISTENT


async def test_the_end_of_file_moves_both_ways(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f", b"x" * 10000)
        for size in (100, 1_000_000, 0):
            assert await client.set(fid, Class.END_OF_FILE, struct.pack("<q", size)) is Status.SUCCESS
            _, data = await client.query(fid, Class.STANDARD)
            assert info.FileStandardInformation.unpack(data).end_of_file == size
        assert await client.set(fid, Class.END_OF_FILE, struct.pack("<q", -1)) is Status.INVALID_PARAMETER
        assert await client.set(fid, Class.END_OF_FILE, struct.pack("<q", 2**60)) is Status.DISK_FULL
        assert await client.set(fid, Class.END_OF_FILE, b"\0" * 7) is Status.INFO_LENGTH_MISMATCH
        folder = await client.make_directory("d")
        assert await client.set(folder, Class.END_OF_FILE, bytes(8)) is Status.INVALID_PARAMETER


async def test_a_smaller_allocation_cuts_the_file(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f", b"x" * 10000)
        assert await client.set(fid, Class.ALLOCATION, struct.pack("<q", 1 << 30)) is Status.SUCCESS
        _, data = await client.query(fid, Class.STANDARD)
        assert info.FileStandardInformation.unpack(data).end_of_file == 10000
        assert await client.set(fid, Class.ALLOCATION, struct.pack("<q", 4096)) is Status.SUCCESS
        _, data = await client.query(fid, Class.STANDARD)
        assert info.FileStandardInformation.unpack(data).end_of_file == 4096


async def test_position_and_mode_belong_to_the_open(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        assert await client.set(fid, Class.POSITION, struct.pack("<q", 77)) is Status.SUCCESS
        assert await client.query(fid, Class.POSITION) == (Status.SUCCESS, struct.pack("<q", 77))
        assert await client.set(fid, Class.MODE, struct.pack("<I", 0x2)) is Status.SUCCESS
        assert await client.query(fid, Class.MODE) == (Status.SUCCESS, struct.pack("<I", 0x2))
        assert await client.set(fid, Class.MODE, struct.pack("<I", 0x40000)) is Status.INVALID_PARAMETER


async def test_without_the_right_nothing_is_set(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await client.close(await client.make_file("f"))
        fid = await client.create("f", access=READ_ATTRIBUTES)
        for info_class, data in (
            (Class.BASIC, basic(attributes=FileAttributes.HIDDEN)),
            (Class.END_OF_FILE, bytes(8)),
            (Class.ALLOCATION, bytes(8)),
            (Class.RENAME, rename_to("g")),
            (Class.DISPOSITION, b"\1"),
            (Class.DISPOSITION_EX, struct.pack("<I", 1)),
            (Class.FULL_EA, b""),
        ):
            assert await client.set(fid, info_class, data) is Status.ACCESS_DENIED
        assert await client.set(fid, 0, b"", InfoType.SECURITY, parts=4) is Status.ACCESS_DENIED


async def test_what_is_not_there_is_refused_honestly(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        assert await client.set(fid, 200, bytes(8)) is Status.INVALID_INFO_CLASS
        assert await client.set(fid, Class.VALID_DATA_LENGTH, bytes(8)) is Status.PRIVILEGE_NOT_HELD
        assert await client.set(fid, Class.SHORT_NAME, bytes(8)) is Status.NOT_SUPPORTED
        refused = await client.set(fid, 0, bytes(20), InfoType.SECURITY, parts=4)
        assert refused is Status.INVALID_SECURITY_DESCR
        assert await client.set(fid, 0, b"", InfoType.QUOTA) is Status.NOT_SUPPORTED
        assert await client.set(fid, 6, bytes(48), InfoType.FILESYSTEM) is Status.NOT_SUPPORTED
        assert await client.set(fid, 1, bytes(8), InfoType.FILESYSTEM) is Status.INVALID_INFO_CLASS


async def test_a_rename_moves_the_file_and_the_open_follows(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await client.close(await client.make_directory("d"))
        fid = await client.make_file("old", b"content")
        assert await client.set(fid, Class.RENAME, rename_to("D\\New")) is Status.SUCCESS
        _, data = await client.query(fid, Class.NAME)
        assert data[4:].decode("utf-16-le") == "\\d\\New"
        assert not await names(client, "old")
        assert await client.set(fid, Class.RENAME, rename_to("d\\NEW")) is Status.SUCCESS
        folder = await share.volume.lookup(share.volume.root, b"d")
        assert (await share.volume.lookup(folder.number, b"NEW")).size == 7
        assert await client.set(fid, Class.DISPOSITION, b"\1") is Status.SUCCESS
        await client.close(fid)
        with pytest.raises(NotFound):
            await share.volume.lookup(folder.number, b"NEW")


async def test_a_rename_respects_what_is_there(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("a", b"new")
        await client.close(await client.make_file("B", b"older"))
        await client.close(await client.make_directory("d"))
        assert await client.set(fid, Class.RENAME, rename_to("b")) is Status.OBJECT_NAME_COLLISION
        assert await client.set(fid, Class.RENAME, rename_to("d", replace=True)) is Status.ACCESS_DENIED
        assert await client.set(fid, Class.RENAME, rename_to("no\\b")) is Status.OBJECT_PATH_NOT_FOUND
        assert await client.set(fid, Class.RENAME, rename_to("a:stream")) is Status.SHARING_VIOLATION
        assert await client.set(fid, Class.RENAME, rename_to("a*")) is Status.OBJECT_NAME_INVALID
        rooted = FileRenameInformation("c", root_directory=5).pack()
        assert await client.set(fid, Class.RENAME, rooted) is Status.INVALID_PARAMETER
        target = await client.create("b", CreateDisposition.OPEN)
        assert await client.set(fid, Class.RENAME, rename_to("b", replace=True)) is Status.ACCESS_DENIED
        await client.close(target)
        replacing = FileRenameInformationEx("b", 1).pack()
        assert await client.set(fid, Class.RENAME_EX, replacing) is Status.SUCCESS
        assert (await share.volume.lookup(share.volume.root, b"b")).size == 3
        with pytest.raises(NotFound):
            await share.volume.lookup(share.volume.root, b"B")


async def test_a_directory_is_renamed_when_nothing_below_is_open(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        folder = await client.make_directory("d")
        await client.close(await client.make_directory("d\\e"))
        inside = await client.make_file("d\\e\\f")
        assert await client.set(folder, Class.RENAME, rename_to("x")) is Status.ACCESS_DENIED
        await client.close(inside)
        into_itself = await client.set(folder, Class.RENAME, rename_to("d\\e\\d"))
        assert into_itself is Status.INVALID_PARAMETER
        assert await client.set(folder, Class.RENAME, rename_to("x")) is Status.SUCCESS
        assert await names(client, "x\\e\\f")


async def test_a_folder_takes_the_name_of_a_file_when_told(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        folder = await client.make_directory("folder")
        await client.close(await client.make_file("folder\\below"))
        await client.close(await client.make_file("File", b"x"))
        assert await client.set(folder, Class.RENAME, rename_to("file")) is Status.OBJECT_NAME_COLLISION
        opened = await client.create("File")
        assert await client.set(folder, Class.RENAME, rename_to("file", replace=True)) is Status.ACCESS_DENIED
        await client.close(opened)
        inside = rename_to("folder\\below", replace=True)
        assert await client.set(folder, Class.RENAME, inside) is Status.SHARING_VIOLATION
        assert await client.set(folder, Class.RENAME, rename_to("file", replace=True)) is Status.SUCCESS
        assert await stored_names(share) == {b"file"}
        await client.close(await client.create("file\\below", CreateDisposition.OPEN))


async def test_each_link_of_a_file_is_deleted_for_itself(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        a = await client.make_file("a", b"content")
        for name in ("b", "c"):
            assert await client.set(a, Class.LINK, FileLinkInformation(name).pack()) is Status.SUCCESS
        assert await client.set(a, Class.DISPOSITION, b"\1") is Status.SUCCESS
        assert (await client.try_create("a", CreateDisposition.OPEN))[0] is Status.DELETE_PENDING
        b = await client.create("b", CreateDisposition.OPEN)
        again = await client.create("b", CreateDisposition.OPEN)
        assert await client.set(b, Class.DISPOSITION, b"\0") is Status.SUCCESS
        assert await client.set(b, Class.DISPOSITION, b"\1") is Status.SUCCESS
        _, told = await client.query(b, Class.STANDARD)
        assert info.FileStandardInformation.unpack(told).number_of_links == 1
        await client.close(a)
        assert await stored_names(share) == {b"b", b"c"}
        await client.close(b)
        assert await stored_names(share) == {b"b", b"c"}
        await client.close(again)
        assert await stored_names(share) == {b"c"}
        for name in ("d", "e"):
            c = await client.create("c", CreateDisposition.OPEN)
            assert await client.set(c, Class.LINK, FileLinkInformation(name).pack()) is Status.SUCCESS
            await client.close(c)
        d, e = [
            await client.create(name, CreateDisposition.OPEN, CreateOptions.DELETE_ON_CLOSE)
            for name in ("d", "e")
        ]
        await client.close(d)
        await client.close(e)
        assert await stored_names(share) == {b"c"}


async def test_a_folder_is_moved_by_what_is_in_it_now(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        volume = share.volume
        await client.close(await client.make_directory("a"))
        file = await client.make_file("a\\f")
        await volume.rename(volume.root, b"a", volume.root, b"b")
        new = await client.make_directory("a")
        assert await client.set(new, Class.RENAME, rename_to("c")) is Status.SUCCESS
        old = await client.create("b", CreateDisposition.OPEN, DIRECTORY)
        assert await client.set(old, Class.RENAME, rename_to("d")) is Status.ACCESS_DENIED
        await client.close(file)
        assert await client.set(old, Class.RENAME, rename_to("d")) is Status.SUCCESS
        assert await stored_names(share) == {b"c", b"d"}


async def test_a_folder_that_is_to_be_deleted_gets_no_more_names(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        folder = await client.make_directory("d")
        kept = await client.create("d", CreateDisposition.OPEN, DIRECTORY)
        file = await client.make_file("f")
        assert await client.set(folder, Class.DISPOSITION, b"\1") is Status.SUCCESS
        await client.close(folder)
        assert await client.set(file, Class.RENAME, rename_to("d\\f")) is Status.DELETE_PENDING
        link = FileLinkInformation("d\\f").pack()
        assert await client.set(file, Class.LINK, link) is Status.DELETE_PENDING
        await client.close(kept)
        assert await stored_names(share) == {b"f"}


async def test_a_file_is_renamed_over_another_name_of_itself(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        file = await client.make_file("a", b"content")
        for name in ("b", "c"):
            assert await client.set(file, Class.LINK, FileLinkInformation(name).pack()) is Status.SUCCESS
        assert await client.set(file, Class.RENAME, rename_to("b")) is Status.OBJECT_NAME_COLLISION
        assert await client.set(file, Class.RENAME, rename_to("B", replace=True)) is Status.SUCCESS
        assert await stored_names(share) == {b"B", b"c"}
        assert (await share.volume.lookup(share.volume.root, b"B")).nlink == 2
        _, told = await client.query(file, Class.NAME)
        assert told[4:].decode("utf-16-le") == "\\B"
        doomed = await client.create("c", CreateDisposition.OPEN, CreateOptions.DELETE_ON_CLOSE)
        again = await client.create("c", CreateDisposition.OPEN)
        await client.close(doomed)
        assert await client.set(file, Class.RENAME, rename_to("c", replace=True)) is Status.ACCESS_DENIED
        await client.close(again)
        assert await stored_names(share) == {b"B"}


async def test_a_read_only_file_is_replaced_by_who_says_so_and_may_write_its_attributes(
    tmp_path: Path,
) -> None:
    bob = (OTHER_USER, OTHER_PASSWORD)
    async with served(tmp_path) as share, remote(share, login=bob) as client:
        volume = share.volume
        await volume.set_attributes(await volume.inode(volume.root), AttributeChange(mode=0o777))
        target = await volume.create(volume.root, b"r", stat.S_IFREG | 0o644, 1001, 0)
        await volume.set_attributes(target, AttributeChange(dos_attributes=FileAttributes.READONLY))
        file = await client.make_file("f")
        plain, flag = FileRenameInformationEx("r", 0x1).pack(), FileRenameInformationEx("r", 0x41).pack()
        assert await client.set(file, Class.RENAME_EX, plain) is Status.ACCESS_DENIED
        await volume.set_attributes(target, AttributeChange(uid=0))
        assert await client.set(file, Class.RENAME_EX, flag) is Status.ACCESS_DENIED
        await volume.set_attributes(target, AttributeChange(uid=1001))
        assert await client.set(file, Class.RENAME_EX, flag) is Status.SUCCESS
        assert await stored_names(share) == {b"r"}
        assert target.nlink == 0


async def test_links_are_made_and_replace_only_when_told(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f", b"content")
        await client.close(await client.make_file("g"))
        assert await client.set(fid, Class.LINK, FileLinkInformation("l").pack()) is Status.SUCCESS
        assert (
            await client.set(fid, Class.LINK, FileLinkInformation("g").pack()) is Status.OBJECT_NAME_COLLISION
        )
        assert await client.set(fid, Class.LINK, FileLinkInformation("g", True).pack()) is Status.SUCCESS
        inode = await share.volume.lookup(share.volume.root, b"g")
        assert (inode.nlink, inode.size) == (3, 7)
        folder = await client.make_directory("d")
        refused = await client.set(folder, Class.LINK, FileLinkInformation("e").pack())
        assert refused is Status.FILE_IS_A_DIRECTORY


async def test_a_name_that_is_spelt_otherwise_is_replaced(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        for change, make in ((Class.RENAME, FileRenameInformation), (Class.LINK, FileLinkInformation)):
            await client.close(await client.make_file("Target", b"old"))
            fid = await client.make_file("f", b"new")
            assert await client.set(fid, change, make("TARGET", True).pack()) is Status.SUCCESS
            await client.close(fid)
            entries = {entry.name for entry in await share.volume.list_directory(share.volume.root, 0, 9)}
            assert entries == {b"TARGET"} | ({b"f"} if change is Class.LINK else set())
            inode = await share.volume.lookup(share.volume.root, b"TARGET")
            assert inode.size == 3
            await share.volume.unlink(share.volume.root, b"TARGET")


async def test_deletion_waits_for_the_last_close_and_can_be_taken_back(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        other = await client.create("f", CreateDisposition.OPEN, access=READ_ATTRIBUTES)
        assert await client.set(fid, Class.DISPOSITION, b"\1") is Status.SUCCESS
        assert (await client.try_create("f", CreateDisposition.OPEN))[0] is Status.DELETE_PENDING
        assert await client.set(fid, Class.DISPOSITION, b"\0") is Status.SUCCESS
        assert await names(client, "f")
        assert await client.set(fid, Class.DISPOSITION_EX, struct.pack("<I", 0x3)) is Status.SUCCESS
        await client.close(fid)
        assert (await client.try_create("f", CreateDisposition.OPEN))[0] is Status.DELETE_PENDING
        await client.close(other)
        assert not await names(client, "f")


async def test_what_is_to_be_deleted_is_not_renamed_out_of_it(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid, other = await client.make_file("f"), await client.create("f")
        folder = await client.make_directory("d")
        for each in (fid, folder):
            assert await client.set(each, Class.DISPOSITION, b"\1") is Status.SUCCESS
        for each in (fid, other, folder):
            assert await client.set(each, Class.RENAME, rename_to("g")) is Status.ACCESS_DENIED
        assert await client.set(other, Class.DISPOSITION, b"\0") is Status.SUCCESS
        assert await client.set(fid, Class.RENAME, rename_to("g")) is Status.SUCCESS
        at_close = await client.create("h", options=CreateOptions.DELETE_ON_CLOSE)
        assert await client.set(at_close, Class.RENAME, rename_to("i")) is Status.SUCCESS
        for each in (fid, other, folder, at_close):
            await client.close(each)
        assert await stored_names(share) == {b"g"}


async def test_a_file_that_goes_with_its_open_is_kept_after_all(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        plain = await client.make_file("plain")
        assert await client.set(plain, Class.DISPOSITION_EX, struct.pack("<I", 0x9)) is Status.NOT_SUPPORTED
        for name, flags in (("kept", (0x8,)), ("gone", (0x8, 0x9))):
            fid = await client.create(name, options=CreateOptions.DELETE_ON_CLOSE)
            for each in flags:
                assert await client.set(fid, Class.DISPOSITION_EX, struct.pack("<I", each)) is Status.SUCCESS
            _, data = await client.query(fid, Class.STANDARD)
            assert info.FileStandardInformation.unpack(data).delete_pending == (name == "gone")
            await client.close(fid)
        assert await stored_names(share) == {b"plain", b"kept"}


async def test_what_cannot_be_deleted(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        root = await client.create("", options=DIRECTORY)
        assert await client.set(root, Class.DISPOSITION, b"\1") is Status.CANNOT_DELETE
        folder = await client.make_directory("d")
        await client.close(await client.make_file("d\\f"))
        assert await client.set(folder, Class.DISPOSITION, b"\1") is Status.DIRECTORY_NOT_EMPTY
        fid = await client.make_file("r")
        assert await client.set(fid, Class.BASIC, basic(attributes=FileAttributes.READONLY)) is Status.SUCCESS
        assert await client.set(fid, Class.DISPOSITION, b"\1") is Status.CANNOT_DELETE
        assert await client.set(fid, Class.DISPOSITION_EX, struct.pack("<I", 0x11)) is Status.SUCCESS


async def test_a_read_only_share_changes_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share, "read") as client:
        volume = share.volume
        await volume.create(volume.root, b"f", stat.S_IFREG | 0o666, 0, 0)
        fid = await client.create("f", CreateDisposition.OPEN, access=0x02000000)
        assert await client.set(fid, Class.RENAME, rename_to("g")) is Status.ACCESS_DENIED
        assert await client.set(fid, Class.END_OF_FILE, bytes(8)) is Status.ACCESS_DENIED
        assert await client.set(fid, Class.DISPOSITION, b"\1") is Status.ACCESS_DENIED
        refused = await client.set(fid, Class.LINK, FileLinkInformation("l").pack())
        assert refused is Status.MEDIA_WRITE_PROTECTED


async def test_a_write_time_that_a_client_has_set_stays_through_its_open(tmp_path: Path) -> None:
    moment = from_ns(1_500_000_000_000_000_000)
    async with served(tmp_path) as share, remote(share) as client:
        fid, other = await client.make_file("f", b"data"), await client.create("f")
        assert await client.set(fid, Class.BASIC, basic(written=moment)) is Status.SUCCESS
        inode = await share.volume.lookup(share.volume.root, b"f")
        before = inode.mtime_ns
        await client.write(fid, 0, b"more")
        assert await client.set(fid, Class.END_OF_FILE, struct.pack("<q", 100)) is Status.SUCCESS
        assert (await times(client, other)).last_write_time == moment
        assert inode.mtime_ns != before, "whoever caches by the time must see that the bytes are others"
        await client.write(other, 0, b"again")
        assert (await times(client, fid)).last_write_time > moment
        moved = (await times(client, fid)).last_write_time
        assert await client.set(fid, Class.BASIC, basic(written=Filetime(-2))) is Status.SUCCESS
        await client.write(fid, 0, b"at last")
        assert (await times(client, fid)).last_write_time > moved


async def test_times_far_from_now_are_kept(tmp_path: Path) -> None:
    years = [Filetime(1), Filetime(200_000_000_000_000_000), Filetime(2**63 - 1 - 10**17)]
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        for moment in years:
            assert await client.set(fid, Class.BASIC, basic(created=moment, written=moment)) is Status.SUCCESS
            found = await times(client, fid)
            assert (found.creation_time, found.last_write_time) == (moment, moment)


async def sizes(client: Remote, fid: FileId) -> tuple[int, int]:
    _, data = await client.query(fid, Class.STANDARD)
    found = info.FileStandardInformation.unpack(data)
    return found.end_of_file, found.allocation_size


async def test_space_that_is_set_aside_is_shown_until_the_last_open_ends(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f", b"data")
        assert await client.set(fid, Class.ALLOCATION, struct.pack("<q", 10_000)) is Status.SUCCESS
        other = await client.create("f")
        assert await sizes(client, other) == (4, 12_288)
        await client.close(fid)
        assert await sizes(client, other) == (4, 12_288)
        await client.close(other)
        other = await client.create("f")
        assert await sizes(client, other) == (4, 4096)
        assert await client.set(other, Class.ALLOCATION, struct.pack("<q", 2**43)) is Status.DISK_FULL
        assert await client.set(other, Class.ALLOCATION, struct.pack("<q", 0)) is Status.SUCCESS
        assert await sizes(client, other) == (0, 0)


async def test_overwriting_removes_extended_attributes(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f", b"data")
        assert (
            await client.set(fid, Class.FULL_EA, pack_full_ea([ExtendedAttribute(b"NAME", b"value")]))
            is Status.SUCCESS
        )
        await client.close(fid)
        fid = await client.create("f", CreateDisposition.OVERWRITE)
        assert (await client.query(fid, Class.FULL_EA))[0] is Status.NO_EAS_ON_FILE


@pytest.mark.parametrize(
    "disposition", [CreateDisposition.OVERWRITE, CreateDisposition.OVERWRITE_IF, CreateDisposition.SUPERSEDE]
)
async def test_a_file_with_attributes_that_no_client_is_shown_is_overwritten(
    tmp_path: Path, disposition: CreateDisposition
) -> None:
    hidden = [b"user.com.apple.metadata:kMDItemWhereFroms", b"user.DosStream.x:$DATA", b"user."]
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f", b"data")
        inode = await share.volume.lookup(share.volume.root, b"f")
        for xattr in (*hidden, b"user.Name"):
            await share.volume.set_xattr(inode, xattr, b"value")
        status, eas = await client.query(fid, Class.FULL_EA)
        assert (status, [ea.name for ea in unpack_full_ea(eas)]) == (Status.SUCCESS, [b"Name"])
        assert await client.set(fid, Class.FULL_EA, eas) is Status.SUCCESS
        await client.close(fid)
        fid = await client.create("f", disposition)
        assert (await client.query(fid, Class.FULL_EA))[0] is Status.NO_EAS_ON_FILE
        assert await share.volume.list_xattrs(inode) == sorted(hidden)
