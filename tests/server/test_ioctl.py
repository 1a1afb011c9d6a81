"""IOCTL: copies by shared extents, holes, ranges, and the refusals that clients look at."""

import stat
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from odxfs.client.errors import NetworkFailed
from odxfs.ntstatus import Status
from odxfs.offload import Mechanism
from odxfs.volume import MOST_OF_ONE_MOMENT
from odxfs.wire.create import CreateDisposition, CreateOptions
from odxfs.wire.file_id import ANY, FileId
from odxfs.wire.fscc.classes import FileAttributes
from odxfs.wire.fscc.classes import FileInformationClass as Class
from odxfs.wire.fscc.file_information import FileBasicInformation, FileStandardInformation
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.copychunk import LIMITS, SrvCopychunk, SrvCopychunkCopy, SrvCopychunkResponse
from odxfs.wire.fsctl.duplicate_extents import SOURCE_ATOMIC, DuplicateExtentsData, DuplicateExtentsDataEx
from odxfs.wire.fsctl.file_regions import FileRegionInput, FileRegionOutput
from odxfs.wire.fsctl.network_interface import unpack_interfaces
from odxfs.wire.fsctl.sparse import FileAllocatedRange, FileZeroDataInformation, unpack_allocated_ranges
from odxfs.wire.fsctl.trim import FileLevelTrim, TrimRange
from odxfs.wire.fsctl.validate_negotiate import ValidateNegotiateInfoRequest
from odxfs.wire.header import Command
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from tests.support.remote import DIRECTORY, Remote, remote, served
from tests.support.serving import Served

MEBIBYTE = 1024 * 1024
PATTERN = bytes(range(256)) * 4096
READ_DATA, WRITE_DATA = 0x1, 0x2


async def resume_key(client: Remote, fid: FileId) -> bytes:
    status, data = await client.fsctl(fid, Fsctl.SRV_REQUEST_RESUME_KEY, room=32)
    assert (status, len(data)) == (Status.SUCCESS, 32)
    return data[:24]


async def copychunk(
    client: Remote,
    source: FileId,
    destination: FileId,
    *chunks: tuple[int, int, int],
    code: int = Fsctl.SRV_COPYCHUNK,
) -> tuple[Status, SrvCopychunkResponse | None]:
    call = SrvCopychunkCopy(await resume_key(client, source), tuple(SrvCopychunk(*chunk) for chunk in chunks))
    status, data = await client.fsctl(destination, code, call.pack(), room=12)
    return status, SrvCopychunkResponse.unpack(data) if len(data) == 12 else None


async def content(share: Served, name: bytes) -> bytes:
    inode = await share.volume.lookup(share.volume.root, name)
    return bytes(await share.volume.read(inode, 0, inode.size))


async def test_copychunk_shares_extents(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source, destination = await client.make_file("s", PATTERN * 4), await client.make_file("d")
        status, answer = await copychunk(
            client, source, destination, *((n * MEBIBYTE, n * MEBIBYTE, MEBIBYTE) for n in range(4))
        )
        assert (status, answer) == (Status.SUCCESS, SrvCopychunkResponse(4, 0, 4 * MEBIBYTE))
        assert await content(share, b"d") == PATTERN * 4
        counter = share.server.engine.counters.mechanisms[Mechanism.COPYCHUNK]
        assert counter.logical_bytes == counter.shared_bytes == 4 * MEBIBYTE


async def test_copychunk_inside_one_file_moves_overlapping_bytes(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f", PATTERN[:9000])
        status, _ = await copychunk(client, fid, fid, (0, 1000, 8000))
        assert status is Status.SUCCESS
        assert await content(share, b"f") == PATTERN[:1000] + PATTERN[:8000]


async def test_copychunk_refusals_tell_the_limits_or_how_far_it_came(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source, destination = await client.make_file("s", PATTERN), await client.make_file("d")
        for chunks in ([(0, 0, 0)], [(0, 0, MEBIBYTE + 1)], [(0, 0, 1)] * 257, [(0, 0, MEBIBYTE)] * 17):
            assert await copychunk(client, source, destination, *chunks) == (Status.INVALID_PARAMETER, LIMITS)
        past_the_end = [(0, 0, 4096), (MEBIBYTE - 10, 4096, 4096)]
        assert await copychunk(client, source, destination, *past_the_end) == (
            Status.INVALID_VIEW_SIZE,
            SrvCopychunkResponse(1, 0, 4096),
        )
        call = SrvCopychunkCopy(bytes(24), ()).pack()
        assert (await client.fsctl(destination, Fsctl.SRV_COPYCHUNK, call, 12))[
            0
        ] is Status.OBJECT_NAME_NOT_FOUND
        assert (await client.fsctl(destination, Fsctl.SRV_COPYCHUNK, call, 11))[0] is Status.INVALID_PARAMETER
        assert await copychunk(client, source, destination) == (Status.SUCCESS, SrvCopychunkResponse(0, 0, 0))


async def test_copychunk_needs_the_rights(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source = await client.make_file("s", PATTERN)
        await client.close(await client.make_file("d"))
        writable = await client.create("d", CreateDisposition.OPEN, access=WRITE_DATA)
        chunk = (0, 0, 4096)
        assert (await copychunk(client, source, writable, chunk))[0] is Status.ACCESS_DENIED
        code = Fsctl.SRV_COPYCHUNK_WRITE
        assert (await copychunk(client, source, writable, chunk, code=code))[0] is Status.SUCCESS
        blind = await client.create("s", CreateDisposition.OPEN, access=0x80)
        assert (await copychunk(client, blind, writable, chunk, code=code))[0] is Status.ACCESS_DENIED
        readable = await client.create("d", CreateDisposition.OPEN, access=READ_DATA)
        assert (await copychunk(client, source, readable, chunk))[0] is Status.ACCESS_DENIED


async def test_a_key_of_another_session_is_unknown(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client, remote(share) as other:
        source, destination = await client.make_file("s", PATTERN), await other.make_file("d")
        call = SrvCopychunkCopy(await resume_key(client, source), (SrvCopychunk(0, 0, 4096),)).pack()
        assert (await other.fsctl(destination, Fsctl.SRV_COPYCHUNK, call, 12))[
            0
        ] is Status.OBJECT_NAME_NOT_FOUND


async def test_copychunk_meets_byte_range_locks(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source, destination = await client.make_file("s", PATTERN), await client.make_file("d", PATTERN)
        holder = await client.create("d", CreateDisposition.OPEN)
        flags = LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY
        lock = LockRequest(holder, (LockElement(8192, 10, flags),))
        assert (await client.call(Command.LOCK, lock.pack())).header.status == Status.SUCCESS
        assert await copychunk(client, source, destination, (0, 0, 4096), (4096, 4096, 8192)) == (
            Status.FILE_LOCK_CONFLICT,
            SrvCopychunkResponse(1, 0, 4096),
        )


async def test_duplicate_extents(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source, destination = (
            await client.make_file("s", PATTERN),
            await client.make_file("d", bytes(MEBIBYTE)),
        )
        call = DuplicateExtentsData(source, 4096, 8192, 65536)
        status, _ = await client.fsctl(destination, Fsctl.DUPLICATE_EXTENTS_TO_FILE, call.pack(), 0)
        assert status is Status.SUCCESS
        assert (await content(share, b"d"))[8192 : 8192 + 65536] == PATTERN[4096 : 4096 + 65536]
        call_ex = DuplicateExtentsDataEx(source, 0, MEBIBYTE - 4096, 65536, 1)
        status, _ = await client.fsctl(destination, Fsctl.DUPLICATE_EXTENTS_TO_FILE_EX, call_ex.pack(), 0)
        assert status is Status.SUCCESS
        copied = await content(share, b"d")
        assert len(copied) == MEBIBYTE, "the destination is never extended"
        assert copied[-4096:] == PATTERN[:4096]


@pytest.mark.parametrize(
    ("source_offset", "target_offset", "count", "status"),
    [
        (1, 0, 4096, Status.INVALID_PARAMETER),
        (0, 512, 4096, Status.INVALID_PARAMETER),
        (0, 0, 100, Status.INVALID_PARAMETER),
        (-4096, 0, 4096, Status.INVALID_PARAMETER),
        (0, 0, 2 * MEBIBYTE, Status.NOT_SUPPORTED),
        (0, 0, 0, Status.SUCCESS),
    ],
)
async def test_duplicate_extents_checks_its_ranges(
    tmp_path: Path, source_offset: int, target_offset: int, count: int, status: Status
) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source, destination = await client.make_file("s", PATTERN), await client.make_file("d", PATTERN)
        call = DuplicateExtentsData(source, source_offset, target_offset, count).pack()
        assert (await client.fsctl(destination, Fsctl.DUPLICATE_EXTENTS_TO_FILE, call, 0))[0] is status


@pytest.mark.parametrize(
    ("length", "flags", "expected"),
    [
        (MOST_OF_ONE_MOMENT, SOURCE_ATOMIC, Status.SUCCESS),
        (MOST_OF_ONE_MOMENT + 4096, SOURCE_ATOMIC, Status.NOT_SUPPORTED),
        (MOST_OF_ONE_MOMENT + 4096, 0, Status.SUCCESS),
    ],
)
async def test_a_clone_of_one_moment_has_its_bound(
    tmp_path: Path, length: int, flags: int, expected: Status
) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source, target = await client.make_file("source", PATTERN), await client.make_file("target")
        for file in (source, target):
            assert await client.set(file, Class.END_OF_FILE, struct.pack("<Q", length)) is Status.SUCCESS
        call = DuplicateExtentsDataEx(source, 0, 0, length, flags)
        assert (await client.fsctl(target, Fsctl.DUPLICATE_EXTENTS_TO_FILE_EX, call.pack()))[0] is expected


async def test_duplicate_extents_knows_its_handles(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source, destination = await client.make_file("s", PATTERN), await client.make_file("d", PATTERN)
        code = Fsctl.DUPLICATE_EXTENTS_TO_FILE
        bogus = DuplicateExtentsData(FileId(1, 2), 0, 0, 4096).pack()
        assert (await client.fsctl(destination, code, bogus, 0))[0] is Status.INVALID_HANDLE
        good = DuplicateExtentsData(source, 0, 0, 4096).pack()
        assert (await client.fsctl(FileId(1, 2), code, good, 0))[0] is Status.FILE_CLOSED
        overlapping = DuplicateExtentsData(source, 0, 4096, 8192).pack()
        assert (await client.fsctl(source, code, overlapping, 0))[0] is Status.NOT_SUPPORTED
        wrong_size = DuplicateExtentsDataEx(source, 0, 0, 4096, 0, 7).pack()
        status, _ = await client.fsctl(destination, Fsctl.DUPLICATE_EXTENTS_TO_FILE_EX, wrong_size, 0)
        assert status is Status.NOT_SUPPORTED


async def test_zeroing_frees_blocks_and_never_moves_the_end(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f", PATTERN)
        inode = await share.volume.lookup(share.volume.root, b"f")
        zero = FileZeroDataInformation(1000, 900_000).pack()
        assert (await client.fsctl(fid, Fsctl.SET_ZERO_DATA, zero, 0))[0] is Status.SUCCESS
        assert await content(share, b"f") == PATTERN[:1000] + bytes(899_000) + PATTERN[900_000:]
        assert inode.allocated_bytes < MEBIBYTE // 2
        beyond = FileZeroDataInformation(MEBIBYTE + 5, 1 << 40).pack()
        assert (await client.fsctl(fid, Fsctl.SET_ZERO_DATA, beyond, 0))[0] is Status.SUCCESS
        assert inode.size == MEBIBYTE
        backwards = FileZeroDataInformation(10, 5).pack()
        assert (await client.fsctl(fid, Fsctl.SET_ZERO_DATA, backwards, 0))[0] is Status.INVALID_PARAMETER


async def test_ranges_that_one_answer_cannot_hold_are_not_passed_over(tmp_path: Path) -> None:
    """However much room there is: who takes what is missing for holes would lose it."""
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f", b"")
        inode = await share.volume.lookup(share.volume.root, b"f")
        for number in range(4200):
            await share.volume.write(inode, number * 8192, b"data")
        assert (await client.fsctl(fid, Fsctl.SET_SPARSE))[0] is Status.SUCCESS
        found, offset, status = 0, 0, Status.BUFFER_OVERFLOW
        while status is Status.BUFFER_OVERFLOW:
            asked = FileAllocatedRange(offset, 4200 * 8192 - offset).pack()
            status, data = await client.fsctl(fid, Fsctl.QUERY_ALLOCATED_RANGES, asked, room=MEBIBYTE)
            ranges = unpack_allocated_ranges(data)
            found, offset = found + len(ranges), ranges[-1][0] + ranges[-1][1]
        assert (status, found) == (Status.SUCCESS, 4200)


async def test_only_a_file_that_is_marked_sparse_shows_its_holes(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f", PATTERN[:4096])
        await client.write(fid, MEBIBYTE, PATTERN[:4096])
        asked = FileAllocatedRange(0, 4 * MEBIBYTE).pack()
        _, data = await client.fsctl(fid, Fsctl.QUERY_ALLOCATED_RANGES, asked)
        assert unpack_allocated_ranges(data) == ((0, MEBIBYTE + 4096),)
        assert (await client.fsctl(fid, Fsctl.SET_SPARSE))[0] is Status.SUCCESS
        _, data = await client.fsctl(fid, Fsctl.QUERY_ALLOCATED_RANGES, asked)
        assert unpack_allocated_ranges(data) == ((0, 4096), (MEBIBYTE, 4096))
        status, data = await client.fsctl(fid, Fsctl.QUERY_ALLOCATED_RANGES, asked, room=16)
        assert (status, unpack_allocated_ranges(data)) == (Status.BUFFER_OVERFLOW, ((0, 4096),))
        assert (await client.fsctl(fid, Fsctl.QUERY_ALLOCATED_RANGES, asked, room=15))[
            0
        ] is Status.BUFFER_TOO_SMALL
        _, data = await client.query(fid, Class.BASIC)
        assert FileBasicInformation.unpack(data).file_attributes & FileAttributes.SPARSE_FILE
        _, data = await client.query(fid, Class.STANDARD)
        assert FileStandardInformation.unpack(data).allocation_size == 8192
        assert (await client.fsctl(fid, Fsctl.SET_SPARSE, b"\0"))[0] is Status.SUCCESS
        _, data = await client.query(fid, Class.BASIC)
        assert not FileBasicInformation.unpack(data).file_attributes & FileAttributes.SPARSE_FILE
        folder = await client.make_directory("d")
        assert (await client.fsctl(folder, Fsctl.SET_SPARSE))[0] is Status.INVALID_PARAMETER


async def test_trim_frees_whole_blocks(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f", PATTERN)
        ranges = (TrimRange(100, 20000), TrimRange(500_000, 100), TrimRange(700_000, 100_000))
        status, data = await client.fsctl(fid, Fsctl.FILE_LEVEL_TRIM, FileLevelTrim(ranges).pack(), 4)
        assert (status, data) == (Status.SUCCESS, struct.pack("<I", 2))
        trimmed = await content(share, b"f")
        assert trimmed[4096:16384] == bytes(12288)
        assert trimmed[:4096] == PATTERN[:4096]
        keyed = FileLevelTrim(ranges, key=5).pack()
        assert (await client.fsctl(fid, Fsctl.FILE_LEVEL_TRIM, keyed, 4))[0] is Status.INVALID_PARAMETER
        nothing = FileLevelTrim((TrimRange(1, 5),)).pack()
        assert (await client.fsctl(fid, Fsctl.FILE_LEVEL_TRIM, nothing, 4))[0] is Status.NO_RANGES_PROCESSED


async def test_file_regions(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f", PATTERN)
        _, data = await client.fsctl(fid, Fsctl.QUERY_FILE_REGIONS)
        assert [tuple(region) for region in FileRegionOutput.unpack(data).regions] == [(0, MEBIBYTE, 1)]
        past = FileRegionInput(MEBIBYTE, 100, 1).pack()
        assert await client.fsctl(fid, Fsctl.QUERY_FILE_REGIONS, past) == (Status.SUCCESS, b"")
        assert (await client.fsctl(fid, Fsctl.QUERY_FILE_REGIONS, b"short"))[0] is Status.BUFFER_TOO_SMALL
        bad = FileRegionInput(0, 100, 8).pack()
        assert (await client.fsctl(fid, Fsctl.QUERY_FILE_REGIONS, bad))[0] is Status.INVALID_PARAMETER


async def test_where_a_symbolic_link_leads(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        root = share.volume.root
        await share.volume.create(root, b"link", stat.S_IFLNK | 0o777, 0, 0, target=b"a/b")
        fid = await client.create(
            "link", CreateDisposition.OPEN, CreateOptions.OPEN_REPARSE_POINT, access=0x80
        )
        status, data = await client.fsctl(fid, Fsctl.GET_REPARSE_POINT)
        assert status is Status.SUCCESS
        assert struct.unpack_from("<I", data)[0] == 0xA000000C
        assert "a\\b".encode("utf-16-le") in data
        plain = await client.make_file("f")
        assert (await client.fsctl(plain, Fsctl.GET_REPARSE_POINT))[0] is Status.NOT_A_REPARSE_POINT


async def test_compression_and_integrity_are_off_and_stay_off(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        assert await client.fsctl(fid, Fsctl.GET_COMPRESSION) == (Status.SUCCESS, b"\0\0")
        assert (await client.fsctl(fid, Fsctl.SET_COMPRESSION, b"\0\0"))[0] is Status.SUCCESS
        assert (await client.fsctl(fid, Fsctl.SET_COMPRESSION, b"\1\0"))[0] is Status.NOT_SUPPORTED
        assert len((await client.fsctl(fid, Fsctl.GET_INTEGRITY_INFORMATION))[1]) == 16
        assert (await client.fsctl(fid, Fsctl.SET_INTEGRITY_INFORMATION, b"\1" + bytes(7)))[
            0
        ] is Status.NOT_SUPPORTED
        first, second = [(await client.fsctl(fid, Fsctl.CREATE_OR_GET_OBJECT_ID))[1] for _ in range(2)]
        assert first == second
        assert len(first) == 64


async def test_the_general_checks(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        assert (await client.fsctl(fid, Fsctl.GET_COMPRESSION, flags=0))[0] is Status.NOT_SUPPORTED
        assert (await client.fsctl(fid, 0x12345678))[0] is Status.NOT_SUPPORTED
        absent = Fsctl.QUERY_SHARED_VIRTUAL_DISK_SUPPORT
        assert (await client.fsctl(fid, absent))[0] is Status.INVALID_DEVICE_REQUEST
        assert (await client.fsctl(FileId(9, 9), Fsctl.GET_COMPRESSION))[0] is Status.FILE_CLOSED
        assert (await client.fsctl(fid, Fsctl.QUERY_NETWORK_INTERFACE_INFO))[0] is Status.INVALID_PARAMETER
        assert (await client.fsctl(ANY, Fsctl.DFS_GET_REFERRALS))[0] is Status.FS_DRIVER_REQUIRED
        assert (await client.fsctl(fid, Fsctl.LMR_REQUEST_RESILIENCY, bytes(7)))[
            0
        ] is Status.INVALID_PARAMETER
        assert (await client.fsctl(fid, Fsctl.PIPE_TRANSCEIVE, b"x"))[0] is Status.INVALID_DEVICE_REQUEST
        _, data = await client.fsctl(ANY, Fsctl.QUERY_NETWORK_INTERFACE_INFO)
        assert [str(interface.address) for interface in unpack_interfaces(data)] == ["127.0.0.1"]
        folder = await client.create("", options=DIRECTORY)
        assert (await client.fsctl(folder, Fsctl.SET_ZERO_DATA, bytes(16)))[0] is Status.INVALID_PARAMETER


@pytest.mark.parametrize("dialect", [0x0210, 0x0302])
async def test_a_changed_negotiation_ends_the_connection(tmp_path: Path, dialect: int) -> None:
    lie = ValidateNegotiateInfoRequest(0, bytes(16), 1, (dialect,)).pack()
    async with served(tmp_path) as share:
        answered = False
        with suppress(NetworkFailed):
            async with remote(share, dialects=(dialect,)) as client:
                await client.fsctl(ANY, Fsctl.VALIDATE_NEGOTIATE_INFO, lie, 24)
                answered = True
        assert not answered
