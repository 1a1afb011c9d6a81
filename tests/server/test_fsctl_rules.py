"""What each FSCTL asks of its open, its buffers and the kind of file, in one table; and the rules of block cloning, in rows."""

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from odxfs.client.client import connect
from odxfs.ntstatus import Status
from odxfs.offload.token import ZERO_TOKEN
from odxfs.wire.create import CreateDisposition, CreateOptions
from odxfs.wire.file_id import FileId
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.copychunk import SrvCopychunk, SrvCopychunkCopy
from odxfs.wire.fsctl.duplicate_extents import DuplicateExtentsData, DuplicateExtentsDataEx
from odxfs.wire.fsctl.file_regions import FileRegionInput
from odxfs.wire.fsctl.integrity import SetIntegrityInformationBuffer, SetIntegrityInformationBufferEx
from odxfs.wire.fsctl.offload import OffloadReadInput, OffloadWriteInput
from odxfs.wire.fsctl.sparse import FileAllocatedRange, FileSetSparseBuffer, FileZeroDataInformation
from odxfs.wire.fsctl.trim import FileLevelTrim, TrimRange
from odxfs.wire.header import Command
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from tests.support.remote import DIRECTORY, READ_ONLY_SHARE, Remote, remote, served
from tests.support.serving import PASSWORD, SHARE, USER, Served

READ, WRITE, SEE, MARK = 0x1, 0x2, 0x80, 0x100
"""FILE_READ_DATA, FILE_WRITE_DATA, FILE_READ_ATTRIBUTES, FILE_WRITE_ATTRIBUTES."""

ANY = READ | WRITE | SEE | MARK
LENGTH = 65536
BLOCK = 4096
DATA = bytes(range(1, 256)) * 258
INVALID, BAD_DEVICE, SHORT, UNSUPPORTED, DENIED = (
    Status.INVALID_PARAMETER,
    Status.INVALID_DEVICE_REQUEST,
    Status.BUFFER_TOO_SMALL,
    Status.NOT_SUPPORTED,
    Status.ACCESS_DENIED,
)
NO_LINK = Status.NOT_A_REPARSE_POINT


@dataclass(frozen=True)
class Rule:
    """A good call, and what is answered to each way to get it wrong.

    `rights`: each of them alone is enough on the open. `short`: to an input without its last byte; `small`: to room for one
    byte less than the output. `folder` and `link`: on such an open. `good` is the answer to the call as it stands.
    """

    code: int
    data: bytes
    room: int
    rights: int
    short: Status | None
    small: Status | None
    folder: Status = INVALID
    link: Status = INVALID
    good: Status = Status.SUCCESS


def rules(source: FileId, key: bytes) -> Iterator[Rule]:
    chunks = SrvCopychunkCopy(key, (SrvCopychunk(0, 0, LENGTH),)).pack()
    clone, clone_ex = (
        kind(source, 0, 0, LENGTH).pack() for kind in (DuplicateExtentsData, DuplicateExtentsDataEx)
    )
    read = OffloadReadInput(file_offset=0, copy_length=LENGTH).pack()
    write = OffloadWriteInput(
        file_offset=0, copy_length=LENGTH, transfer_offset=0, token=bytes(ZERO_TOKEN)
    ).pack()
    zero, ranges = FileZeroDataInformation(0, BLOCK).pack(), FileAllocatedRange(0, LENGTH).pack()
    trim, regions = FileLevelTrim((TrimRange(0, 8192),)).pack(), FileRegionInput(0, LENGTH, 1).pack()
    no_read, no_write = Status.OFFLOAD_READ_FILE_NOT_SUPPORTED, Status.OFFLOAD_WRITE_FILE_NOT_SUPPORTED
    integrity, integrity_ex = (
        SetIntegrityInformationBuffer(0).pack(),
        SetIntegrityInformationBufferEx(0, 0).pack(),
    )
    yes = Status.SUCCESS
    yield Rule(Fsctl.OFFLOAD_READ, read, 528, READ, SHORT, SHORT, no_read, DENIED)
    yield Rule(Fsctl.OFFLOAD_WRITE, write, 16, WRITE, SHORT, SHORT, no_write, DENIED)
    yield Rule(Fsctl.SRV_ENUMERATE_SNAPSHOTS, b"", 16, ANY, None, INVALID, yes, yes)
    yield Rule(Fsctl.SRV_REQUEST_RESUME_KEY, b"", 32, ANY, None, INVALID, yes, yes)
    yield Rule(Fsctl.SRV_COPYCHUNK, chunks, 12, 0, INVALID, INVALID)  # both READ and WRITE
    yield Rule(Fsctl.SRV_COPYCHUNK_WRITE, chunks, 12, WRITE, INVALID, INVALID)
    yield Rule(Fsctl.DUPLICATE_EXTENTS_TO_FILE, clone, 0, WRITE, INVALID, None, UNSUPPORTED, DENIED)
    yield Rule(Fsctl.DUPLICATE_EXTENTS_TO_FILE_EX, clone_ex, 0, WRITE, INVALID, None, UNSUPPORTED, DENIED)
    yield Rule(Fsctl.SET_SPARSE, b"", 0, WRITE | MARK, None, None)
    yield Rule(Fsctl.SET_ZERO_DATA, zero, 0, WRITE, INVALID, None)
    yield Rule(Fsctl.QUERY_ALLOCATED_RANGES, ranges, 16, READ, INVALID, SHORT)
    yield Rule(Fsctl.FILE_LEVEL_TRIM, trim, 4, WRITE, INVALID, INVALID)
    yield Rule(Fsctl.QUERY_FILE_REGIONS, regions, 40, READ, SHORT, SHORT)
    yield Rule(Fsctl.GET_COMPRESSION, b"", 2, ANY, None, INVALID, yes, yes)
    yield Rule(Fsctl.SET_COMPRESSION, b"\0\0", 0, WRITE, INVALID, None, yes, DENIED)
    yield Rule(Fsctl.GET_INTEGRITY_INFORMATION, b"", 16, ANY, None, INVALID, yes, yes)
    yield Rule(Fsctl.SET_INTEGRITY_INFORMATION, integrity, 0, WRITE, INVALID, None, yes, DENIED)
    yield Rule(Fsctl.SET_INTEGRITY_INFORMATION_EX, integrity_ex, 0, WRITE, INVALID, None, yes, DENIED)
    yield Rule(Fsctl.CREATE_OR_GET_OBJECT_ID, b"", 64, ANY, None, INVALID, yes, yes)
    yield Rule(Fsctl.GET_REPARSE_POINT, b"", 64, ANY, None, NO_LINK, NO_LINK, yes, NO_LINK)
    yield Rule(Fsctl.LMR_REQUEST_RESILIENCY, bytes(8), 0, ANY, INVALID, None, BAD_DEVICE, BAD_DEVICE)
    yield Rule(
        Fsctl.QUERY_ON_DISK_VOLUME_INFO, b"", 1024, ANY, None, BAD_DEVICE, BAD_DEVICE, BAD_DEVICE, BAD_DEVICE
    )


async def answers(client: Remote, rule: Rule) -> list[Status | None]:
    """What is answered to the call itself, with each right alone, cut short, without room, on a folder and on a link."""

    async def on(
        name: str, access: int, data: bytes = rule.data, room: int = rule.room, options: int = 0
    ) -> Status:
        fid = await client.create(name, CreateDisposition.OPEN, options, access)
        status, _ = await client.fsctl(fid, rule.code, data, room)
        await client.close(fid)
        return status

    found: list[Status | None] = [await on("file", READ | WRITE)]
    found += [await on("file", right) for right in (READ, WRITE, SEE, MARK)]
    found.append(await on("file", READ | WRITE, rule.data[:-1]) if rule.short is not None else None)
    found.append(await on("file", READ | WRITE, room=rule.room - 1) if rule.small is not None else None)
    found.append(await on("folder", READ | WRITE, options=DIRECTORY))
    found.append(await on("link", SEE | MARK, options=CreateOptions.OPEN_REPARSE_POINT))
    return found


def expected(rule: Rule) -> list[Status | None]:
    by_right = [rule.good if rule.rights & right else DENIED for right in (READ, WRITE, SEE, MARK)]
    return [rule.good, *by_right, rule.short, rule.small, rule.folder, rule.link]


async def make_scene(share: Served, client: Remote) -> list[Rule]:
    link = stat.S_IFLNK | 0o777
    await share.volume.create(share.volume.root, b"link", link, 0, 0, target=b"a/b")
    source = await client.make_file("source", DATA[:LENGTH])
    await client.close(await client.make_file("file", bytes(LENGTH)))
    await client.close(await client.make_directory("folder"))
    _, key = await client.fsctl(source, Fsctl.SRV_REQUEST_RESUME_KEY, room=32)
    return list(rules(source, key[:24]))


async def test_every_fsctl_keeps_its_rules(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        table = await make_scene(share, client)
        found = {Fsctl(rule.code).name: await answers(client, rule) for rule in table}
        assert found == {Fsctl(rule.code).name: expected(rule) for rule in table}


async def test_on_a_pipe_there_is_nothing_to_control_but_the_pipe(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client, remote(share, "IPC$") as pipes:
        table = await make_scene(share, client)
        fid = await pipes.create("srvsvc", CreateDisposition.OPEN, access=READ | WRITE)
        found = {rule.code: (await pipes.fsctl(fid, rule.code, rule.data, rule.room))[0] for rule in table}
        sources = {
            Fsctl.SRV_COPYCHUNK: Status.OBJECT_NAME_NOT_FOUND,
            Fsctl.SRV_COPYCHUNK_WRITE: Status.OBJECT_NAME_NOT_FOUND,
            Fsctl.DUPLICATE_EXTENTS_TO_FILE: Status.INVALID_HANDLE,
            Fsctl.DUPLICATE_EXTENTS_TO_FILE_EX: Status.INVALID_HANDLE,
        }  # which belong to another session
        assert found == {rule.code: sources.get(rule.code, BAD_DEVICE) for rule in table}
        assert (await pipes.fsctl(fid, Fsctl.PIPE_PEEK, room=16))[0] is Status.SUCCESS
        for right, peek in ((READ, Status.SUCCESS), (WRITE, DENIED), (SEE, DENIED)):
            half = await pipes.create("srvsvc", CreateDisposition.OPEN, access=right)
            assert (await pipes.fsctl(half, Fsctl.PIPE_PEEK, room=16))[0] is peek
            assert (await pipes.fsctl(half, Fsctl.PIPE_TRANSCEIVE, b"x" * 24))[0] is DENIED


async def test_nothing_is_changed_through_a_read_only_share(tmp_path: Path) -> None:
    async with served(tmp_path) as share, connect("127.0.0.1", share.port, USER, PASSWORD) as session:
        client, reader = [Remote(await session.tree(name)) for name in (SHARE, READ_ONLY_SHARE)]
        changing = [rule for rule in await make_scene(share, client) if rule.rights not in (READ, ANY)]
        assert len(changing) == 11
        fid = await reader.create("file", CreateDisposition.OPEN, access=READ)
        found = {
            rule.code: (await reader.fsctl(fid, rule.code, rule.data, rule.room))[0] for rule in changing
        }
        protected = (Fsctl.DUPLICATE_EXTENTS_TO_FILE, Fsctl.DUPLICATE_EXTENTS_TO_FILE_EX)
        kinds = (DENIED, Status.MEDIA_WRITE_PROTECTED)
        assert found == {rule.code: kinds[rule.code in protected] for rule in changing}
        inode = await share.volume.lookup(share.volume.root, b"file")
        assert bytes(await share.volume.read(inode, 0, LENGTH)) == bytes(LENGTH)


async def test_what_a_volume_cannot_do_is_told_from_what_nobody_can(tmp_path: Path) -> None:
    plain, extended = SetIntegrityInformationBuffer, SetIntegrityInformationBufferEx
    calls = [
        (Fsctl.SET_COMPRESSION, struct.pack("<H", 1), UNSUPPORTED),
        (Fsctl.SET_COMPRESSION, struct.pack("<H", 2), UNSUPPORTED),
        (Fsctl.SET_COMPRESSION, struct.pack("<H", 3), INVALID),
        (Fsctl.SET_INTEGRITY_INFORMATION, plain(0xFFFF).pack(), Status.SUCCESS),
        (Fsctl.SET_INTEGRITY_INFORMATION, plain(2).pack(), UNSUPPORTED),
        (Fsctl.SET_INTEGRITY_INFORMATION, plain(3).pack(), INVALID),
        (Fsctl.SET_INTEGRITY_INFORMATION_EX, extended(1, 0).pack(), UNSUPPORTED),
        (Fsctl.SET_INTEGRITY_INFORMATION_EX, extended(1, 1).pack(), Status.SUCCESS),
        (Fsctl.SET_INTEGRITY_INFORMATION_EX, extended(0, 0, version=2).pack(), INVALID),
    ]
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        assert [(code, data, (await client.fsctl(fid, code, data, 0))[0]) for code, data, _ in calls] == calls


@dataclass(frozen=True)
class Clone:
    """A clone from a source into a destination of 3 blocks and 100 bytes each, or within the source."""

    source: int
    target: int
    count: int
    status: Status = Status.SUCCESS
    within: bool = False


SIZE = 3 * BLOCK + 100
BEFORE = b"\xaa" * SIZE


CLONES = (
    Clone(0, 0, BLOCK),
    Clone(BLOCK, 2 * BLOCK, BLOCK),
    Clone(1, 0, BLOCK, INVALID),
    Clone(0, 512, BLOCK, INVALID),
    Clone(0, 0, 100, INVALID),
    Clone(0, 0, SIZE, INVALID),
    Clone(-BLOCK, 0, BLOCK, INVALID),
    Clone(0, -BLOCK, BLOCK, INVALID),
    Clone(0, 0, -BLOCK, INVALID),
    Clone(2**63 - BLOCK, 0, BLOCK, INVALID),
    Clone(0, 0, 0),
    Clone(0, 0, 4 * BLOCK),  # to the end of the block that the source ends in
    Clone(3 * BLOCK, 0, BLOCK),  # the source's last 100 bytes, and zeros
    Clone(0, 0, 5 * BLOCK, UNSUPPORTED),
    Clone(3 * BLOCK, 0, 2 * BLOCK, UNSUPPORTED),
    Clone(0, 2 * BLOCK, 2 * BLOCK),  # what lies past the destination's end is left out
    Clone(0, 3 * BLOCK, BLOCK),
    Clone(0, 4 * BLOCK, BLOCK),
    Clone(0, BLOCK, BLOCK, within=True),
    Clone(2 * BLOCK, 0, BLOCK, within=True),
    Clone(3 * BLOCK, 0, BLOCK, within=True),
    Clone(0, BLOCK, 2 * BLOCK, UNSUPPORTED, within=True),
    Clone(BLOCK, 0, 2 * BLOCK, UNSUPPORTED, within=True),
    Clone(BLOCK, BLOCK, BLOCK, UNSUPPORTED, within=True),
)


@pytest.mark.parametrize("kind", [DuplicateExtentsData, DuplicateExtentsDataEx])
async def test_a_clone_is_whole_blocks_and_moves_no_end_of_file(
    tmp_path: Path, kind: type[DuplicateExtentsData | DuplicateExtentsDataEx]
) -> None:
    codes = (Fsctl.DUPLICATE_EXTENTS_TO_FILE, Fsctl.DUPLICATE_EXTENTS_TO_FILE_EX)
    async with served(tmp_path) as share, remote(share) as client:
        for number, clone in enumerate(CLONES):
            source = await client.make_file(f"s{number}", DATA[:SIZE])
            other = await client.make_file(f"d{number}", BEFORE)
            call = kind(source, clone.source, clone.target, clone.count)
            target = source if clone.within else other
            status, _ = await client.fsctl(target, codes[kind is DuplicateExtentsDataEx], call.pack(), 0)
            name = f"{'s' if clone.within else 'd'}{number}".encode()
            inode = await share.volume.lookup(share.volume.root, name)
            found = bytes(await share.volume.read(inode, 0, 5 * BLOCK))
            assert (status, found) == (clone.status, bytes_after(clone)), clone


def bytes_after(clone: Clone) -> bytes:
    wanted = bytearray(DATA[:SIZE] if clone.within else BEFORE)
    if clone.status is Status.SUCCESS:
        copied = DATA[:SIZE][clone.source : clone.source + clone.count].ljust(clone.count, b"\0")
        wanted[clone.target : clone.target + clone.count] = copied
    return bytes(wanted[:SIZE])


async def test_a_sparse_source_is_cloned_into_a_sparse_file_alone(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        opens = {name: await client.make_file(name, DATA[:SIZE]) for name in ("plain", "sparse", "other")}
        for name in ("sparse", "other"):
            await client.fsctl(opens[name], Fsctl.SET_SPARSE, FileSetSparseBuffer().pack(), 0)
        for source, target, wanted in (
            ("plain", "sparse", Status.SUCCESS),
            ("other", "sparse", Status.SUCCESS),
            ("sparse", "plain", UNSUPPORTED),
        ):
            call = DuplicateExtentsData(opens[source], 0, 0, BLOCK).pack()
            status, _ = await client.fsctl(opens[target], Fsctl.DUPLICATE_EXTENTS_TO_FILE, call, 0)
            assert status is wanted, (source, target)


async def test_a_clone_needs_a_source_that_may_be_read(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await client.close(await client.make_file("s", DATA[:SIZE]))
        target = await client.make_file("d", BEFORE)
        for access, status in ((READ, Status.SUCCESS), (SEE, DENIED), (WRITE, INVALID)):
            source = await client.create("s", CreateDisposition.OPEN, access=access)
            call = DuplicateExtentsData(source, 0, 0, BLOCK).pack()
            assert (await client.fsctl(target, Fsctl.DUPLICATE_EXTENTS_TO_FILE, call, 0))[0] is status


async def test_a_clone_passes_byte_range_locks_as_on_refs(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client, remote(share) as other:
        source, target = await client.make_file("s", DATA[:SIZE]), await client.make_file("d", BEFORE)
        for name in ("s", "d"):
            locked = await other.create(name, CreateDisposition.OPEN)
            element = LockElement(0, SIZE, LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY)
            lock = LockRequest(locked, (element,))
            assert (await other.call(Command.LOCK, lock.pack())).header.status == Status.SUCCESS
        call = DuplicateExtentsData(source, 0, 0, BLOCK).pack()
        assert (await client.fsctl(target, Fsctl.DUPLICATE_EXTENTS_TO_FILE, call, 0))[0] is Status.SUCCESS
