"""What the FSCTLs that change bytes have in common with WRITE: write-through, times, the end of their open, CANCEL."""

import struct
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.offload.token import ZERO_TOKEN
from odxfs.offload.zeroing import SLICE_BYTES
from odxfs.smb.handlers.write import AT_END_OF_FILE
from odxfs.smb.shares import Share
from odxfs.volume import Pool, Volume
from odxfs.volume.cloning import Cloner
from odxfs.volume.data import DataPath
from odxfs.wire.close import CloseRequest
from odxfs.wire.create import CreateDisposition, CreateOptions, CreateRequest
from odxfs.wire.echo import EchoRequest
from odxfs.wire.file_id import ANY, FileId
from odxfs.wire.fscc.classes import FileInformationClass as Class
from odxfs.wire.fscc.file_information import FileBasicInformation
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.copychunk import SrvCopychunk, SrvCopychunkCopy, SrvCopychunkResponse
from odxfs.wire.fsctl.duplicate_extents import DuplicateExtentsData
from odxfs.wire.fsctl.offload import OffloadReadInput, OffloadWriteInput, OffloadWriteOutput
from odxfs.wire.fsctl.sparse import FileZeroDataInformation
from odxfs.wire.fsctl.trim import FileLevelTrim, TrimRange
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest, IoctlResponse
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.query_info import InfoType, QueryInfoRequest, QueryInfoResponse
from odxfs.wire.write import WriteRequest
from tests.server.test_caching import two_clients
from tests.server.test_offload_calls import MIB, PATTERN, read_token, write_token
from tests.support.peer import Peer, Refused, logged_in
from tests.support.remote import ALL_ACCESS, SHARE_ALL, Remote, remote, served
from tests.support.serving import PASSWORD, USER, Served, serve
from tests.support.waiting import until

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


class Gate:
    """The first call of a step goes on when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: str, place: type = Volume) -> None:
        self.at, self.go = trio.Event(), trio.Event()
        whole, calls = getattr(place, step), count(1)

        async def slow(*arguments: Any, **more: Any) -> Any:
            if next(calls) == 1:
                self.at.set()
                await self.go.wait()
            return await whole(*arguments, **more)

        monkeypatch.setattr(place, step, slow)


async def resume_key(peer: Peer, fid: FileId) -> bytes:
    request = IoctlRequest(Fsctl.SRV_REQUEST_RESUME_KEY, fid, b"", max_output_response=32)
    response = await peer.call(Command.IOCTL, request)
    return IoctlResponse.unpack(response.pdu).output_buffer[:24]


async def slow_call(peer: Peer, way: str, fid: FileId, source: FileId) -> IoctlRequest:
    """A call that changes 8 GiB and 4 KiB of `fid` in two steps, or two chunks of it."""
    length = 2 * SLICE_BYTES + 4096
    match way:
        case "odx":
            zeros = OffloadWriteInput(file_offset=0, copy_length=length, transfer_offset=0, token=ZERO_TOKEN)
            return IoctlRequest(Fsctl.OFFLOAD_WRITE, fid, zeros.pack(), max_output_response=16)
        case "zero":
            return IoctlRequest(Fsctl.SET_ZERO_DATA, fid, FileZeroDataInformation(0, length).pack())
        case _:
            chunks = SrvCopychunk(0, 0, 4096), SrvCopychunk(0, length - 4096, 4096)
            call = SrvCopychunkCopy(await resume_key(peer, source), chunks)
            return IoctlRequest(Fsctl.SRV_COPYCHUNK, fid, call.pack(), max_output_response=12)


STEPS = {"odx": "deallocate", "zero": "deallocate", "copychunk": "write_pin"}


async def great_file(share: Served) -> int:
    """`d`, with data where `slow_call` begins and ends; its size."""
    volume = share.volume
    for name, size in ((b"s", 4096), (b"d", 2 * SLICE_BYTES + 4096)):
        inode = await volume.create(volume.root, name, 0o100644, 0, 0)
        await volume.write(inode, 0, b"x" * 4096)
        await volume.write(inode, size - 4096, b"x" * 4096)
    return size


@pytest.mark.parametrize("way", STEPS)
async def test_what_has_begun_ends_before_its_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    async with two_clients(tmp_path) as two:
        end = await great_file(two.served)
        source, mine = await two.second.open("s"), await two.second.open("d")
        opened = next(each for each in two.served.server.registry if each.fid == mine)
        request = await slow_call(two.second, way, mine, source)
        gate = Gate(monkeypatch, STEPS[way])
        call = await two.second.send(Command.IOCTL, request)
        await gate.at.wait()
        close = await two.second.send(Command.CLOSE, CloseRequest(mine))
        await until(lambda: opened.closed)
        with pytest.raises(Refused) as refused:
            await two.first.open("d", share_access=0)
        assert refused.value.status is Status.SHARING_VIOLATION
        gate.go.set()
        await two.second.final(close)
        alone = await two.first.open("d", share_access=0)
        assert await two.first.read(alone, end - 8, 8) == b"x" * 8, "no step is begun behind the CLOSE"
        answer = await two.second.final(call)
        if way == "odx":
            written = OffloadWriteOutput.unpack(IoctlResponse.unpack(answer.pdu).output_buffer)
            assert written.length_written == SLICE_BYTES
        else:
            assert Status(answer.header.status) is Status.FILE_CLOSED


async def test_a_source_that_is_closed_is_read_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_clients(tmp_path) as two:
        await great_file(two.served)
        source, mine = await two.second.open("s"), await two.second.open("d")
        request = await slow_call(two.second, "copychunk", mine, source)
        gate = Gate(monkeypatch, "write_pin")
        call = await two.second.send(Command.IOCTL, request)
        await gate.at.wait()
        await two.second.close(source)
        gate.go.set()
        answer = await two.second.final(call)
        assert Status(answer.header.status) is Status.FILE_CLOSED
        counts = SrvCopychunkResponse.unpack(IoctlResponse.unpack(answer.pdu).output_buffer)
        assert (counts.chunks_written, counts.total_bytes_written) == (1, 4096)


@pytest.mark.parametrize("way", ["odx"])
async def test_a_cancel_behind_the_wait_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    async with (
        serve(tmp_path / "pool", shares=[Share("slow", offload_policy="delay:0.01")]) as share,
        logged_in(share.port, USER, PASSWORD, "slow") as peer,
    ):
        end = await great_file(share)
        source, mine = await peer.open("s"), await peer.open("d")
        gate = Gate(monkeypatch, STEPS[way])
        call = await peer.send(Command.IOCTL, await slow_call(peer, way, mine, source))
        interim = await peer.next_response(call)
        await gate.at.wait()
        await peer.cancel(call, interim.header.async_id)
        await peer.call(Command.ECHO, EchoRequest())  # so the CANCEL has been seen
        gate.go.set()
        answer = await peer.final(call)
        assert Status(answer.header.status) is Status.SUCCESS
        assert await peer.read(mine, end - 8, 8) == bytes(8)


async def test_a_delayed_call_in_a_compound_waits_in_silence(tmp_path: Path) -> None:
    async with (
        serve(tmp_path / "pool", shares=[Share("slow", offload_policy="delay:0.01")]) as share,
        logged_in(share.port, USER, PASSWORD, "slow") as peer,
    ):
        await great_file(share)
        call = OffloadReadInput(file_offset=0, copy_length=4096)
        requests = [
            (
                Command.CREATE,
                CreateRequest("s", ALL_ACCESS, SHARE_ALL, CreateDisposition.OPEN, 0, file_attributes=0),
            ),
            (Command.IOCTL, IoctlRequest(Fsctl.OFFLOAD_READ, ANY, call.pack(), max_output_response=528)),
            (Command.CLOSE, CloseRequest(ANY)),
        ]
        answers = await peer.compound(requests)
        assert [Status(answer.header.status) for answer in answers] == [Status.SUCCESS] * 3


APPEND_ONLY = 0x0010_0084
"""FILE_APPEND_DATA, FILE_READ_ATTRIBUTES, SYNCHRONIZE."""


@pytest.mark.parametrize(
    ("place", "step", "shift"),
    [(DataPath, "capture", 0), (Cloner, "share", 0), (DataPath, "capture", 5), (DataPath, "read_pin", 5)],
)
async def test_who_may_only_append_overwrites_nothing_that_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: type, step: str, shift: int
) -> None:
    """Wherever the copy waits for the disk: blocks that it shares, and bytes that it moves."""
    async with two_clients(tmp_path) as two:
        source = await two.second.open("s", CreateDisposition.CREATE)
        await two.second.write(source, 0, b"n" * 4096)
        log = await two.first.open("log", CreateDisposition.CREATE)
        await two.first.write(log, 0, b"o" * (4096 + shift))
        append = await two.second.open("log", desired_access=APPEND_ONLY)
        key = await resume_key(two.second, source)
        gate = Gate(monkeypatch, step, place)
        call = SrvCopychunkCopy(key, (SrvCopychunk(0, 4096 + shift, 4096),))
        request = IoctlRequest(Fsctl.SRV_COPYCHUNK_WRITE, append, call.pack(), max_output_response=12)
        message = await two.second.send(Command.IOCTL, request)
        await gate.at.wait()
        await two.first.write(log, 4096 + shift, b"A" * 4096)
        gate.go.set()
        answer = await two.second.final(message)
        assert Status(answer.header.status) is Status.ACCESS_DENIED
        assert await two.first.read(log, 4096 + shift, 4096) == b"A" * 4096


async def write_beside(
    monkeypatch: pytest.MonkeyPatch,
    request: WriteRequest,
    writer: Peer,
    other: Callable[[], Awaitable[object]],
) -> Status:
    """The answer to a WRITE that waits, as while changes gather faster than commits take them away; meanwhile `other` happens."""
    gate = Gate(monkeypatch, "throttle", Pool)
    with monkeypatch.context() as patch:
        patch.setattr(Pool, "is_writing_easy", False)
        message = await writer.send(Command.WRITE, request)
        await gate.at.wait()
    await other()
    gate.go.set()
    return Status((await writer.final(message)).header.status)


async def test_what_another_client_locks_while_a_write_waits_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_clients(tmp_path) as two:
        mine, theirs = await two.first.open("file"), await two.second.open("file")
        await two.first.write(mine, 0, b"o" * 4096)
        lock = LockElement(0, 1, LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY)
        take = partial(two.first.call, Command.LOCK, LockRequest(mine, (lock,)))
        request = WriteRequest(theirs, 0, b"n" * 4096)
        assert await write_beside(monkeypatch, request, two.second, take) is Status.FILE_LOCK_CONFLICT
        assert await two.first.read(mine, 0, 4096) == b"o" * 4096


async def test_who_may_only_append_writes_over_nothing_that_is_appended_while_he_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_clients(tmp_path) as two:
        log = await two.first.open("log")
        append = await two.second.open("log", desired_access=APPEND_ONLY)
        request, other = WriteRequest(append, 0, b"mine"), partial(two.first.write, log, 0, b"theirs")
        assert await write_beside(monkeypatch, request, two.second, other) is Status.ACCESS_DENIED
        assert await two.first.read(log, 0, 100) == b"theirs"


async def test_what_is_written_at_the_end_goes_behind_what_others_append_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_clients(tmp_path) as two:
        log = await two.first.open("log")
        append = await two.second.open("log")
        request, other = (
            WriteRequest(append, AT_END_OF_FILE, b"mine"),
            partial(two.first.write, log, 0, b"theirs"),
        )
        assert await write_beside(monkeypatch, request, two.second, other) is Status.SUCCESS
        assert await two.first.read(log, 0, 100) == b"theirsmine"
        position = QueryInfoRequest(InfoType.FILE, Class.POSITION, append, 8)
        answer = QueryInfoResponse.unpack((await two.second.call(Command.QUERY_INFO, position)).pdu)
        assert answer.output_buffer == struct.pack("<Q", len(b"theirsmine"))
