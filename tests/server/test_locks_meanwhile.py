"""A lock that another client takes while a long copy or emptying is under way is not written through."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from odxfs.ntstatus import Status
from odxfs.offload.token import ZERO_TOKEN
from odxfs.offload.zeroing import SLICE_BYTES
from odxfs.volume import Inode, Volume
from odxfs.volume.data import DataPath
from odxfs.wire.file_id import FileId
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.offload import (
    OffloadReadInput,
    OffloadReadOutput,
    OffloadWriteInput,
    OffloadWriteOutput,
)
from odxfs.wire.fsctl.sparse import FileZeroDataInformation
from odxfs.wire.header import Command
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from tests.support.remote import Remote, remote, served
from tests.support.serving import Served

MIB = 1 << 20
LOCK_NOW = LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY


def after_first_step(
    monkeypatch: pytest.MonkeyPatch, kind: type, step: str, act: Callable[[], Awaitable[None]]
) -> None:
    """Let `act` happen between the first and the second step of a call."""
    whole, offsets = getattr(kind, step), list[int]()

    async def stepwise(target: Any, inode: Inode, offset: int, *arguments: Any, **more: Any) -> object:
        offsets.append(offset)
        answer = await whole(target, inode, offset, *arguments, **more)
        if len(offsets) == 1:
            await act()
        return answer

    monkeypatch.setattr(kind, step, stepwise)


async def take_lock(client: Remote, fid: FileId, offset: int) -> None:
    request = LockRequest(fid, (LockElement(offset, 4096, LOCK_NOW),), 0, 0)
    assert (await client.call(Command.LOCK, request.pack())).header.status == Status.SUCCESS


async def bytes_of(share: Served, offset: int, length: int) -> bytes:
    inode = await share.volume.lookup(share.volume.root, b"t")
    return bytes(await share.volume.read(inode, offset, length))


async def test_a_token_is_not_written_over_a_lock_that_is_taken_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as share, remote(share) as client, remote(share) as other:
        source = await client.make_file("s", b"s" * MIB)
        target = await client.make_file("t", bytes(2 * MIB))
        theirs = await other.create("t")
        read = OffloadReadInput(file_offset=0, copy_length=MIB)
        _, data = await client.fsctl(source, Fsctl.OFFLOAD_READ, read.pack(), 528)
        token = OffloadReadOutput.unpack(data).token
        after_first_step(monkeypatch, DataPath, "write", lambda: take_lock(other, theirs, MIB))
        write = OffloadWriteInput(file_offset=512, copy_length=MIB, transfer_offset=0, token=token)
        status, data = await client.fsctl(target, Fsctl.OFFLOAD_WRITE, write.pack(), 16)
        assert await bytes_of(share, MIB, 512) == bytes(512)
        assert status is Status.SUCCESS
        assert 0 < OffloadWriteOutput.unpack(data).length_written <= MIB - 512


@pytest.mark.parametrize("by_token", [True, False])
async def test_zeros_do_not_pass_a_lock_that_is_taken_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_token: bool
) -> None:
    locked = SLICE_BYTES + 8192
    async with served(tmp_path) as share, remote(share) as client, remote(share) as other:
        target = await client.make_file("t")
        await client.write(target, locked, b"t" * 4096)
        theirs = await other.create("t")
        after_first_step(monkeypatch, Volume, "deallocate", lambda: take_lock(other, theirs, locked))
        if by_token:
            write = OffloadWriteInput(
                file_offset=0, copy_length=locked + 4096, transfer_offset=0, token=ZERO_TOKEN
            )
            status, data = await client.fsctl(target, Fsctl.OFFLOAD_WRITE, write.pack(), 16)
            assert OffloadWriteOutput.unpack(data).length_written == SLICE_BYTES
        else:
            zeros = FileZeroDataInformation(0, locked + 4096).pack()
            status, _ = await client.fsctl(target, Fsctl.SET_ZERO_DATA, zeros, 0)
        assert status is (Status.SUCCESS if by_token else Status.FILE_LOCK_CONFLICT)
        assert await bytes_of(share, locked, 4096) == b"t" * 4096
