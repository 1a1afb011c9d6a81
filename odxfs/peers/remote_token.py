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

    async def wait_for_room(self, length: int) -> None:
        """Return when a read of that length can be submitted. Raises NetworkFailed."""
        await self._file.wait_to_read(length)

    async def flush(self) -> None:
        """Send what is queued. Raises NetworkFailed."""
        await self._line.client.connection.flush()

    async def data_ranges(self, offset: int, length: int) -> list[tuple[int, int]]:
        """(offset, length) of what is not a hole, ascending, within what was asked. Raises OffloadRefused, NetworkFailed."""
        end, found = offset + length, list[tuple[int, int]]()
        while offset < end:
            question = FileAllocatedRange(offset, end - offset).pack()
            response = await self._file.fsctl(Fsctl.QUERY_ALLOCATED_RANGES, question, RANGES_ROOM_BYTES)
            more = response.header.status == Status.BUFFER_OVERFLOW
            if not more:
                check_answer(response)
            output = IoctlResponse.unpack(response.pdu).output_buffer
            ranges = [(part.file_offset, part.length) for part in unpack_allocated_ranges(output)]
            offset = _check_ranges(ranges, offset, end)
            found += ranges
            if not more:
                break
            if not ranges:
                raise ProtocolError("an answer that is cut to nothing")
        return found


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


def _check_ranges(ranges: list[tuple[int, int]], offset: int, end: int) -> int:
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
