"""Symbolic links and special files that clients make: one thing with those of the mount."""

import stat
from pathlib import Path

import pytest
import trio

from odxfs.errors import NotFound
from odxfs.ntstatus import Status
from odxfs.types import InodeNumber
from odxfs.wire.create import CreateDisposition, CreateOptions
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc import file_information as info
from odxfs.wire.fscc.classes import FileAttributes, ReparseTag
from odxfs.wire.fscc.classes import FileInformationClass as Class
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.copychunk import SrvCopychunk, SrvCopychunkCopy
from odxfs.wire.fsctl.duplicate_extents import DuplicateExtentsData
from odxfs.wire.fsctl.offload import OffloadReadInput, OffloadReadOutput, OffloadWriteInput
from odxfs.wire.fsctl.reparse import RELATIVE, NfsType, ReparseData, SymbolicLinkData
from odxfs.wire.fsctl.sparse import FileZeroDataInformation
from odxfs.wire.fsctl.trim import FileLevelTrim, TrimRange
from odxfs.wire.header import Command
from odxfs.wire.read import ReadRequest
from tests.support.remote import DIRECTORY, Remote, remote, served

LINK_ITSELF = CreateOptions.OPEN_REPARSE_POINT
CHANGING = 0x10180
"""DELETE, and the right to read and change attributes: there is no data to ask for."""
NEW, OPEN = CreateDisposition.CREATE, CreateDisposition.OPEN


def link(target: str, flags: int = RELATIVE) -> bytes:
    return ReparseData(ReparseTag.SYMLINK, SymbolicLinkData(target, target, flags).pack()).pack()


async def turn(client: Remote, fid: FileId, data: bytes) -> Status:
    return (await client.fsctl(fid, Fsctl.SET_REPARSE_POINT, data))[0]


async def attributes(client: Remote, fid: FileId) -> tuple[int, int]:
    found = info.FileAttributeTagInformation.unpack((await client.query(fid, Class.ATTRIBUTE_TAG))[1])
    return found.file_attributes, found.reparse_tag


async def test_a_link_is_made_of_a_file_and_a_file_of_a_link(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.create("link", NEW, LINK_ITSELF)
        assert await turn(client, fid, link("..\\up\\there")) is Status.SUCCESS
        inode = await share.volume.lookup(share.volume.root, b"link")
        assert (inode.mode, inode.target) == (stat.S_IFLNK | 0o777, b"../up/there")
        assert (await attributes(client, fid))[1] == ReparseTag.SYMLINK
        assert await turn(client, fid, link("elsewhere")) is Status.SUCCESS
        assert inode.target == b"elsewhere"
        assert await client.close(fid) is Status.SUCCESS
        assert (await client.try_create("link", OPEN))[0] is Status.STOPPED_ON_SYMLINK
        fid = await client.create("link", OPEN, LINK_ITSELF, access=CHANGING)
        status, data = await client.fsctl(fid, Fsctl.GET_REPARSE_POINT)
        assert status is Status.SUCCESS
        assert SymbolicLinkData.unpack(ReparseData.unpack(data).data).substitute_name == "elsewhere"
        gone = ReparseData(ReparseTag.SYMLINK).pack()
        assert (await client.fsctl(fid, Fsctl.DELETE_REPARSE_POINT, gone))[0] is Status.SUCCESS
        assert (await client.fsctl(fid, Fsctl.DELETE_REPARSE_POINT, gone))[0] is Status.NOT_A_REPARSE_POINT
        await client.close(fid)
        fid = await client.create("link", OPEN)
        await client.write(fid, 0, b"a file again")


async def test_a_link_that_was_a_folder_says_so_and_becomes_one_again(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.create("link", NEW, DIRECTORY | LINK_ITSELF)
        assert await turn(client, fid, link("there")) is Status.SUCCESS
        await client.close(fid)
        root = await share.volume.inode(share.volume.root)
        assert root.nlink == 2
        fid = await client.create("link", OPEN, DIRECTORY | LINK_ITSELF, access=CHANGING)
        assert (await attributes(client, fid))[0] == FileAttributes.DIRECTORY | FileAttributes.REPARSE_POINT
        gone = ReparseData(ReparseTag.SYMLINK).pack()
        assert (await client.fsctl(fid, Fsctl.DELETE_REPARSE_POINT, gone))[0] is Status.SUCCESS
        await client.close(fid)
        assert root.nlink == 3
        await client.close(await client.make_file("link\\inside"))
        fid = await client.create("another", NEW, DIRECTORY | LINK_ITSELF)
        assert await turn(client, fid, link("there")) is Status.SUCCESS
        options = LINK_ITSELF | CreateOptions.DELETE_ON_CLOSE
        await client.close(await client.create("another", OPEN, options, access=CHANGING))
        await client.close(fid)
        with pytest.raises(NotFound):
            await share.volume.lookup(share.volume.root, b"another")


@pytest.mark.parametrize(
    ("data", "mode", "target"),
    [
        (ReparseData(ReparseTag.LX_FIFO), stat.S_IFIFO, b""),
        (ReparseData(ReparseTag.AF_UNIX), stat.S_IFSOCK, b""),
        (ReparseData(ReparseTag.LX_SYMLINK, b"\2\0\0\0/etc"), stat.S_IFLNK, b"/etc"),
        (ReparseData(ReparseTag.NFS, NfsType.FIFO.to_bytes(8, "little")), stat.S_IFIFO, b""),
        (
            ReparseData(ReparseTag.NFS, NfsType.SYMLINK.to_bytes(8, "little") + "a/b".encode("utf-16-le")),
            stat.S_IFLNK,
            b"a/b",
        ),
    ],
)
async def test_what_linux_clients_send(tmp_path: Path, data: ReparseData, mode: int, target: bytes) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.create("special", NEW, LINK_ITSELF)
        assert await turn(client, fid, data.pack()) is Status.SUCCESS
        inode = await share.volume.lookup(share.volume.root, b"special")
        assert (inode.kind, inode.target) == (mode, target)


async def test_what_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        full = await client.make_file("full", b"data")
        assert await turn(client, full, link("a")) is Status.IO_REPARSE_DATA_INVALID
        folder = await client.make_directory("folder")
        await client.close(await client.make_file("folder\\file"))
        assert await turn(client, folder, link("a")) is Status.DIRECTORY_NOT_EMPTY
        fid = await client.make_file("file")
        for bad in (b"", b"\0" * 7, link("")[:-1], link("/absolute"), link("relative", 0), link("")):
            assert await turn(client, fid, bad) is Status.IO_REPARSE_DATA_INVALID
        assert (
            await turn(client, fid, ReparseData(ReparseTag.MOUNT_POINT, b"x").pack()) is Status.NOT_SUPPORTED
        )
        device = ReparseData(ReparseTag.NFS, NfsType.BLOCK.to_bytes(8, "little") + bytes(8))
        assert await turn(client, fid, device.pack()) is Status.NOT_SUPPORTED
        reader = await client.create("file", OPEN, access=0x1)
        assert await turn(client, reader, link("a")) is Status.ACCESS_DENIED
        assert await turn(client, fid, link("a")) is Status.SHARING_VIOLATION
        await client.close(reader)
        stream = await client.create("file:s")
        assert await turn(client, stream, link("a")) is Status.INVALID_PARAMETER
        await client.close(stream)
        assert await turn(client, fid, link("a")) is Status.IO_REPARSE_DATA_INVALID, "it has a stream"
        root = await client.create("", options=DIRECTORY)
        assert await turn(client, root, link("a")) is Status.ACCESS_DENIED
        inode = await share.volume.lookup(share.volume.root, b"file")
        assert inode.is_file


FIFO = ReparseData(ReparseTag.LX_FIFO).pack()


async def data_calls(client: Remote, fid: FileId) -> dict[str, Status]:
    """The answer to each way to read or change the data of `fid`."""
    other = await client.create("other")
    await client.write(other, 0, b"o" * 8192)
    key = (await client.fsctl(other, Fsctl.SRV_REQUEST_RESUME_KEY, room=32))[1][:24]
    own_key = (await client.fsctl(fid, Fsctl.SRV_REQUEST_RESUME_KEY, room=32))[1][:24]
    token = (
        await client.fsctl(
            other, Fsctl.OFFLOAD_READ, OffloadReadInput(file_offset=0, copy_length=8192).pack(), 528
        )
    )[1]
    chunk = (SrvCopychunk(0, 0, 3),)
    offload = OffloadWriteInput(
        file_offset=0, copy_length=8192, transfer_offset=0, token=OffloadReadOutput.unpack(token).token
    )
    clone_to, clone_from = DuplicateExtentsData(other, 0, 0, 4096), DuplicateExtentsData(fid, 0, 0, 4096)
    calls = {
        "SET_ZERO_DATA": (fid, FileZeroDataInformation(0, 100).pack()),
        "FILE_LEVEL_TRIM": (fid, FileLevelTrim((TrimRange(0, 4096),)).pack()),
        "SET_SPARSE": (fid, b""),
        "SRV_COPYCHUNK": (fid, SrvCopychunkCopy(key, chunk).pack()),
        "SRV_COPYCHUNK_WRITE": (other, SrvCopychunkCopy(own_key, chunk).pack()),
        "DUPLICATE_EXTENTS_TO_FILE": (fid, clone_to.pack()),
        "OFFLOAD_WRITE": (fid, offload.pack()),
        "OFFLOAD_READ": (fid, OffloadReadInput(file_offset=0, copy_length=4096).pack()),
    }
    found = {name: (await client.fsctl(on, Fsctl[name], data))[0] for name, (on, data) in calls.items()}
    found["cloned from"] = (await client.fsctl(other, Fsctl.DUPLICATE_EXTENTS_TO_FILE, clone_from.pack()))[0]
    found["READ"] = Status((await client.call(Command.READ, ReadRequest(fid, 0, 3).pack())).header.status)
    for length in (0, 3, 2 * 1024 * 1024):
        found[f"WRITE {length}"] = await client.try_write(fid, 0, bytes(length))
    for size in (0, 10_000):
        found[f"end of file {size}"] = await client.set(
            fid, Class.END_OF_FILE, info.FileEndOfFileInformation(size).pack()
        )
        found[f"allocation {size}"] = await client.set(
            fid, Class.ALLOCATION, info.FileAllocationInformation(size).pack()
        )
    await client.close(other)
    return found


REFUSED = {
    "READ": Status.INVALID_DEVICE_REQUEST,
    "WRITE 0": Status.INVALID_DEVICE_REQUEST,
    "WRITE 3": Status.INVALID_DEVICE_REQUEST,
    "WRITE 2097152": Status.INVALID_DEVICE_REQUEST,
    "SET_ZERO_DATA": Status.INVALID_PARAMETER,
    "FILE_LEVEL_TRIM": Status.INVALID_PARAMETER,
    "SET_SPARSE": Status.INVALID_PARAMETER,
    "SRV_COPYCHUNK": Status.INVALID_PARAMETER,
    "SRV_COPYCHUNK_WRITE": Status.INVALID_PARAMETER,
    "DUPLICATE_EXTENTS_TO_FILE": Status.NOT_SUPPORTED,
    "cloned from": Status.NOT_SUPPORTED,
    "OFFLOAD_WRITE": Status.OFFLOAD_WRITE_FILE_NOT_SUPPORTED,
    "OFFLOAD_READ": Status.OFFLOAD_READ_FILE_NOT_SUPPORTED,
    "end of file 0": Status.INVALID_PARAMETER,
    "end of file 10000": Status.INVALID_PARAMETER,
    "allocation 0": Status.INVALID_PARAMETER,
    "allocation 10000": Status.INVALID_PARAMETER,
}


@pytest.mark.parametrize("data", [link("there"), FIFO], ids=["link", "fifo"])
async def test_an_open_that_may_write_puts_no_data_into_what_its_file_has_become(
    tmp_path: Path, data: bytes
) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.create("turned", NEW, LINK_ITSELF)
        assert await turn(client, fid, data) is Status.SUCCESS
        inode = await share.volume.lookup(share.volume.root, b"turned")
        size = inode.size
        assert await data_calls(client, fid) == REFUSED
        assert (await client.try_create("turned:stream", options=LINK_ITSELF))[0] is not Status.SUCCESS
        assert (inode.size, inode.allocated_blocks, inode.reserved_bytes) == (size, 0, 0)
        await share.pool.commit()
        assert await share.pool.check(read_data=True) == []
        gone = ReparseData(ReparseData.unpack(data).tag).pack()
        assert (await client.fsctl(fid, Fsctl.DELETE_REPARSE_POINT, gone))[0] is Status.SUCCESS
        await client.write(fid, 0, b"a file again")
        assert await turn(client, fid, data) is Status.IO_REPARSE_DATA_INVALID
        assert (
            await client.set(fid, Class.END_OF_FILE, info.FileEndOfFileInformation(0).pack())
            is Status.SUCCESS
        )
        assert await turn(client, fid, data) is Status.SUCCESS


async def test_a_file_that_is_opened_once_more_at_this_moment_stays_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.create("file", NEW, LINK_ITSELF)
        asked, go_on = trio.Event(), trio.Event()
        names_of = share.pool.namespace.directories.names_of

        async def slow_names_of(number: InodeNumber) -> list[tuple[InodeNumber, bytes]]:
            asked.set()
            await go_on.wait()
            return await names_of(number)

        monkeypatch.setattr(share.pool.namespace.directories, "names_of", slow_names_of)

        async def refused() -> None:
            assert await turn(client, fid, link("there")) is Status.SHARING_VIOLATION

        async with trio.open_nursery() as nursery, remote(share) as other:
            nursery.start_soon(refused)
            await asked.wait()
            second = await other.create("file", OPEN)
            go_on.set()
        assert (await share.volume.lookup(share.volume.root, b"file")).is_file
        assert second
