"""Who comes to cache a file while any kind of change of it waits for the disk is told when that is over."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.offload import OffloadEngine
from odxfs.offload.token import ZERO_TOKEN
from odxfs.volume import Volume
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.copychunk import SrvCopychunk, SrvCopychunkCopy
from odxfs.wire.fsctl.duplicate_extents import DuplicateExtentsData
from odxfs.wire.fsctl.offload import OffloadWriteInput
from odxfs.wire.fsctl.sparse import FileZeroDataInformation
from odxfs.wire.fsctl.trim import FileLevelTrim, TrimRange
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest, IoctlResponse
from odxfs.wire.oplock_break import LeaseBreakNotification
from odxfs.wire.query_info import InfoType
from odxfs.wire.set_info import SetInfoRequest
from tests.server.test_durable_caching import GUID, R, create, lease, leased, session
from tests.support.peer import Body, Peer
from tests.support.serving import serve
from tests.support.waiting import until

LENGTH = 65536
ALL_ONES = (1 << 64) - 1


@dataclass(frozen=True)
class Change:
    """`request` changes `file` (with `source` open, too) by way of `owner.method`."""

    name: str
    owner: type
    method: str
    command: Command
    request: Callable[[FileId, FileId, bytes], Body]


def fsctl(
    code: int, pack: Callable[[FileId, bytes], bytes], room: int = 16
) -> Callable[[FileId, FileId, bytes], Body]:
    def make(file: FileId, source: FileId, key: bytes) -> Body:
        return IoctlRequest(code, file, pack(source, key), 0, room)

    return make


def size(kind: FileInformationClass) -> Callable[[FileId, FileId, bytes], Body]:
    return lambda file, source, key: SetInfoRequest(InfoType.FILE, kind, file, (4096).to_bytes(8, "little"))


def chunks(source: FileId, key: bytes) -> bytes:
    return SrvCopychunkCopy(key, (SrvCopychunk(0, 0, LENGTH),)).pack()


def by_token(source: FileId, key: bytes) -> bytes:
    return OffloadWriteInput(
        file_offset=0, copy_length=LENGTH, transfer_offset=0, token=bytes(ZERO_TOKEN)
    ).pack()


def clone(source: FileId, key: bytes) -> bytes:
    return DuplicateExtentsData(source, 0, 0, LENGTH).pack()


def zero(source: FileId, key: bytes) -> bytes:
    return FileZeroDataInformation(0, LENGTH).pack()


def trim(source: FileId, key: bytes) -> bytes:
    return FileLevelTrim((TrimRange(0, LENGTH),)).pack()


IOCTL, SET_INFO = Command.IOCTL, Command.SET_INFO
CHANGES = (
    Change("end of file", Volume, "truncate", SET_INFO, size(FileInformationClass.END_OF_FILE)),
    Change("allocation", Volume, "truncate", SET_INFO, size(FileInformationClass.ALLOCATION)),
    Change("zero data", Volume, "deallocate", IOCTL, fsctl(Fsctl.SET_ZERO_DATA, zero, 0)),
    Change("trim", Volume, "deallocate", IOCTL, fsctl(Fsctl.FILE_LEVEL_TRIM, trim)),
    Change("copychunk", OffloadEngine, "copy", IOCTL, fsctl(Fsctl.SRV_COPYCHUNK, chunks)),
    Change("clone", OffloadEngine, "copy", IOCTL, fsctl(Fsctl.DUPLICATE_EXTENTS_TO_FILE, clone, 0)),
    Change("token", OffloadEngine, "offload_write", IOCTL, fsctl(Fsctl.OFFLOAD_WRITE, by_token)),
)


class Held:
    """Calls of one method wait, from its arming on, until `go_on`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
        self.armed = False
        self.waiting = 0
        self.go_on = trio.Event()
        act = getattr(change.owner, change.method)

        async def held(*arguments: Any, **named: Any) -> Any:
            if self.armed:
                self.waiting += 1
                await self.go_on.wait()
            return await act(*arguments, **named)

        monkeypatch.setattr(change.owner, change.method, held)


async def resume_key(peer: Peer, source: FileId) -> bytes:
    asked = IoctlRequest(Fsctl.SRV_REQUEST_RESUME_KEY, source, b"", 0, 32)
    return bytes(IoctlResponse.unpack((await peer.call(Command.IOCTL, asked)).pdu).output_buffer[:24])


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
async def test_who_comes_while_a_file_is_changed_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    held = Held(monkeypatch, change)
    async with serve(tmp_path) as served, session(served) as writer, session(served, guid=GUID) as reader:
        source, file = await writer.open("source"), await writer.open("file")
        for fid, byte in ((source, b"n"), (file, b"o")):
            await writer.write(fid, 0, byte * LENGTH)
        request = change.request(file, source, await resume_key(writer, source))
        held.armed = True
        changing = await writer.send(change.command, request)
        await until(lambda: held.waiting > 0)
        made = await create(reader, lease(R))
        assert leased(made)[0] == R
        assert await reader.read(made.file_id, 0, 3) == b"ooo"
        held.go_on.set()
        assert (await writer.final(changing)).header.status == Status.SUCCESS
        with trio.fail_after(60):
            told = LeaseBreakNotification.unpack((await reader.next_response(ALL_ONES)).pdu)
        assert told.new_lease_state == 0
