"""What the FSCTLs that change bytes have in common with WRITE: write-through, times, the end of their open, CANCEL."""

import struct
from pathlib import Path

import pytest

from odxfs.ntstatus import Status
from odxfs.wire.create import CreateDisposition, CreateOptions
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.classes import FileInformationClass as Class
from odxfs.wire.fscc.file_information import FileBasicInformation
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.copychunk import SrvCopychunk, SrvCopychunkCopy, SrvCopychunkResponse
from odxfs.wire.fsctl.duplicate_extents import DuplicateExtentsData
from odxfs.wire.fsctl.sparse import FileZeroDataInformation
from odxfs.wire.fsctl.trim import FileLevelTrim, TrimRange
from tests.server.test_offload_calls import MIB, PATTERN, read_token, write_token
from tests.support.remote import Remote, remote, served

WAYS = ("write", "odx", "copychunk", "duplicate", "zero", "trim")
FILE_WRITE_THROUGH = 0x2


async def copy_chunks(
    client: Remote, source: FileId, file: FileId, *chunks: SrvCopychunk
) -> tuple[Status, bytes]:
    _, key = await client.fsctl(source, Fsctl.SRV_REQUEST_RESUME_KEY, room=32)
    return await client.fsctl(file, Fsctl.SRV_COPYCHUNK, SrvCopychunkCopy(key[:24], chunks).pack(), 12)


async def change(client: Remote, way: str, source: FileId, file: FileId, token: bytes) -> Status:
    """Change the first MiB of `file`."""
    match way:
        case "write":
            return await client.try_write(file, 0, PATTERN)
        case "odx":
            return (await write_token(client, file, token))[0]
        case "copychunk":
            return (await copy_chunks(client, source, file, SrvCopychunk(0, 0, MIB)))[0]
        case "duplicate":
            duplicate = DuplicateExtentsData(source, 0, 0, MIB).pack()
            return (await client.fsctl(file, Fsctl.DUPLICATE_EXTENTS_TO_FILE, duplicate))[0]
        case "zero":
            zeros = FileZeroDataInformation(0, MIB).pack()
            return (await client.fsctl(file, Fsctl.SET_ZERO_DATA, zeros))[0]
        case _:
            trim = FileLevelTrim((TrimRange(0, MIB),)).pack()
            return (await client.fsctl(file, Fsctl.FILE_LEVEL_TRIM, trim))[0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("asked_later", [False, True])
async def test_through_a_write_through_open_an_answer_means_durable(
    tmp_path: Path, way: str, asked_later: bool
) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source, pool = await client.make_file("s", PATTERN), share.pool
        options = 0 if asked_later else CreateOptions.WRITE_THROUGH
        file = await client.create("d", CreateDisposition.CREATE, options)
        if asked_later:
            assert await client.set(file, Class.MODE, struct.pack("<I", FILE_WRITE_THROUGH)) is Status.SUCCESS
        await client.write(file, 0, b"o" * MIB)
        _, token = await read_token(client, source)
        await pool.commit()
        assert await change(client, way, source, file, token) is Status.SUCCESS
        assert not pool.windows.has_changes


async def test_what_a_failed_copy_says_it_wrote_is_durable(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source = await client.make_file("s", PATTERN)
        file = await client.create("d", CreateDisposition.CREATE, CreateOptions.WRITE_THROUGH)
        await share.pool.commit()
        chunks = SrvCopychunk(0, 0, MIB), SrvCopychunk(MIB, MIB, MIB)
        status, answer = await copy_chunks(client, source, file, *chunks)
        assert status is Status.INVALID_VIEW_SIZE
        assert SrvCopychunkResponse.unpack(answer).chunks_written == 1
        assert not share.pool.windows.has_changes


async def test_a_size_that_is_set_through_a_write_through_open_is_durable(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        file = await client.create("d", CreateDisposition.CREATE, CreateOptions.WRITE_THROUGH)
        await client.write(file, 0, PATTERN)
        assert await client.set(file, Class.END_OF_FILE, struct.pack("<Q", 4096)) is Status.SUCCESS
        assert not share.pool.windows.has_changes


@pytest.mark.parametrize("way", WAYS)
async def test_a_write_time_that_a_client_has_set_stays_through_its_open(tmp_path: Path, way: str) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source, file = await client.make_file("s", PATTERN), await client.make_file("d", b"o" * MIB)
        _, token = await read_token(client, source)
        wanted = FileBasicInformation(0, 0, 130_000_000_000_000_000, 0, 0)
        assert await client.set(file, Class.BASIC, wanted.pack()) is Status.SUCCESS
        assert await change(client, way, source, file, token) is Status.SUCCESS
        _, found = await client.query(file, Class.BASIC)
        assert FileBasicInformation.unpack(found).last_write_time == wanted.last_write_time
