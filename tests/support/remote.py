"""A share of a new pool and a client on it that says exactly what a test wants to say, and hears the status."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from odxfs.client.client import connect
from odxfs.client.tree import Tree
from odxfs.ntstatus import Status
from odxfs.smb.shares import Share
from odxfs.wire.client_connection import Response
from odxfs.wire.close import CloseRequest
from odxfs.wire.create import CreateDisposition, CreateOptions, CreateRequest, CreateResponse
from odxfs.wire.file_id import FileId
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest, IoctlResponse
from odxfs.wire.query_info import InfoType, QueryInfoRequest, QueryInfoResponse
from odxfs.wire.set_info import SetInfoRequest
from odxfs.wire.write import WriteRequest
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

READ_ONLY_SHARE = "read"
ALL_ACCESS = 0x001F01FF
SHARE_ALL = 7
DIRECTORY = CreateOptions.DIRECTORY_FILE


@dataclass(frozen=True)
class Remote:
    """One tree connect; every method answers with the status, and what came with it."""

    tree: Tree

    async def create(
        self,
        name: str,
        disposition: int = CreateDisposition.OPEN_IF,
        options: int = 0,
        access: int = ALL_ACCESS,
        share: int = SHARE_ALL,
    ) -> FileId:
        """An open that must succeed."""
        status, fid = await self.try_create(name, disposition, options, access, share)
        assert status is Status.SUCCESS
        return fid

    async def try_create(
        self,
        name: str,
        disposition: int = CreateDisposition.OPEN_IF,
        options: int = 0,
        access: int = ALL_ACCESS,
        share: int = SHARE_ALL,
    ) -> tuple[Status, FileId]:
        request = CreateRequest(name, access, share, disposition, options, file_attributes=0)
        response = await self.tree.call(Command.CREATE, request.pack())
        status = Status(response.header.status)
        if status is not Status.SUCCESS:
            return status, FileId(0, 0)
        return status, CreateResponse.unpack(response.pdu).file_id

    async def make_directory(self, name: str) -> FileId:
        return await self.create(name, CreateDisposition.CREATE, DIRECTORY)

    async def close(self, fid: FileId) -> Status:
        return await self._status(Command.CLOSE, CloseRequest(fid).pack())

    async def write(self, fid: FileId, offset: int, data: bytes) -> None:
        """A write that must succeed."""
        assert await self.try_write(fid, offset, data) is Status.SUCCESS

    async def try_write(self, fid: FileId, offset: int, data: bytes) -> Status:
        request = WriteRequest(fid, offset, data)
        charge = max(1, -(-len(data) // 65536))
        response = await self.tree.call(Command.WRITE, request.pack_head(), data, credit_charge=charge)
        return Status(response.header.status)

    async def make_file(self, name: str, data: bytes = b"") -> FileId:
        """A new open file with that content."""
        fid = await self.create(name, CreateDisposition.CREATE)
        if data:
            await self.write(fid, 0, data)
        return fid

    async def query(
        self,
        fid: FileId,
        info_class: int,
        info_type: int = InfoType.FILE,
        room: int = 65536,
        parts: int = 0,
        given: bytes = b"",
    ) -> tuple[Status, bytes]:
        request = QueryInfoRequest(info_type, info_class, fid, room, parts, 0, given)
        response = await self.tree.call(Command.QUERY_INFO, request.pack())
        status = Status(response.header.status)
        if status not in (Status.SUCCESS, Status.BUFFER_OVERFLOW):
            return status, b""
        return status, QueryInfoResponse.unpack(response.pdu).output_buffer

    async def set(
        self, fid: FileId, info_class: int, data: bytes, info_type: int = InfoType.FILE, parts: int = 0
    ) -> Status:
        request = SetInfoRequest(info_type, info_class, fid, data, parts)
        return await self._status(Command.SET_INFO, request.pack())

    async def fsctl(
        self, fid: FileId, code: int, data: bytes = b"", room: int = 65536, flags: int = 1
    ) -> tuple[Status, bytes]:
        request = IoctlRequest(code, fid, data, 0, room, flags)
        charge = max(1, -(-max(room, len(data)) // 65536))
        response = await self.tree.call(Command.IOCTL, request.pack(), credit_charge=charge)
        status = Status(response.header.status)
        try:
            return status, IoctlResponse.unpack(response.pdu).output_buffer
        except Exception:
            return status, b""

    async def call(self, command: Command, body: bytes) -> Response:
        return await self.tree.call(command, body)

    async def _status(self, command: Command, body: bytes) -> Status:
        return Status((await self.tree.call(command, body)).header.status)


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[Served]:
    """Serve a new pool with the shares `vol` and, read-only, `read`; at the end the pool must be sound."""
    async with serve(directory / "pool", shares=[Share(READ_ONLY_SHARE, read_only=True)]) as running:
        yield running
        assert await running.pool.check() == []


@asynccontextmanager
async def remote(
    running: Served,
    share: str = SHARE,
    dialects: tuple[int, ...] = (0x0311,),
    login: tuple[str, str] = (USER, PASSWORD),
) -> AsyncIterator[Remote]:
    """Log on and connect to `share`."""
    async with connect("127.0.0.1", running.port, *login, dialects=dialects) as client:
        yield Remote(await client.tree(share))
