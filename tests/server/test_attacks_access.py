"""A user who has a folder of his own must not get at the files of others through it: links, replacing, superseding."""

import stat
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from odxfs.ntstatus import Status
from odxfs.types import InodeNumber
from odxfs.volume import Inode
from odxfs.wire.change_notify import ChangeNotifyRequest
from odxfs.wire.create import CreateDisposition, CreateOptions
from odxfs.wire.file_id import FileId
from odxfs.wire.flush import FlushRequest
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.fscc.ea import ExtendedAttribute, pack_full_ea
from odxfs.wire.fscc.file_information import FileDispositionInformation
from odxfs.wire.fscc.file_names import FileLinkInformation, FileRenameInformation
from odxfs.wire.fscc.security_descriptor import Acl, SecurityDescriptor
from odxfs.wire.fscc.sid import EVERYONE
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.copychunk import SrvCopychunk, SrvCopychunkCopy
from odxfs.wire.fsctl.duplicate_extents import DuplicateExtentsData
from odxfs.wire.fsctl.offload import OffloadReadInput, OffloadWriteInput
from odxfs.wire.fsctl.resume_key import SrvRequestResumeKeyResponse
from odxfs.wire.fsctl.sparse import FileAllocatedRange, FileZeroDataInformation
from odxfs.wire.fsctl.trim import FileLevelTrim, TrimRange
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest, IoctlResponse
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.query_directory import QueryDirectoryRequest
from odxfs.wire.query_info import InfoType, QueryInfoRequest
from odxfs.wire.read import ReadRequest
from odxfs.wire.set_info import SetInfoRequest
from odxfs.wire.write import WriteRequest
from tests.support.peer import Body, Peer, Refused, logged_in
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, PASSWORD, SHARE, USER, Served, serve

BOB = 1001
APPEND_DATA, READ_ATTRIBUTES, DELETE = 0x4, 0x80, 0x10000
FILE, FOLDER = stat.S_IFREG, stat.S_IFDIR


def _bob(served: Served) -> AbstractAsyncContextManager[Peer]:
    return logged_in(served.port, OTHER_USER, OTHER_PASSWORD, SHARE)


async def _folder(served: Served, name: bytes, mode: int, uid: int = 0) -> InodeNumber:
    return (await served.volume.create(served.volume.root, name, FOLDER | mode, uid, uid)).number


async def _file(served: Served, parent: InodeNumber, name: bytes, mode: int, uid: int = 0) -> Inode:
    inode = await served.volume.create(parent, name, FILE | mode, uid, uid)
    await served.volume.write(inode, 0, b"content")
    return inode


async def _set(
    peer: Peer, name: str, information: FileLinkInformation | FileRenameInformation, access: int
) -> Status:
    """The status of a SET_INFO through an open of `name` that was granted `access`."""
    fid = await peer.open(name, CreateDisposition.OPEN, desired_access=access)
    request = SetInfoRequest(InfoType.FILE, information.INFO_CLASS, fid, information.pack())
    response = await peer.answer(Command.SET_INFO, request)
    await peer.close(fid)
    return Status(response.header.status)


async def test_a_link_is_made_by_the_owner_and_by_who_may_read_and_write(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        await _folder(served, b"bob", 0o755, BOB)
        for stored, mode, uid in ((b"foreign", 0o644, 0), (b"open to all", 0o666, 0), (b"own", 0o400, BOB)):
            await _file(served, served.volume.root, stored, mode, uid)
        async with _bob(served) as bob:
            for name, expected in (("foreign", Status.ACCESS_DENIED), ("open to all", 0), ("own", 0)):
                status = await _set(bob, name, FileLinkInformation(f"bob\\{name}"), READ_ATTRIBUTES)
                assert status == expected, name


async def test_who_may_only_delete_a_name_may_not_supersede_the_file(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        folder = await _folder(served, b"bob", 0o755, BOB)
        inode = await _file(served, served.volume.root, b"foreign", 0o644)
        await served.volume.link(inode, folder, b"link")
        async with _bob(served) as bob:
            try:
                await bob.open("bob\\link", CreateDisposition.SUPERSEDE, desired_access=READ_ATTRIBUTES)
                status = Status.SUCCESS
            except Refused as refused:
                status = refused.status
        assert status == Status.ACCESS_DENIED
        assert await served.volume.read(inode, 0, 7) == b"content"


async def test_the_sticky_bit_keeps_a_file_from_being_replaced(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        folder = await _folder(served, b"tmp", 0o1777)
        await _file(served, folder, b"foreign", 0o644)
        own = await _file(served, folder, b"own", 0o644, BOB)
        async with _bob(served) as bob:
            for kind, access in ((FileRenameInformation, DELETE), (FileLinkInformation, READ_ATTRIBUTES)):
                status = await _set(bob, "tmp\\own", kind("tmp\\foreign", replace_if_exists=True), access)
                assert status == Status.ACCESS_DENIED, kind
        assert own.nlink == 1
        assert (await served.volume.lookup(folder, b"foreign")).uid == 0


async def test_deleting_by_one_name_leaves_the_name_of_whoever_closes_last(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        folder = await _folder(served, b"bob", 0o755, BOB)
        inode = await _file(served, served.volume.root, b"foreign", 0o644)
        await served.volume.link(inode, folder, b"link")
        async with logged_in(served.port, USER, PASSWORD, SHARE) as alice, _bob(served) as bob:
            hers = await alice.open("foreign", CreateDisposition.OPEN)
            his = await bob.open("bob\\link", CreateDisposition.OPEN, desired_access=DELETE)
            doomed = FileDispositionInformation(delete_pending=True).pack()
            kind = FileInformationClass.DISPOSITION
            await bob.call(Command.SET_INFO, SetInfoRequest(InfoType.FILE, kind, his, doomed))
            await bob.close(his)
            await alice.close(hers)
        assert await served.volume.names_of(inode.number) == [(served.volume.root, b"foreign")]


async def test_an_open_that_may_only_append_overwrites_nothing_by_copychunk(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        source = await peer.open("source")
        await peer.write(source, 0, b"s" * 4096)
        await peer.close(await peer.open("log"))
        log = await peer.open("log", CreateDisposition.OPEN, desired_access=APPEND_DATA)
        asked = IoctlRequest(Fsctl.SRV_REQUEST_RESUME_KEY, source, b"", max_output_response=64)
        answer = IoctlResponse.unpack((await peer.call(Command.IOCTL, asked)).pdu)
        key = SrvRequestResumeKeyResponse.unpack(answer.output_buffer).resume_key
        for offset, expected in ((0, Status.SUCCESS), (0, Status.ACCESS_DENIED), (4096, Status.SUCCESS)):
            copy = SrvCopychunkCopy(key, (SrvCopychunk(0, offset, 4096),)).pack()
            request = IoctlRequest(Fsctl.SRV_COPYCHUNK_WRITE, log, copy, max_output_response=64)
            assert (await peer.answer(Command.IOCTL, request)).header.status == expected


def _fsctls(fid: FileId, other: FileId, key: bytes) -> list[tuple[int, Body]]:
    codes: list[tuple[Fsctl, FileId, bytes]] = [
        (Fsctl.SET_ZERO_DATA, fid, FileZeroDataInformation(0, 4096).pack()),
        (Fsctl.FILE_LEVEL_TRIM, fid, FileLevelTrim((TrimRange(0, 4096),)).pack()),
        (Fsctl.SET_SPARSE, fid, b""),
        (Fsctl.QUERY_ALLOCATED_RANGES, fid, FileAllocatedRange(0, 4096).pack()),
        (Fsctl.QUERY_FILE_REGIONS, fid, b""),
        (Fsctl.SRV_COPYCHUNK, fid, SrvCopychunkCopy(key, (SrvCopychunk(0, 0, 4096),)).pack()),
        (Fsctl.SRV_COPYCHUNK_WRITE, fid, SrvCopychunkCopy(key, (SrvCopychunk(0, 8192, 4096),)).pack()),
        (Fsctl.DUPLICATE_EXTENTS_TO_FILE, fid, DuplicateExtentsData(other, 0, 0, 4096).pack()),
        (Fsctl.DUPLICATE_EXTENTS_TO_FILE, other, DuplicateExtentsData(fid, 0, 0, 4096).pack()),
        (Fsctl.OFFLOAD_READ, fid, OffloadReadInput(file_offset=0, copy_length=4096).pack()),
        (
            Fsctl.OFFLOAD_WRITE,
            fid,
            OffloadWriteInput(file_offset=0, copy_length=4096, transfer_offset=0, token=bytes(512)).pack(),
        ),
        (Fsctl.SET_REPARSE_POINT, fid, bytes(8)),
        (Fsctl.DELETE_REPARSE_POINT, fid, bytes(8)),
        (Fsctl.SET_COMPRESSION, fid, bytes(2)),
        (Fsctl.SET_INTEGRITY_INFORMATION, fid, bytes(8)),
    ]
    return [
        (Command.IOCTL, IoctlRequest(code, on, data, max_output_response=4096)) for code, on, data in codes
    ]


def _setting(fid: FileId) -> list[tuple[int, Body]]:
    kind, security = FileInformationClass, InfoType.SECURITY
    descriptor = SecurityDescriptor(EVERYONE, EVERYONE, Acl()).pack()
    changes = (
        (kind.BASIC, bytes(40)),
        (kind.END_OF_FILE, bytes(8)),
        (kind.ALLOCATION, bytes(8)),
        (kind.DISPOSITION, b"\1"),
        (kind.RENAME, FileRenameInformation("other name").pack()),
        (kind.FULL_EA, pack_full_ea([ExtendedAttribute(b"NAME", b"value")])),
    )
    return [
        *[(Command.SET_INFO, SetInfoRequest(InfoType.FILE, level, fid, data)) for level, data in changes],
        *[(Command.SET_INFO, SetInfoRequest(security, 0, fid, descriptor, parts)) for parts in (1, 4, 8)],
    ]


async def test_an_open_does_nothing_that_it_was_not_granted(tmp_path: Path) -> None:
    """The user may do everything; this open was asked for to look at attributes."""
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        other = await peer.open("other")
        await peer.write(other, 0, b"o" * 8192)
        asked = IoctlRequest(Fsctl.SRV_REQUEST_RESUME_KEY, other, b"", max_output_response=64)
        key = IoctlResponse.unpack((await peer.call(Command.IOCTL, asked)).pdu).output_buffer[:24]
        await peer.write(await peer.open("file"), 0, b"f" * 8192)
        await peer.open("folder", create_options=CreateOptions.DIRECTORY_FILE)
        fid = await peer.open("file", CreateDisposition.OPEN, desired_access=READ_ATTRIBUTES)
        folder = await peer.open("folder", CreateDisposition.OPEN, desired_access=READ_ATTRIBUTES)
        lock = LockElement(0, 1, LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY)
        calls: list[tuple[int, Body]] = [
            (Command.READ, ReadRequest(fid, 0, 100)),
            (Command.WRITE, WriteRequest(fid, 0, b"data")),
            (Command.WRITE, WriteRequest(fid, 8192, b"data")),
            (Command.FLUSH, FlushRequest(fid)),
            (Command.LOCK, LockRequest(fid, (lock,))),
            (Command.QUERY_DIRECTORY, QueryDirectoryRequest(37, folder)),
            (Command.CHANGE_NOTIFY, ChangeNotifyRequest(folder, 0xFFF, 4096)),
            (Command.QUERY_INFO, QueryInfoRequest(InfoType.FILE, FileInformationClass.FULL_EA, fid, 4096)),
            *[(Command.QUERY_INFO, QueryInfoRequest(InfoType.SECURITY, 0, fid, 4096, p)) for p in (1, 4, 8)],
            *_fsctls(fid, other, key),
            *_setting(fid),
        ]
        answers = [
            (command, body, (await peer.answer(command, body)).header.status) for command, body in calls
        ]
        allowed = [each for each in answers if each[2] != Status.ACCESS_DENIED]
        assert allowed == []
        inode = await served.volume.lookup(served.volume.root, b"file")
        assert bytes(await served.volume.read(inode, 0, 9000)) == b"f" * 8192
        assert await served.pool.check() == []
