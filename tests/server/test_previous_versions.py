"""Previous versions: what a client sees of a volume's snapshots, and that it can change nothing in them."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.offload.rules import READ_OUTPUT_BYTES, WRITE_OUTPUT_BYTES
from odxfs.smb.shares import Share
from odxfs.wire.change_notify import ChangeNotifyRequest
from odxfs.wire.create import CreateDisposition as D
from odxfs.wire.create import CreateOptions
from odxfs.wire.create_contexts import (
    QueryMaximalAccessRequest,
    QueryMaximalAccessResponse,
    QueryOnDiskIdResponse,
    TimewarpToken,
    find_create_context,
)
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc import file_information as info
from odxfs.wire.fscc import file_names as names
from odxfs.wire.fscc.classes import FileInformationClass as Class
from odxfs.wire.fscc.classes import FileSystemInformationClass as VolumeClass
from odxfs.wire.fscc.directory_information import unpack_entries
from odxfs.wire.fscc.ea import ExtendedAttribute, pack_full_ea
from odxfs.wire.fscc.filetime import KEEP, Filetime, from_ns
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.copychunk import SrvCopychunk, SrvCopychunkCopy
from odxfs.wire.fsctl.duplicate_extents import DuplicateExtentsData
from odxfs.wire.fsctl.offload import (
    OffloadReadInput,
    OffloadReadOutput,
    OffloadWriteInput,
    OffloadWriteOutput,
)
from odxfs.wire.fsctl.snapshots import SrvSnapshotArray
from odxfs.wire.fsctl.sparse import FileAllocatedRange, FileZeroDataInformation, unpack_allocated_ranges
from odxfs.wire.fsctl.trim import FileLevelTrim, TrimRange
from odxfs.wire.gmt_token import format_gmt_token, is_gmt_token, parse_gmt_token
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest, IoctlResponse
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.query_directory import QueryDirectoryRequest, QueryDirectoryResponse
from odxfs.wire.query_info import InfoType, QueryInfoRequest, QueryInfoResponse
from odxfs.wire.set_info import SetInfoRequest
from odxfs.wire.write import WriteRequest
from tests.support.peer import Body, Peer, Refused, logged_in
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, PASSWORD, SHARE, USER, Served, serve

MEBIBYTE = 1024 * 1024
OLD = bytes(range(256)) * 4096
NEW = b"new" * 1000
READ, WRITE, DELETE, MAXIMUM = 0x1, 0x2, 0x10000, 0x02000000
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Past:
    """A served volume in which `folder/file` was OLD when the snapshot of `token` was made, and is NEW; `late` came after it."""

    served: Served
    token: str

    @property
    def second(self) -> int:
        found = parse_gmt_token(self.token)
        assert found is not None
        return found


async def snapshot(served: Served, name: str) -> str:
    """Make a snapshot and return its token."""
    made = await served.pool.snapshots.create("main", name)
    return format_gmt_token(made.created_ns // SECOND)


async def fill(served: Served, folder: bytes = b"folder") -> int:
    """Make `folder/file` with OLD; returns the folder's number."""
    volume = served.volume
    made = await volume.create(volume.root, folder, 0o040755, 0, 0)
    file = await volume.create(made.number, b"file", 0o100666, 0, 0)
    await volume.write(file, 0, OLD)
    return made.number


@asynccontextmanager
async def past(directory: Path, *shares: Share, uid: int = 0) -> AsyncIterator[Past]:
    async with serve(directory, shares=shares, uid=uid) as served:
        folder = await fill(served)
        token = await snapshot(served, "first")
        volume = served.volume
        file = await volume.lookup(folder, b"file")
        await volume.truncate(file, 0)
        await volume.write(file, 0, NEW)
        await volume.create(folder, b"late", 0o100666, 0, 0)
        yield Past(served, token)
        assert await served.pool.check() == []


@asynccontextmanager
async def session(served: Served, share: str = SHARE) -> AsyncIterator[Peer]:
    async with logged_in(served.port, USER, PASSWORD, share) as peer:
        yield peer


async def status_of(peer: Peer, command: int, body: Body) -> Status:
    return Status((await peer.answer(command, body)).header.status)


async def open_status(peer: Peer, name: str, disposition: int = D.OPEN, **fields: Any) -> Status:
    try:
        await peer.close(await peer.open(name, disposition, **fields))
    except Refused as refused:
        return refused.status
    return Status.SUCCESS


async def query(peer: Peer, fid: FileId, info_class: int, kind: int = InfoType.FILE) -> bytes:
    response = await peer.call(Command.QUERY_INFO, QueryInfoRequest(kind, info_class, fid, 65536, 0, 0, b""))
    return QueryInfoResponse.unpack(response.pdu).output_buffer


async def fsctl(peer: Peer, fid: FileId, code: int, data: bytes = b"", room: int = 65536) -> bytes:
    response = await peer.call(Command.IOCTL, IoctlRequest(code, fid, data, 0, room))
    return IoctlResponse.unpack(response.pdu).output_buffer


async def listed(peer: Peer, name: str, **fields: Any) -> dict[str, int]:
    """Names and file ids in a directory."""
    fid = await peer.open(name, D.OPEN, **fields)
    request = QueryDirectoryRequest(Class.ID_BOTH_DIRECTORY, fid, "*", 65536)
    response = await peer.call(Command.QUERY_DIRECTORY, request)
    await peer.close(fid)
    data = QueryDirectoryResponse.unpack(response.pdu).output_buffer
    return {entry.file_name: entry.file_id for entry in unpack_entries(Class.ID_BOTH_DIRECTORY, data)}


def warped(second: int, more_ticks: int = 0) -> tuple[tuple[bytes, bytes], ...]:
    """The create contexts that ask for the time `second` and `more_ticks` of 100 ns."""
    token = TimewarpToken(Filetime(from_ns(second * SECOND) + more_ticks))
    return ((TimewarpToken.NAME, token.pack()),)


@pytest.mark.parametrize(
    "form",
    [r"{token}\folder\file", r"folder\{token}\file", r"folder\file\{token}", r"{token}\FOLDER\File"],
)
async def test_a_token_may_stand_anywhere_in_a_path(tmp_path: Path, form: str) -> None:
    async with past(tmp_path) as then, session(then.served) as peer:
        created = await peer.create(form.format(token=then.token), D.OPEN, desired_access=READ)
        assert created.end_of_file == len(OLD)
        assert await peer.read(created.file_id, 0, 2 * MEBIBYTE) == OLD
        assert await peer.read(await peer.open(r"folder\file", D.OPEN), 0, 65536) == NEW
        name = names.FileNameInformation.unpack(await query(peer, created.file_id, Class.NAME)).file_name
        assert name.casefold() == r"\folder\file"


async def test_a_time_warp_means_the_snapshot_of_that_second(tmp_path: Path) -> None:
    async with past(tmp_path) as then, session(then.served) as peer:
        for ticks in (0, 1, 9_999_999):
            created = await peer.create(
                r"folder\file", D.OPEN, desired_access=READ, create_contexts=warped(then.second, ticks)
            )
            assert await peer.read(created.file_id, 4096, 4096) == OLD[4096:8192]
        missing = Status.OBJECT_NAME_NOT_FOUND
        for second, ticks in ((then.second, -1), (then.second + 1, 0), (then.second - 1, 0)):
            assert await open_status(peer, r"folder\file", create_contexts=warped(second, ticks)) is missing
        for raw in (-1, -(2**63), 2**63 - 1, 0):
            context = ((TimewarpToken.NAME, struct.pack("<q", raw)),)
            assert await open_status(peer, r"folder\file", create_contexts=context) is missing
        short = ((TimewarpToken.NAME, bytes(7)),)
        assert await open_status(peer, r"folder\file", create_contexts=short) is Status.INVALID_PARAMETER


async def test_the_folder_of_the_snapshot_lists_what_was_there(tmp_path: Path) -> None:
    async with past(tmp_path) as then, session(then.served) as peer:
        now = await listed(peer, "folder")
        assert set(now) == {".", "..", "file", "late"}
        for name, fields in (
            (then.token + r"\folder", {}),
            ("folder\\" + then.token, {"create_options": CreateOptions.DIRECTORY_FILE}),
            ("folder", {"create_contexts": warped(then.second)}),
        ):
            seen = await listed(peer, name, desired_access=READ, **fields)
            assert set(seen) == {".", "..", "file"}
            assert seen["file"] != now["file"]
            assert seen[".."] != now[".."]
        for root in (then.token, then.token + "\\"):
            assert set(await listed(peer, root, desired_access=READ)) == {".", "..", "folder"}


async def test_file_ids_tell_a_previous_version_from_the_file(tmp_path: Path) -> None:
    async with past(tmp_path) as then, session(then.served) as peer:
        later = await snapshot(then.served, "second")
        seen = set()
        for name in (r"folder\file", rf"{then.token}\folder\file", rf"{later}\folder\file"):
            created = await peer.create(
                name, D.OPEN, desired_access=READ | 0x80, create_contexts=((b"QFid", b""),)
            )
            context = find_create_context(created.create_contexts, b"QFid")
            assert context is not None
            on_disk = QueryOnDiskIdResponse.unpack(context).disk_file_id
            internal = info.FileInternalInformation.unpack(await query(peer, created.file_id, Class.INTERNAL))
            parent = await listed(peer, name.removesuffix(r"\file"), desired_access=READ)
            assert on_disk == internal.index_number == parent["file"]
            seen.add(on_disk)
        assert len(seen) == 3


async def test_names_that_lead_to_no_snapshot(tmp_path: Path) -> None:
    async with past(tmp_path) as then, session(then.served) as peer:
        missing = Status.OBJECT_NAME_NOT_FOUND
        for token in (
            "@GMT-2001.02.03-04.05.06",
            "@GMT-2024.13.01-00.00.00",
            "@GMT-2023.02.29-00.00.00",
            "@GMT-2024.01.01-24.00.00",
            "@GMT-2024.01.01-00.00.60",
            "@GMT-0000.00.00-00.00.00",
            "@GMT-9999.99.99-99.99.99",
        ):
            for form in (token, rf"{token}\folder\file", rf"folder\{token}"):
                for disposition in (D.OPEN, D.OPEN_IF, D.CREATE, D.OVERWRITE_IF, D.SUPERSEDE):
                    assert await open_status(peer, form, disposition) is missing, form
        assert await open_status(peer, rf"{then.token}\{then.token}\folder") is missing
        assert await open_status(peer, rf"{then.token}\folder", create_contexts=warped(1)) is missing
        both: dict[str, Any] = {"create_contexts": warped(then.second), "desired_access": READ}
        assert await open_status(peer, rf"{then.token}\folder", **both) is Status.SUCCESS
        assert await open_status(peer, rf"{then.token}\folder\late") is missing
        assert await open_status(peer, rf"{then.token}\gone\x") is Status.OBJECT_PATH_NOT_FOUND
        assert await open_status(peer, rf"\{then.token}") is Status.INVALID_PARAMETER
        for plain in (
            "@GMT-",
            "@GMT-2024.01.01-00.00.0",
            "@GMT-2024.01.01-00.00.000",
            "@gmt-2024.01.01-00.00.00",
        ):
            assert await open_status(peer, plain) is missing
            assert await open_status(peer, plain, D.CREATE) is Status.SUCCESS
        assert await open_status(peer, ".snapshots") is missing
        assert not any(is_gmt_token(name) for name in await listed(peer, ""))


async def test_opening_changes_nothing_and_says_so(tmp_path: Path) -> None:
    protected = Status.MEDIA_WRITE_PROTECTED
    async with past(tmp_path) as then, session(then.served) as peer:
        file, missing = rf"{then.token}\folder\file", rf"{then.token}\folder\new"
        for disposition in (D.OVERWRITE, D.OVERWRITE_IF, D.SUPERSEDE):
            assert await open_status(peer, file, disposition) is protected
        assert await open_status(peer, file, D.CREATE) is Status.OBJECT_NAME_COLLISION
        for disposition in (D.CREATE, D.OPEN_IF, D.OVERWRITE_IF, D.SUPERSEDE):
            assert await open_status(peer, missing, disposition) is protected
        for disposition in (D.OPEN, D.OVERWRITE):
            assert await open_status(peer, missing, disposition) is Status.OBJECT_NAME_NOT_FOUND
        folder = CreateOptions.DIRECTORY_FILE
        assert await open_status(peer, missing, D.CREATE, create_options=folder) is protected
        deleting = CreateOptions.DELETE_ON_CLOSE
        assert await open_status(peer, file, create_options=deleting) is protected
        assert await open_status(peer, file, D.OPEN_IF) is Status.SUCCESS


async def test_what_is_granted(tmp_path: Path) -> None:
    """MAXIMUM_ALLOWED brings no right to change; who names one gets it, as from Windows, and can use it for nothing."""
    async with past(tmp_path, Share("ro", read_only=True)) as then:
        file = rf"{then.token}\folder\file"
        async with session(then.served) as peer:
            context = (QueryMaximalAccessRequest.NAME, b"")
            created = await peer.create(file, D.OPEN, desired_access=MAXIMUM, create_contexts=(context,))
            answer = find_create_context(created.create_contexts, QueryMaximalAccessRequest.NAME)
            assert answer is not None
            granted = info.FileAccessInformation.unpack(await query(peer, created.file_id, Class.ACCESS))
            assert granted.access_flags == QueryMaximalAccessResponse.unpack(answer).maximal_access
            assert granted.access_flags & (READ | WRITE | 0x4 | DELETE | 0x110) == READ
            assert (
                await status_of(peer, Command.WRITE, WriteRequest(created.file_id, 0, b"x"))
                is Status.ACCESS_DENIED
            )
            writing = await peer.open(file, D.OPEN, desired_access=READ | WRITE)
            for offset in (0, len(OLD), 2**64 - 1):
                request = WriteRequest(writing, offset, b"x")
                assert await status_of(peer, Command.WRITE, request) is Status.MEDIA_WRITE_PROTECTED
            assert await peer.read(writing, 0, 4096) == OLD[:4096]
        async with session(then.served, "ro") as peer:
            assert await open_status(peer, file, desired_access=WRITE) is Status.ACCESS_DENIED
            assert await open_status(peer, file, desired_access=READ) is Status.SUCCESS


async def test_the_rights_of_then_count(tmp_path: Path) -> None:
    async with past(tmp_path) as then:
        volume = then.served.volume
        folder = await volume.lookup(volume.root, b"folder")
        secret = await volume.create(folder.number, b"secret", 0o100600, 0, 0)
        token = await snapshot(then.served, "second")
        await volume.unlink(folder.number, b"secret")
        assert secret.nlink == 0
        async with logged_in(then.served.port, OTHER_USER, OTHER_PASSWORD, SHARE) as peer:
            status = await open_status(peer, rf"{token}\folder\secret", desired_access=READ)
            assert status is Status.ACCESS_DENIED
            assert await open_status(peer, rf"{token}\folder\file", desired_access=READ) is Status.SUCCESS


SET_ROWS = [
    (Class.BASIC, info.FileBasicInformation(KEEP, KEEP, KEEP, KEEP, 0x2).pack()),
    (Class.BASIC, info.FileBasicInformation(KEEP, KEEP, KEEP, KEEP, 0).pack()),
    (Class.RENAME, names.FileRenameInformation("folder\\other").pack()),
    (Class.RENAME_EX, names.FileRenameInformationEx("folder\\other").pack()),
    (Class.LINK, names.FileLinkInformation("folder\\other").pack()),
    (Class.DISPOSITION, info.FileDispositionInformation(True).pack()),
    (Class.DISPOSITION_EX, info.FileDispositionInformationEx(1).pack()),
    (Class.END_OF_FILE, info.FileEndOfFileInformation(5).pack()),
    (Class.END_OF_FILE, info.FileEndOfFileInformation(len(OLD)).pack()),
    (Class.ALLOCATION, info.FileAllocationInformation(0).pack()),
    (Class.FULL_EA, pack_full_ea([ExtendedAttribute(b"NAME", b"value")])),
]

FSCTL_ROWS = [
    (Fsctl.SET_SPARSE, b""),
    (Fsctl.SET_ZERO_DATA, FileZeroDataInformation(0, 4096).pack()),
    (Fsctl.FILE_LEVEL_TRIM, FileLevelTrim((TrimRange(0, 4096),)).pack()),
    (Fsctl.SET_COMPRESSION, bytes(2)),
    (Fsctl.SET_INTEGRITY_INFORMATION, bytes(8)),
]


async def test_nothing_in_a_previous_version_is_changed(tmp_path: Path) -> None:
    protected = Status.MEDIA_WRITE_PROTECTED
    async with past(tmp_path) as then, session(then.served) as peer:
        fid = await peer.open(rf"{then.token}\folder\file", D.OPEN)
        for info_class, data in SET_ROWS:
            request = SetInfoRequest(InfoType.FILE, info_class, fid, data, 0)
            assert await status_of(peer, Command.SET_INFO, request) is protected, info_class
        for code, data in FSCTL_ROWS:
            assert (
                await status_of(peer, Command.IOCTL, IoctlRequest(code, fid, data, 0, 65536)) is protected
            ), code
        for info_class, data in (
            (Class.POSITION, info.FilePositionInformation(7).pack()),
            (Class.MODE, info.FileModeInformation(2).pack()),
        ):
            request = SetInfoRequest(InfoType.FILE, info_class, fid, data, 0)
            assert await status_of(peer, Command.SET_INFO, request) is Status.SUCCESS
        assert await peer.read(fid, 0, 2 * MEBIBYTE) == OLD
        folder = await peer.open(rf"{then.token}\folder", D.OPEN)
        watch = ChangeNotifyRequest(folder, 4096, 0xFFF)
        assert await status_of(peer, Command.CHANGE_NOTIFY, watch) is Status.NOT_SUPPORTED
        live = await peer.open(r"folder\late", D.OPEN)
        for info_class, data in (
            (Class.RENAME, names.FileRenameInformation(rf"{then.token}\folder\x").pack()),
            (Class.RENAME, names.FileRenameInformation(then.token).pack()),
            (Class.LINK, names.FileLinkInformation(rf"folder\{then.token}").pack()),
        ):
            request = SetInfoRequest(InfoType.FILE, info_class, live, data, 0)
            assert await status_of(peer, Command.SET_INFO, request) is protected
        attributes = await query(peer, fid, VolumeClass.ATTRIBUTE, InfoType.FILESYSTEM)
        assert struct.unpack_from("<I", attributes)[0] & 0x0008_0000


async def test_metadata_of_a_previous_version(tmp_path: Path) -> None:
    async with past(tmp_path) as then, session(then.served) as peer:
        fid = await peer.open(rf"{then.token}\folder\file", D.OPEN, desired_access=MAXIMUM)
        standard = info.FileStandardInformation.unpack(await query(peer, fid, Class.STANDARD))
        assert (standard.end_of_file, standard.number_of_links) == (len(OLD), 1)
        everything = await query(peer, fid, Class.ALL)
        assert len(everything) > 100
        asked = FileAllocatedRange(0, 4 * MEBIBYTE).pack()
        ranges = unpack_allocated_ranges(await fsctl(peer, fid, Fsctl.QUERY_ALLOCATED_RANGES, asked))
        assert [(found.file_offset, found.length) for found in ranges] == [(0, len(OLD))]


async def test_a_previous_version_does_not_meet_the_file(tmp_path: Path) -> None:
    """Share modes, locks and delete pending are of one file; the same number in the volume is another."""
    async with past(tmp_path) as then, session(then.served) as peer:
        old = await peer.open(rf"{then.token}\folder\file", D.OPEN, desired_access=READ, share_access=0)
        live = await peer.open(r"folder\file", D.OPEN, share_access=0)
        exclusive = LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY
        for fid in (old, live):
            lock = LockRequest(fid, (LockElement(0, 100, exclusive),))
            assert await status_of(peer, Command.LOCK, lock) is Status.SUCCESS
        await peer.write(live, 0, b"live")
        assert await peer.read(old, 0, 4) == OLD[:4]
        delete = SetInfoRequest(
            InfoType.FILE, Class.DISPOSITION, live, info.FileDispositionInformation(True).pack(), 0
        )
        assert await status_of(peer, Command.SET_INFO, delete) is Status.SUCCESS
        await peer.close(
            await peer.open(r"folder\late", D.OPEN, create_options=CreateOptions.DELETE_ON_CLOSE)
        )
        await peer.close(live)
        assert await open_status(peer, r"folder\file") is Status.OBJECT_NAME_NOT_FOUND
        assert await peer.read(old, 0, 2 * MEBIBYTE) == OLD
        renaming = await peer.open("folder", D.OPEN)
        rename = SetInfoRequest(
            InfoType.FILE, Class.RENAME, renaming, names.FileRenameInformation("moved").pack(), 0
        )
        assert await status_of(peer, Command.SET_INFO, rename) is Status.SUCCESS
        again = await open_status(peer, rf"{then.token}\folder\file", desired_access=READ)
        assert again is Status.SHARING_VIOLATION


async def offload(peer: Peer, source: FileId, destination: FileId, length: int) -> int:
    """Read a token and write it; returns LengthWritten."""
    asked = OffloadReadInput(file_offset=0, copy_length=length).pack()
    read = OffloadReadOutput.unpack(await fsctl(peer, source, Fsctl.OFFLOAD_READ, asked, READ_OUTPUT_BYTES))
    given = OffloadWriteInput(file_offset=0, copy_length=length, token=read.token).pack()
    data = await fsctl(peer, destination, Fsctl.OFFLOAD_WRITE, given, WRITE_OUTPUT_BYTES)
    return OffloadWriteOutput.unpack(data).length_written


async def test_copies_out_of_a_previous_version_share_its_extents(tmp_path: Path) -> None:
    async with past(tmp_path) as then, session(then.served) as peer:
        volume = then.served.volume
        source = await peer.open(rf"{then.token}\folder\file", D.OPEN, desired_access=READ)
        await then.served.pool.commit()
        before = then.served.pool.statistics().allocated_bytes
        for index in range(3):
            inode = await volume.create(volume.root, f"copy{index}".encode(), 0o100666, 0, 0)
            await volume.truncate(inode, len(OLD))
            fid = await peer.open(f"copy{index}", D.OPEN)
            if index == 0:
                assert await offload(peer, source, fid, len(OLD)) == len(OLD)
            elif index == 1:
                key = (await fsctl(peer, source, Fsctl.SRV_REQUEST_RESUME_KEY))[:24]
                chunk = SrvCopychunkCopy(key, (SrvCopychunk(0, 0, len(OLD)),)).pack()
                await fsctl(peer, fid, Fsctl.SRV_COPYCHUNK, chunk)
            else:
                call = DuplicateExtentsData(source, 0, 0, len(OLD)).pack()
                await fsctl(peer, fid, Fsctl.DUPLICATE_EXTENTS_TO_FILE, call)
            assert await peer.read(fid, 0, 2 * MEBIBYTE) == OLD
        await then.served.pool.commit()
        assert then.served.pool.statistics().allocated_bytes == before
        for code, call in (
            (Fsctl.SRV_COPYCHUNK, chunk),
            (Fsctl.DUPLICATE_EXTENTS_TO_FILE, DuplicateExtentsData(fid, 0, 0, 4096).pack()),
            (
                Fsctl.OFFLOAD_WRITE,
                OffloadWriteInput(file_offset=0, copy_length=4096, token=bytes(512)).pack(),
            ),
        ):
            target = await peer.open(rf"{then.token}\folder\file", D.OPEN)
            request = IoctlRequest(code, target, call, 0, 65536)
            assert await status_of(peer, Command.IOCTL, request) is Status.MEDIA_WRITE_PROTECTED, code


async def test_the_list_of_previous_versions(tmp_path: Path) -> None:
    async with past(tmp_path) as then, session(then.served) as peer:
        fid = await peer.open(r"folder\file", D.OPEN, desired_access=READ)
        tokens = (await snapshot(then.served, "third"), await snapshot(then.served, "second"), then.token)
        expected = tuple(sorted(tokens, reverse=True))
        data = await fsctl(peer, fid, Fsctl.SRV_ENUMERATE_SNAPSHOTS)
        assert SrvSnapshotArray.unpack(data) == SrvSnapshotArray(3, 152, expected)
        assert len(data) == 12 + 152
        assert data.endswith(bytes(4))
        for room in (16, 100, 163):
            counts = await fsctl(peer, fid, Fsctl.SRV_ENUMERATE_SNAPSHOTS, room=room)
            assert (len(counts), SrvSnapshotArray.unpack(counts)) == (16, SrvSnapshotArray(3, 152))
        assert len(await fsctl(peer, fid, Fsctl.SRV_ENUMERATE_SNAPSHOTS, room=164)) == 164
        small = IoctlRequest(Fsctl.SRV_ENUMERATE_SNAPSHOTS, fid, b"", 0, 15)
        assert await status_of(peer, Command.IOCTL, small) is Status.INVALID_PARAMETER
        root = await peer.open("", D.OPEN, desired_access=READ)
        old = await peer.open(then.token, D.OPEN, desired_access=READ)
        for other in (root, old):
            assert await fsctl(peer, other, Fsctl.SRV_ENUMERATE_SNAPSHOTS) == data


async def test_no_previous_versions(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, session(served) as peer:
        fid = await peer.open("", D.OPEN, desired_access=READ)
        for room in (16, 17, 65536):
            data = await fsctl(peer, fid, Fsctl.SRV_ENUMERATE_SNAPSHOTS, room=room)
            assert data == struct.pack("<IIII", 0, 0, 2, 0)


async def test_two_snapshots_of_one_second_have_two_names_for_good(tmp_path: Path) -> None:
    """Also when the earlier one is deleted, and after a restart."""
    async with serve(tmp_path) as served:
        await fill(served)
        pool, volume = served.pool, served.volume
        moment = 1_700_000_000 * SECOND + 5
        pool.clock = lambda: moment
        file = await volume.lookup((await volume.lookup(volume.root, b"folder")).number, b"file")
        tokens = []
        for index in range(3):
            await volume.write(file, 0, bytes([index]) * 4096)
            tokens.append(await snapshot(served, str(index)))
        assert tokens == [format_gmt_token(1_700_000_000 + index) for index in range(3)]
        await pool.snapshots.delete("main", "0")
        await pool.settle()
    async with serve(tmp_path) as served, session(served) as peer:
        assert await open_status(peer, rf"{tokens[0]}\folder\file") is Status.OBJECT_NAME_NOT_FOUND
        for index in (1, 2):
            fid = await peer.open(rf"{tokens[index]}\folder\file", D.OPEN, desired_access=READ)
            assert await peer.read(fid, 0, 4096) == bytes([index]) * 4096
        await served.pool.snapshots.delete("main", "1")


async def test_a_share_of_a_folder_shows_the_folder_of_then(tmp_path: Path) -> None:
    async with past(tmp_path, Share("part", path="folder"), Share("late", path="coming")) as then:
        volume = then.served.volume
        await volume.rename(volume.root, b"folder", volume.root, b"moved")
        await volume.create(volume.root, b"folder", 0o040755, 0, 0)
        await volume.create(volume.root, b"coming", 0o040755, 0, 0)
        async with session(then.served, "part") as peer:
            fid = await peer.open(rf"{then.token}\file", D.OPEN, desired_access=READ)
            assert await peer.read(fid, 0, 2 * MEBIBYTE) == OLD
            root = await listed(peer, then.token, desired_access=READ)
            assert set(root) == {".", "..", "file"}
            assert root["."] == root[".."]
            up = await open_status(peer, rf"{then.token}\..\folder")
            assert up is Status.OBJECT_PATH_SYNTAX_BAD
        async with session(then.served, "late") as peer:
            assert await open_status(peer, then.token) is Status.OBJECT_NAME_NOT_FOUND


async def test_a_snapshot_deleted_under_its_opens(tmp_path: Path) -> None:
    async with past(tmp_path) as then, session(then.served) as peer:
        pool = then.served.pool
        name = rf"{then.token}\folder\file"
        fid = await peer.open(name, D.OPEN)
        folder = await peer.open(rf"{then.token}\folder", D.OPEN, desired_access=READ)
        live = await peer.open("copy", D.CREATE)
        await peer.write(live, 0, bytes(4096))
        key = (await fsctl(peer, fid, Fsctl.SRV_REQUEST_RESUME_KEY))[:24]
        await pool.snapshots.delete("main", "first")
        await pool.settle()
        deleted = Status.FILE_DELETED
        with pytest.raises(Refused) as refused:
            await peer.read(fid, 0, 4096)
        assert refused.value.status is deleted
        chunk = SrvCopychunkCopy(key, (SrvCopychunk(0, 0, 4096),)).pack()
        for command, body in (
            (Command.QUERY_DIRECTORY, QueryDirectoryRequest(Class.ID_BOTH_DIRECTORY, folder, "*", 65536)),
            (
                Command.IOCTL,
                IoctlRequest(
                    Fsctl.OFFLOAD_READ, fid, OffloadReadInput(file_offset=0, copy_length=4096).pack(), 0, 528
                ),
            ),
            (Command.IOCTL, IoctlRequest(Fsctl.SRV_COPYCHUNK, live, chunk, 0, 12)),
            (
                Command.IOCTL,
                IoctlRequest(
                    Fsctl.DUPLICATE_EXTENTS_TO_FILE, live, DuplicateExtentsData(fid, 0, 0, 4096).pack()
                ),
            ),
        ):
            assert await status_of(peer, command, body) is deleted, command
        assert await peer.read(live, 0, 4096) == bytes(4096)
        assert (
            await status_of(peer, Command.WRITE, WriteRequest(fid, 0, b"x")) is Status.MEDIA_WRITE_PROTECTED
        )
        for open_id in (fid, folder):
            await peer.close(open_id)
        assert await open_status(peer, name) is Status.OBJECT_NAME_NOT_FOUND


async def test_a_snapshot_deleted_while_clients_are_busy_in_it(tmp_path: Path) -> None:
    """Each answer is right or says that it is gone; nobody is left with an open."""
    gone = {Status.FILE_DELETED, Status.OBJECT_NAME_NOT_FOUND}
    async with past(tmp_path) as then:
        busy = [0] * 6

        async def work(peer: Peer, number: int) -> None:
            while True:
                fid = await peer.open(rf"{then.token}\folder\file", D.OPEN, desired_access=READ)
                offset = busy[number] * 4096 % len(OLD)
                assert await peer.read(fid, offset, 4096) == OLD[offset : offset + 4096]
                assert set(await listed(peer, rf"{then.token}\folder", desired_access=READ)) == {
                    ".",
                    "..",
                    "file",
                }
                await peer.close(fid)
                busy[number] += 1

        async def look(number: int) -> None:
            async with session(then.served) as peer:
                with pytest.raises(Refused) as refused:
                    await work(peer, number)
                assert refused.value.status in gone

        async with trio.open_nursery() as nursery:
            for number in range(len(busy)):
                nursery.start_soon(look, number)
            while min(busy) < 20:
                await trio.lowlevel.checkpoint()
            await then.served.pool.snapshots.delete("main", "first")
        await then.served.pool.settle()
        with trio.fail_after(60):
            while len(then.served.server.opens):
                await trio.lowlevel.checkpoint()
