"""One open of an SMB file: the calls that a copy makes on it."""

from struct import Struct
from typing import TYPE_CHECKING

from odxfs.client.connection import Pending
from odxfs.client.session import expect_success
from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.client_connection import Response
from odxfs.wire.close import CloseRequest
from odxfs.wire.file_id import FileId
from odxfs.wire.flush import FlushRequest
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest
from odxfs.wire.query_info import InfoType, QueryInfoRequest, QueryInfoResponse
from odxfs.wire.read import ReadRequest, ReadResponse
from odxfs.wire.set_info import SetInfoRequest
from odxfs.wire.write import WriteRequest, WriteResponse

if TYPE_CHECKING:
    from odxfs.client.tree import Tree

CREDIT_BYTES = 65536
"""What one credit pays for (MS-SMB2 3.1.5.2)."""

FILE_INTERNAL_INFORMATION = 6
FILE_END_OF_FILE_INFORMATION = 20
_END_OF_FILE = Struct("<q")


class SmbFile:
    """An open. `size` is the end of file in bytes as the CREATE told it; `created` whether that CREATE made the file."""

    def __init__(self, tree: "Tree", path: str, file_id: FileId, size: int, *, created: bool) -> None:
        self.tree = tree
        self.path = path
        self.size = size
        self.created = created
        self.max_read_bytes = _bounded(tree, tree.session.connection.wire.max_read_bytes)
        self.max_write_bytes = _bounded(tree, tree.session.connection.wire.max_write_bytes)
        self._file_id = file_id

    @property
    def name(self) -> str:
        """What messages call this file."""
        return self.tree.describe(self.path)

    async def read(self, offset: int, length: int) -> Buffer:
        """At most `length` bytes (no more than `max_read_bytes`) at `offset`; empty at the end of file. A view, not a copy."""
        request = ReadRequest(self._file_id, offset, length)
        response = await self.tree.call(Command.READ, request.pack(), credit_charge=charge_of(length))
        if response.header.status == Status.END_OF_FILE:
            return b""
        return ReadResponse.unpack(expect_success(response, self.name).pdu).data

    def try_submit_read(self, offset: int, length: int) -> Pending | None:
        """Queue a read if the server's credits allow it now; the caller flushes the connection, and judges the answer."""
        charge = charge_of(length)
        if not self.tree.session.connection.has_room(charge):
            return None
        request = ReadRequest(self._file_id, offset, length)
        return self.tree.submit(Command.READ, request.pack(), credit_charge=charge)

    async def wait_to_read(self, length: int) -> None:
        """Return when the server's credits allow a read of that length. Raises NetworkFailed."""
        await self.tree.session.connection.wait_for_room(charge_of(length))

    async def write(self, offset: int, data: Buffer) -> int:
        """Write at most `max_write_bytes`; how many bytes the server took."""
        request = WriteRequest(self._file_id, offset, data)
        response = await self.tree.call(
            Command.WRITE, request.pack_head(), data, credit_charge=charge_of(len(data))
        )
        return WriteResponse.unpack(expect_success(response, self.name).pdu).count

    async def set_end_of_file(self, size: int) -> None:
        """Cut or extend the file; what is new reads as zeros."""
        await self._set(FILE_END_OF_FILE_INFORMATION, _END_OF_FILE.pack(size))

    async def index_number(self) -> bytes:
        """The file's number on its volume, raw (FileInternalInformation, MS-FSCC 2.4.22)."""
        return await self._query(InfoType.FILE, FILE_INTERNAL_INFORMATION)

    def submit_fsctl(self, code: int, data: bytes, max_output_bytes: int) -> Pending:
        """Queue an FSCTL; the caller flushes the connection, and judges the status."""
        request = IoctlRequest(code, self._file_id, data, max_output_response=max_output_bytes)
        return self.tree.submit(Command.IOCTL, request.pack())

    async def fsctl(self, code: int, data: bytes, max_output_bytes: int) -> Response:
        """One FSCTL and its response, whatever the status."""
        request = IoctlRequest(code, self._file_id, data, max_output_response=max_output_bytes)
        charge = charge_of(max(len(data), max_output_bytes))
        return await self.tree.call(Command.IOCTL, request.pack(), credit_charge=charge)

    async def flush(self) -> None:
        """On stable storage on return."""
        response = await self.tree.call(Command.FLUSH, FlushRequest(self._file_id).pack())
        expect_success(response, self.name)

    async def close(self) -> None:
        """End the open. What the server could not write earlier is told now."""
        response = await self.tree.call(Command.CLOSE, CloseRequest(self._file_id).pack())
        expect_success(response, self.name)

    async def _query(self, info_type: InfoType, information_class: int) -> bytes:
        request = QueryInfoRequest(info_type, information_class, self._file_id, output_buffer_length=1024)
        response = await self.tree.call(Command.QUERY_INFO, request.pack())
        return QueryInfoResponse.unpack(expect_success(response, self.name).pdu).output_buffer

    async def _set(self, information_class: int, data: bytes) -> None:
        request = SetInfoRequest(InfoType.FILE, information_class, self._file_id, data)
        response = await self.tree.call(Command.SET_INFO, request.pack())
        expect_success(response, self.name)


def charge_of(length: int) -> int:
    """The CreditCharge for that many bytes of payload."""
    return max(1, -(-length // CREDIT_BYTES))


def _bounded(tree: "Tree", limit: int) -> int:
    """Without multi-credit requests one request carries one credit's worth."""
    return limit if tree.session.connection.wire.supports_multi_credit else min(limit, CREDIT_BYTES)
