"""Named streams over SMB: their names, the rights and times they have of their file, sharing, deletion, snapshots."""

from pathlib import Path

import pytest
import trio
import trio.testing

from odxfs.ntstatus import Status
from odxfs.types import BLOCK_BYTES
from odxfs.wire.create import CreateDisposition, CreateOptions
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc import file_information as info
from odxfs.wire.fscc import file_names
from odxfs.wire.fscc.classes import FileAttributes
from odxfs.wire.fscc.classes import FileInformationClass as Class
from odxfs.wire.fscc.filetime import KEEP, from_ns
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.copychunk import SrvCopychunk, SrvCopychunkCopy
from odxfs.wire.gmt_token import format_gmt_token
from odxfs.wire.header import Command
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.read import ReadRequest, ReadResponse
from tests.support.remote import READ_ONLY_SHARE, Remote, remote, served
from tests.support.serving import OTHER_PASSWORD, OTHER_USER

OPEN, CREATE = CreateDisposition.OPEN, CreateDisposition.CREATE
OVERWRITE, SUPERSEDE = CreateDisposition.OVERWRITE, CreateDisposition.SUPERSEDE
READ_DATA, WRITE_DATA, DELETE = 0x1, 0x2, 0x10000
SHARE_READ_WRITE = 3


async def content(client: Remote, name: str) -> bytes:
    fid = await client.create(name, OPEN, access=READ_DATA)
    response = await client.call(Command.READ, ReadRequest(fid, 0, 65536).pack())
    await client.close(fid)
    return b"" if response.header.status else bytes(ReadResponse.unpack(response.pdu).data)


async def store(client: Remote, name: str, data: bytes) -> None:
    fid = await client.create(name)
    await client.write(fid, 0, data)
    assert await client.close(fid) is Status.SUCCESS


async def streams(client: Remote, name: str) -> dict[str, int]:
    fid = await client.create(name, OPEN)
    status, data = await client.query(fid, Class.STREAM)
    assert status is Status.SUCCESS
    await client.close(fid)
    return {found.stream_name: found.stream_size for found in file_names.unpack_streams(data)}


async def opening(client: Remote, name: str, **wishes: int) -> Status:
    status, fid = await client.try_create(name, **wishes)
    if status is Status.SUCCESS:
        await client.close(fid)
    return status


async def test_streams_of_files_and_folders_hold_bytes_of_their_own(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await store(client, "file", b"data")
        await store(client, "file:One", b"first")
        await store(client, "FILE:two:$DATA", b"second")
        await client.close(await client.make_directory("folder"))
        await store(client, "folder:of a folder", b"third")
        assert await content(client, "file") == await content(client, "file::$data") == b"data"
        assert await content(client, "file:ONE:$Data") == b"first"
        assert await content(client, "folder:OF A FOLDER") == b"third"
        assert await streams(client, "file") == {"::$DATA": 4, ":One:$DATA": 5, ":two:$DATA": 6}
        assert await streams(client, "folder") == {":of a folder:$DATA": 5}
        await store(client, "made with its stream:s", b"s")
        assert await streams(client, "made with its stream") == {"::$DATA": 0, ":s:$DATA": 1}


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("file:", Status.OBJECT_NAME_INVALID),
        ("file::", Status.OBJECT_NAME_INVALID),
        ("file:s:", Status.OBJECT_NAME_INVALID),
        ("file:s:$FOO", Status.OBJECT_NAME_INVALID),
        ("file:s:$INDEX_ALLOCATION", Status.OBJECT_NAME_INVALID),
        ("file:a:b:$DATA", Status.OBJECT_NAME_INVALID),
        ("file:a/b", Status.OBJECT_NAME_INVALID),
        ("file:a\0b", Status.OBJECT_NAME_INVALID),
        ("file:" + "x" * 256, Status.OBJECT_NAME_INVALID),
        ("folder:s\\file", Status.OBJECT_NAME_INVALID),
        ("folder\\:s", Status.OBJECT_NAME_INVALID),
        ("fi*le:s", Status.OBJECT_NAME_INVALID),
        ("file::$INDEX_ALLOCATION", Status.NOT_A_DIRECTORY),
        ("folder::$DATA", Status.FILE_IS_A_DIRECTORY),
        ("file:absent", Status.OBJECT_NAME_NOT_FOUND),
        ("absent:s", Status.OBJECT_NAME_NOT_FOUND),
        ("absent\\file:s", Status.OBJECT_PATH_NOT_FOUND),
        ("folder::$INDEX_ALLOCATION", Status.SUCCESS),
        ("folder:$i30:$index_allocation", Status.SUCCESS),
        ('file:\x05?*<>|"', Status.OBJECT_NAME_NOT_FOUND),
    ],
)
async def test_what_a_stream_can_be_called(tmp_path: Path, name: str, status: Status) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await client.close(await client.make_file("file"))
        await client.close(await client.make_directory("folder"))
        assert await opening(client, name, disposition=OPEN) is status


async def test_attributes_times_and_rights_are_the_files(tmp_path: Path) -> None:
    moment = from_ns(1_500_000_000_000_000_000)
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("file", b"data")
        stream = await client.create("file:s")
        hidden = info.FileBasicInformation(moment, KEEP, KEEP, KEEP, FileAttributes.HIDDEN).pack()
        assert await client.set(stream, Class.BASIC, hidden) is Status.SUCCESS
        for each in (fid, stream):
            found = info.FileBasicInformation.unpack((await client.query(each, Class.BASIC))[1])
            assert (found.creation_time, found.file_attributes) == (moment, FileAttributes.HIDDEN)
        written = info.FileBasicInformation(KEEP, KEEP, moment, KEEP, 0).pack()
        assert await client.set(fid, Class.BASIC, written) is Status.SUCCESS
        await client.write(stream, 0, b"longer than the file")
        found = info.FileBasicInformation.unpack((await client.query(fid, Class.BASIC))[1])
        assert found.last_write_time > moment
        sizes = info.FileStandardInformation.unpack((await client.query(stream, Class.STANDARD))[1])
        assert (sizes.end_of_file, sizes.number_of_links, sizes.directory) == (20, 1, False)
        assert (await client.query(stream, Class.INTERNAL)) == (await client.query(fid, Class.INTERNAL))
        _, data = await client.query(stream, Class.NAME)
        assert file_names.FileNameInformation.unpack(data).file_name == "\\file:s"
        read_only = info.FileBasicInformation(KEEP, KEEP, KEEP, KEEP, FileAttributes.READONLY).pack()
        assert await client.set(fid, Class.BASIC, read_only) is Status.SUCCESS
        assert await opening(client, "file:s", access=WRITE_DATA) is Status.ACCESS_DENIED
        assert await opening(client, "file:another", access=READ_DATA) is Status.ACCESS_DENIED
        assert await opening(client, "file:s", access=READ_DATA) is Status.SUCCESS


async def test_a_stream_is_no_way_round_the_rights_of_its_file(tmp_path: Path) -> None:
    async with served(tmp_path) as share:
        volume = share.pool.volume("main")
        secret = await volume.create(volume.root, b"secret", 0o600, 4242, 4242)
        await volume.create_stream(secret, b"s")
        shown = await volume.create(volume.root, b"shown", 0o644, 4242, 4242)
        await volume.create_stream(shown, b"s")
        async with remote(share, login=(OTHER_USER, OTHER_PASSWORD)) as client:
            assert (
                await opening(client, "secret:s", disposition=OPEN, access=READ_DATA) is Status.ACCESS_DENIED
            )
            assert await opening(client, "secret:new", access=READ_DATA) is Status.ACCESS_DENIED
            assert await opening(client, "shown:s", disposition=OPEN, access=READ_DATA) is Status.SUCCESS
            assert (
                await opening(client, "shown:s", disposition=OPEN, access=WRITE_DATA) is Status.ACCESS_DENIED
            )
            overwriting = {"disposition": OVERWRITE, "access": READ_DATA}
            assert await opening(client, "shown:s", **overwriting) is Status.ACCESS_DENIED
            assert (
                await opening(client, "shown:new", disposition=CREATE, access=READ_DATA)
                is Status.ACCESS_DENIED
            )
        async with remote(share, READ_ONLY_SHARE) as client:
            assert (
                await opening(client, "shown:s", disposition=OPEN, access=WRITE_DATA) is Status.ACCESS_DENIED
            )
        assert [entry.name for entry in await volume.list_streams(shown)] == [b"s"]


async def test_share_modes_are_the_streams_own_but_for_deleting_the_file(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await client.close(await client.make_file("file"))
        first = await client.create("file:s", share=0)
        assert await opening(client, "file:s", access=READ_DATA) is Status.SHARING_VIOLATION
        assert await opening(client, "file:other", share=0) is Status.SUCCESS
        assert await opening(client, "file", access=READ_DATA | WRITE_DATA, share=0) is Status.SUCCESS
        assert await opening(client, "file", access=DELETE) is Status.SHARING_VIOLATION
        assert (
            await opening(client, "file", disposition=OVERWRITE, access=WRITE_DATA)
            is Status.SHARING_VIOLATION
        )
        fid = await client.create("file", access=READ_DATA, share=SHARE_READ_WRITE)
        assert await opening(client, "file:other", access=DELETE) is Status.SUCCESS
        await client.close(first)
        assert await opening(client, "file", access=WRITE_DATA) is Status.SUCCESS
        await client.close(fid)


async def test_a_file_waits_for_its_streams_before_it_goes(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await store(client, "file:s", b"bytes")
        stream = await client.create("file:s", OPEN, access=READ_DATA)
        fid = await client.create("file", OPEN, CreateOptions.DELETE_ON_CLOSE)
        await client.close(fid)
        assert await opening(client, "file") is Status.DELETE_PENDING
        assert await opening(client, "file:s") is Status.DELETE_PENDING
        response = await client.call(Command.READ, ReadRequest(stream, 0, 100).pack())
        assert bytes(ReadResponse.unpack(response.pdu).data) == b"bytes"
        await client.close(stream)
        assert await opening(client, "file", disposition=OPEN) is Status.OBJECT_NAME_NOT_FOUND
        assert share.pool.statistics().inodes == 1


async def test_a_stream_is_deleted_and_renamed_by_itself(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await store(client, "file:one", b"1")
        await store(client, "file:two", b"22")
        await client.close(await client.create("file:empty"))
        await client.close(await client.create("file:one", OPEN, CreateOptions.DELETE_ON_CLOSE))
        assert await streams(client, "file") == {"::$DATA": 0, ":two:$DATA": 2, ":empty:$DATA": 0}
        fid = await client.create("file:empty")
        assert await rename(client, fid, ":two") is Status.OBJECT_NAME_COLLISION
        assert await rename(client, fid, ":two", replace=True) is Status.INVALID_PARAMETER
        assert await rename(client, fid, "file:two", replace=True) is Status.SHARING_VIOLATION
        assert await rename(client, fid, ":a:b:c") is Status.INVALID_PARAMETER
        assert await rename(client, fid, ":New:$DATA") is Status.SUCCESS
        two = await client.create("file:two")
        assert await rename(client, two, ":new", replace=True) is Status.ACCESS_DENIED
        await client.close(fid)
        assert await rename(client, two, ":NEW", replace=True) is Status.SUCCESS
        await client.close(two)
        assert await streams(client, "file") == {"::$DATA": 0, ":NEW:$DATA": 2}
        two = await client.create("file:new")
        assert await rename(client, two, "::$DATA") is Status.SUCCESS
        await client.write(two, 2, b"!")
        await client.close(two)
        assert await streams(client, "file") == {"::$DATA": 3}
        assert await content(client, "file") == b"22!"


async def test_a_stream_does_not_become_the_data_of_a_file_that_another_has_locked(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("file")
        stream = await client.create("file:s")
        await client.write(stream, 0, b"stream")
        lock = LockElement(5, 1, LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY)
        assert (await client.call(Command.LOCK, LockRequest(fid, (lock,)).pack())).header.status == 0
        assert await rename(client, stream, "::$DATA") is Status.FILE_LOCK_CONFLICT
        await client.close(fid)
        assert await rename(client, stream, "::$DATA") is Status.SUCCESS


async def rename(client: Remote, fid: FileId, name: str, *, replace: bool = False) -> Status:
    return await client.set(fid, Class.RENAME, file_names.FileRenameInformation(name, replace).pack())


@pytest.mark.parametrize("disposition", [OVERWRITE, SUPERSEDE, CreateDisposition.OVERWRITE_IF])
async def test_overwriting_a_file_takes_its_streams_and_overwriting_a_stream_itself(
    tmp_path: Path, disposition: int
) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await store(client, "file", b"data")
        await store(client, "file:s", b"bytes")
        await store(client, "file:t", b"more")
        await client.close(await client.create("file:s", disposition))
        assert await streams(client, "file") == {"::$DATA": 4, ":s:$DATA": 0, ":t:$DATA": 4}
        await client.close(await client.create("file", disposition))
        assert await streams(client, "file") == {"::$DATA": 0}


async def test_a_file_is_not_renamed_under_an_open_stream(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("file")
        stream = await client.create("file:s")
        assert await rename(client, fid, "other") is Status.ACCESS_DENIED
        await client.close(stream)
        assert await rename(client, fid, "other") is Status.SUCCESS
        assert await streams(client, "other") == {"::$DATA": 0, ":s:$DATA": 0}


async def test_previous_versions_have_the_streams_of_then(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await store(client, "file:s", b"then")
        snapshot = await share.pool.snapshots.create("main", "first")
        await store(client, "file:s", b"now")
        await store(client, "file:later", b"later")
        token = format_gmt_token(snapshot.created_ns // 1_000_000_000)
        assert await content(client, f"{token}\\file:s") == b"then"
        assert await streams(client, f"{token}\\file") == {"::$DATA": 0, ":s:$DATA": 4}
        refused = await opening(client, f"{token}\\file:new")
        assert refused is Status.MEDIA_WRITE_PROTECTED


async def test_a_stream_is_copied_by_extents(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        data = b"x" * (4 * BLOCK_BYTES)
        await store(client, "file:s", data)
        source = await client.create("file:s")
        target = await client.create("file:copy")
        _, key = await client.fsctl(source, Fsctl.SRV_REQUEST_RESUME_KEY)
        chunks = SrvCopychunkCopy(key[:24], (SrvCopychunk(0, 0, len(data)),))
        status, _ = await client.fsctl(target, Fsctl.SRV_COPYCHUNK_WRITE, chunks.pack())
        assert status is Status.SUCCESS
        assert await content(client, "file:copy") == data
        await share.pool.commit()
        assert share.pool.statistics().allocated_bytes == len(data)


async def test_a_stream_that_lost_its_name_takes_no_other_with_it(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await store(client, "file:s", b"old")
        old = await client.create("file:s", OPEN, CreateOptions.DELETE_ON_CLOSE)
        await client.close(await client.create("file", OVERWRITE, access=WRITE_DATA))
        await store(client, "file:s", b"young")
        assert await rename(client, old, ":other") is Status.FILE_DELETED
        await client.write(old, 0, b"still there")
        await client.close(old)
        assert await streams(client, "file") == {"::$DATA": 0, ":s:$DATA": 5}


async def test_a_program_removes_a_file_whose_stream_is_open(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        volume = share.volume
        await store(client, "file:s", b"bytes")
        stream = await client.create("file:s", OPEN)
        await volume.unlink(volume.root, b"file")
        await client.write(stream, 0, b"BYTES")
        assert await rename(client, stream, ":t") is Status.OBJECT_NAME_NOT_FOUND
        await client.close(stream)
        await share.pool.commit()
        assert share.pool.statistics().allocated_bytes == 0
        assert share.pool.statistics().inodes == 1


async def test_streams_end_with_their_session(tmp_path: Path) -> None:
    async with served(tmp_path) as share:
        async with remote(share) as client:
            await store(client, "file:s", b"bytes")
            await store(client, "gone:s", b"bytes")
            await client.create("file:s", OPEN, CreateOptions.DELETE_ON_CLOSE)
            await client.create("gone:s", OPEN)
            await client.close(await client.create("gone", OPEN, CreateOptions.DELETE_ON_CLOSE))
        async with remote(share) as client:
            while len(share.server.opens):
                await trio.testing.wait_all_tasks_blocked(0.001)
            assert await streams(client, "file") == {"::$DATA": 0}
            assert await opening(client, "gone", disposition=OPEN) is Status.OBJECT_NAME_NOT_FOUND


async def test_of_a_list_of_streams_the_whole_entries_are_told_that_there_is_room_for(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        for number in range(3):
            await client.close(await client.create(f"f:s{number}"))
        _, whole = await client.query(fid, Class.STREAM)
        for room in range(32, len(whole)):
            status, data = await client.query(fid, Class.STREAM, room=room)
            assert status is Status.BUFFER_OVERFLOW
            told = file_names.unpack_streams(data) if data else ()
            assert told == file_names.unpack_streams(whole)[: len(told)]
            assert len(data) == len(file_names.pack_streams(told)) <= room
            assert len(file_names.pack_streams(file_names.unpack_streams(whole)[: len(told) + 1])) > room
