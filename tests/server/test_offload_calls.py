"""FSCTL_OFFLOAD_READ and _WRITE over a real connection, and what is told of them and of the other ways to share extents."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.offload import Mechanism, OffloadEvent, OffloadSettings
from odxfs.offload.token import ZERO_TOKEN
from odxfs.smb.settings import ServerSettings
from odxfs.smb.shares import Share, ShareStore
from odxfs.wire.create import CreateDisposition
from odxfs.wire.file_id import FileId
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.copychunk import SrvCopychunk, SrvCopychunkCopy
from odxfs.wire.fsctl.duplicate_extents import DuplicateExtentsData
from odxfs.wire.fsctl.offload import (
    OffloadReadInput,
    OffloadReadOutput,
    OffloadWriteInput,
    OffloadWriteOutput,
)
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest
from tests.support.peer import Peer, logged_in
from tests.support.remote import READ_ONLY_SHARE, Remote, remote, served
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

MIB = 1024 * 1024
PATTERN = bytes(range(256)) * 4096


async def read_token(client: Remote, fid: FileId, length: int = MIB) -> tuple[Status, bytes]:
    call = OffloadReadInput(file_offset=0, copy_length=length)
    status, data = await client.fsctl(fid, Fsctl.OFFLOAD_READ, call.pack(), 528)
    return status, OffloadReadOutput.unpack(data).token if status is Status.SUCCESS else b""


async def write_token(client: Remote, fid: FileId, token: bytes, length: int = MIB) -> tuple[Status, int]:
    call = OffloadWriteInput(file_offset=0, copy_length=length, transfer_offset=0, token=token)
    status, data = await client.fsctl(fid, Fsctl.OFFLOAD_WRITE, call.pack(), 16)
    return status, OffloadWriteOutput.unpack(data).length_written if status is Status.SUCCESS else 0


def observe(share: Served) -> list[OffloadEvent]:
    """The events of the server from now on."""
    events: list[OffloadEvent] = []
    share.server.engine._recorder._observe = events.append
    return events


def set_policy(share: Served, policy: str) -> None:
    ShareStore(share.pool.directory).change(SHARE, {"offload_policy": policy})


async def test_a_policy_counts_from_the_next_call_of_an_open_session(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source = await client.make_file("s", PATTERN)
        status, token = await read_token(client, source)
        assert status is Status.SUCCESS
        set_policy(share, "refuse:DEVICE_FEATURE_NOT_SUPPORTED")
        assert (await read_token(client, source))[0] is Status.DEVICE_FEATURE_NOT_SUPPORTED
        assert (await write_token(client, source, token))[0] is Status.DEVICE_FEATURE_NOT_SUPPORTED
        set_policy(share, "invalidate")
        status, watched = await read_token(client, source)
        assert await write_token(client, source, token) == (Status.SUCCESS, MIB)
        await client.write(source, 5, b"changed")
        assert (await write_token(client, source, watched))[0] is Status.INVALID_TOKEN
        assert share.server.engine.counters.refusals == {"injected": 2, "source_changed": 1}


async def test_a_share_that_offload_is_switched_off_for_refuses_open_sessions(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source = await client.make_file("s", PATTERN)
        ShareStore(share.pool.directory).change(SHARE, {"copy_offload": False})
        assert (await read_token(client, source))[0] is Status.NOT_SUPPORTED


@pytest.mark.parametrize("cancels", [True, False])
async def test_a_delayed_call_can_be_cancelled_and_holds_nothing_up(tmp_path: Path, cancels: bool) -> None:
    async with (
        serve(tmp_path, shares=[Share("slow", offload_policy="delay:3600")]) as share,
        logged_in(share.port, USER, PASSWORD, "slow") as peer,
    ):
        events = observe(share)
        fid = await peer.open("f", CreateDisposition.CREATE)
        await peer.write(fid, 0, PATTERN[:4096])
        call = OffloadReadInput(file_offset=0, copy_length=4096)
        request = IoctlRequest(Fsctl.OFFLOAD_READ, fid, call.pack(), max_output_response=528)
        message_id = await peer.send(Command.IOCTL, request)
        interim = await peer.next_response(message_id)
        assert interim.header.status == Status.PENDING
        await peer.write(fid, 4096, PATTERN[:4096])  # the connection goes on working
        await _end(peer, fid, message_id, interim.header.async_id, cancels=cancels)
        if cancels:
            assert [event.reason for event in events] == ["cancelled"]
            assert len(share.server.engine.registry) == 0


async def _end(peer: Peer, fid: FileId, message_id: int, async_id: int, *, cancels: bool) -> None:
    """By a cancel, or with the connection under it."""
    if cancels:
        await peer.cancel(message_id, async_id)
        with trio.fail_after(60):
            assert (await peer.final(message_id)).header.status == Status.CANCELLED
        await peer.close(fid)


async def test_a_short_delay_only_delays(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source = await client.make_file("s", PATTERN)
        set_policy(share, "delay:0.05")
        status, token = await read_token(client, source)
        assert status is Status.SUCCESS
        assert await write_token(client, source, token) == (Status.SUCCESS, MIB)


async def test_old_dialects_are_refused_and_that_is_told(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share, dialects=(0x0210,)) as client:
        events = observe(share)
        source = await client.make_file("s", PATTERN)
        assert (await read_token(client, source))[0] is Status.INVALID_DEVICE_REQUEST
        (event,) = events
        assert (event.reason, event.share, event.owner, event.path) == ("dialect_too_old", SHARE, USER, "s")


async def test_a_read_only_share_gives_tokens_and_takes_none(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client, remote(share, READ_ONLY_SHARE) as reader:
        await client.close(await client.make_file("s", PATTERN))
        source = await reader.create("s", CreateDisposition.OPEN, access=0x1)
        status, token = await read_token(reader, source)
        assert status is Status.SUCCESS
        assert (await write_token(reader, source, token))[0] is Status.ACCESS_DENIED
        target = await client.make_file("t", bytes(MIB))
        assert await write_token(client, target, token) == (Status.SUCCESS, MIB)


async def test_rights_count_where_each_is_used(tmp_path: Path) -> None:
    """Reading needs read access at the source then; writing needs write access at the destination now, and no more."""
    async with served(tmp_path) as share, remote(share) as client:
        await client.close(await client.make_file("s", PATTERN))
        await client.close(await client.make_file("t", bytes(MIB)))
        blind = await client.create("s", CreateDisposition.OPEN, access=0x2)
        assert (await read_token(client, blind))[0] is Status.ACCESS_DENIED
        source = await client.create("s", CreateDisposition.OPEN, access=0x1)
        _, token = await read_token(client, source)
        await client.close(source)
        readable = await client.create("t", CreateDisposition.OPEN, access=0x1)
        assert (await write_token(client, readable, token))[0] is Status.ACCESS_DENIED
        assert (await write_token(client, readable, ZERO_TOKEN))[0] is Status.ACCESS_DENIED
        writable = await client.create("t", CreateDisposition.OPEN, access=0x2)
        assert await write_token(client, writable, token) == (Status.SUCCESS, MIB)


async def test_copychunk_and_duplicate_extents_are_told_with_their_refusals(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        events = observe(share)
        source, target = await client.make_file("s", PATTERN), await client.make_file("t", bytes(MIB))
        _, key = await client.fsctl(source, Fsctl.SRV_REQUEST_RESUME_KEY, room=32)
        chunks = tuple(SrvCopychunk(at, at, 4096) for at in (0, 8192, MIB - 100))
        await client.fsctl(target, Fsctl.SRV_COPYCHUNK, SrvCopychunkCopy(key[:24], chunks).pack(), 12)
        duplicate = DuplicateExtentsData(source, 4096, 4096, 65536).pack()
        await client.fsctl(target, Fsctl.DUPLICATE_EXTENTS_TO_FILE, duplicate, 0)
        unaligned = DuplicateExtentsData(source, 1, 4096, 65536).pack()
        await client.fsctl(target, Fsctl.DUPLICATE_EXTENTS_TO_FILE, unaligned, 0)
        told = [(event.mechanism, event.logical_bytes, event.moved_bytes, event.reason) for event in events]
        assert told == [
            (Mechanism.COPYCHUNK, 8192, 0, "invalid_view_size"),
            (Mechanism.DUPLICATE_EXTENTS, 65536, 0, ""),
            (Mechanism.DUPLICATE_EXTENTS, 0, 0, "invalid_parameter"),
        ]
        assert {(event.owner, event.share, event.path, event.source) for event in events} == {
            (USER, SHARE, "t", "main:s")
        }
        counters = share.server.engine.counters.mechanisms
        assert counters[Mechanism.COPYCHUNK].refusals == {"invalid_view_size": 1}
        assert counters[Mechanism.DUPLICATE_EXTENTS].refusals == {"invalid_parameter": 1}


async def test_a_server_that_copies_by_token_alone_says_so_of_every_other_way(tmp_path: Path) -> None:
    settings = ServerSettings(failed_login_seconds=0.0, offload=OffloadSettings(copychunk=False))
    async with serve(tmp_path, settings) as share, remote(share) as client:
        source = await client.make_file("s", PATTERN)
        for code in (
            Fsctl.SRV_REQUEST_RESUME_KEY,
            Fsctl.SRV_COPYCHUNK,
            Fsctl.SRV_COPYCHUNK_WRITE,
            Fsctl.DUPLICATE_EXTENTS_TO_FILE,
            Fsctl.DUPLICATE_EXTENTS_TO_FILE_EX,
        ):
            assert (await client.fsctl(source, code))[0] is Status.NOT_SUPPORTED
        assert share.server.engine.counters.refusals == {"not_supported": 5}
        assert (await read_token(client, source))[0] is Status.SUCCESS


async def test_small_files_and_strictness_are_the_svms_choice(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        source, empty = await client.make_file("s", PATTERN), await client.make_file("e")
        _, token = await read_token(client, source)
        assert (await write_token(client, empty, token))[0] is Status.END_OF_FILE
        offload = OffloadSettings(smallest_file_bytes=MIB + 1, strict=False, token_bytes=65536)
        share.server.settings = replace(share.server.settings, offload=offload)
        assert (await read_token(client, source))[0] is Status.OFFLOAD_READ_FILE_NOT_SUPPORTED
        assert await write_token(client, empty, token) == (Status.SUCCESS, MIB)
        inode = await share.volume.lookup(share.volume.root, b"e")
        assert bytes(await share.volume.read(inode, 0, inode.size)) == PATTERN


async def test_pipes_hold_nothing_to_copy(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share, "IPC$") as client:
        events = observe(share)
        pipe = await client.create("srvsvc", CreateDisposition.OPEN)
        assert (await read_token(client, pipe))[0] is Status.INVALID_DEVICE_REQUEST
        assert (await write_token(client, pipe, ZERO_TOKEN))[0] is Status.INVALID_DEVICE_REQUEST
        call = SrvCopychunkCopy(bytes(24), ()).pack()
        assert (await client.fsctl(pipe, Fsctl.SRV_COPYCHUNK, call, 12))[0] is Status.OBJECT_NAME_NOT_FOUND
        assert [(event.inode, event.reason) for event in events] == [
            (0, "not_a_file_share"),
            (0, "not_a_file_share"),
            (0, "object_name_not_found"),
        ]
