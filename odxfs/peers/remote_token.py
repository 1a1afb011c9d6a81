"""A token as a file on the share of the server that made it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from odxfs.client.connection import Pending
from odxfs.client.file import SmbFile
from odxfs.client.tree import READ_ACCESS
from odxfs.errors import OffloadRefused, ProtocolError, Refusal
from odxfs.ntstatus import Status
from odxfs.peers.link import Line
from odxfs.types import Buffer
from odxfs.wire.access_mask import ShareAccess
from odxfs.wire.client_connection import Response
from odxfs.wire.create import CreateDisposition, CreateOptions, CreateRequest, CreateResponse
from odxfs.wire.file_id import FileId
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.sparse import FileAllocatedRange, unpack_allocated_ranges
from odxfs.wire.ioctl import IoctlResponse
from odxfs.wire.read import ReadResponse

RANGES_ROOM_BYTES = 65536

Ranges = list[tuple[int, int]]
"""(offset, length) pairs in bytes."""

_REFUSALS = {
    Status.INVALID_TOKEN: Refusal.PEER_REFUSED_TOKEN,
    Status.ACCESS_DENIED: Refusal.PEER_REFUSES,
}


class RemoteToken:
    """`size` is what the token stands for in bytes; `is_dense` that it has no holes. Nothing here says the token's bytes."""

    def __init__(self, line: Line, file_id: FileId, size: int, *, is_dense: bool) -> None:
        self.size = size
        self.is_dense = is_dense
        self._line = line
        self._file = SmbFile(line.tree, "a token", file_id, size, created=False)
        self.max_read_bytes = self._file.max_read_bytes

    def try_submit_read(self, offset: int, length: int) -> Pending | None:
        """Queue a read if the peer's credits allow it now; `flush` sends it. Raises NetworkFailed."""
        return self._file.try_submit_read(offset, length)

    async def wait_for_room(self, length: int) -> int:
        """Wait until a read can be submitted of that length, or of the lesser one that is returned. Raises NetworkFailed."""
        return await self._file.wait_for_room(length)

    async def flush(self) -> None:
        """Send what is queued. Raises NetworkFailed."""
        await self._line.client.connection.flush()

    async def find_data(self, offset: int, length: int) -> tuple[Ranges, int]:
        """(offset, length) of what is not a hole, ascending, within what was asked; and up to where that is all.

        One answer, however many ranges follow. Raises OffloadRefused, NetworkFailed, ProtocolError.
        """
        question, end = FileAllocatedRange(offset, length).pack(), offset + length
        response = await self._file.fsctl(Fsctl.QUERY_ALLOCATED_RANGES, question, RANGES_ROOM_BYTES)
        more = response.header.status == Status.BUFFER_OVERFLOW
        if not more:
            check_answer(response)
        output = IoctlResponse.unpack(response.pdu).output_buffer
        if len(output) > RANGES_ROOM_BYTES:
            raise ProtocolError(f"{len(output)} bytes of ranges where {RANGES_ROOM_BYTES} have room")
        ranges = [(part.file_offset, part.length) for part in unpack_allocated_ranges(output)]
        reached = _check_ranges(ranges, offset, end)
        if more and not ranges:
            raise ProtocolError("an answer that is cut to nothing")
        return ranges, reached if more else end


def data_of(response: Response, length: int) -> Buffer:
    """The bytes of a read of `length`. Raises OffloadRefused; ProtocolError for fewer or more bytes."""
    data = ReadResponse.unpack(check_answer(response).pdu).data
    if len(data) != length:
        raise ProtocolError(f"{len(data)} bytes where {length} were due")
    return data


def check_answer(response: Response) -> Response:
    """The response if it is a success. Raises OffloadRefused."""
    status = response.header.status
    if status:
        raise OffloadRefused(_REFUSALS.get(_known(status), Refusal.PEER_FAILED))
    return response


@asynccontextmanager
async def open_remote_token(line: Line, token: bytes) -> AsyncIterator[RemoteToken]:
    """Open the file of a token on its server's share. Raises OffloadRefused, NetworkFailed, ProtocolError."""
    request = CreateRequest(
        token.hex(),
        READ_ACCESS,
        ShareAccess.READ,
        CreateDisposition.OPEN,
        CreateOptions.NON_DIRECTORY_FILE,
    )
    made = CreateResponse.unpack(check_answer(await line.open(request)).pdu)
    is_dense = made.allocation_size >= made.end_of_file
    try:
        yield RemoteToken(line, made.file_id, made.end_of_file, is_dense=is_dense)
    finally:
        line.give_back(made.file_id)


def _check_ranges(ranges: Ranges, offset: int, end: int) -> int:
    """Where the ranges end. Raises ProtocolError unless they ascend within [offset, end)."""
    for start, length in ranges:
        if start < offset or length <= 0 or start + length > end:
            raise ProtocolError("ranges that are not in what was asked for")
        offset = start + length
    return offset


def _known(status: int) -> Status:
    try:
        return Status(status)
    except ValueError:
        return Status.UNSUCCESSFUL
