"""SMB2 WRITE (MS-SMB2 2.2.21, 2.2.22). A hot path: the request is a tuple, and the data is never copied."""

from struct import Struct
from typing import NamedTuple, Self

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.cursor import HEADER_BYTES, take
from odxfs.wire.file_id import FileId
from odxfs.wire.read import Channel

_REQUEST = Struct("<HHIQQQIIHHI")
_RESPONSE = Struct("<HHIIHH")
_DATA_OFFSET = HEADER_BYTES + _REQUEST.size
_MAX_DATA_OFFSET = 0x100  # MS-SMB2 3.3.5.13: a server refuses anything past it
_RESPONSE_END = HEADER_BYTES + _RESPONSE.size


class WriteFlags:
    """Flags of a WRITE request (MS-SMB2 2.2.21)."""

    WRITE_THROUGH = 0x00000001
    WRITE_UNBUFFERED = 0x00000002


class WriteRequest(NamedTuple):
    """Write `data` at `offset` bytes of an open. `data` of an unpacked request is a view into the message.

    WriteChannelInfo describes RDMA buffers; it is held to its bounds and not kept, for a stream has no use of it.
    """

    file_id: FileId
    offset: int
    data: Buffer
    flags: int = 0
    channel: int = Channel.NONE
    remaining_bytes: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        if len(pdu) < _DATA_OFFSET:
            raise ProtocolError(f"WriteRequest is cut short at {len(pdu)} bytes")
        size, at, length, offset, persistent, volatile, channel, remaining, info_at, info_length, flags = (
            _REQUEST.unpack_from(pdu, HEADER_BYTES)
        )
        if size != 49 or at > _MAX_DATA_OFFSET:
            raise ProtocolError(f"WriteRequest has StructureSize {size} and DataOffset {at}")
        if info_length:
            take(pdu, info_at, info_length, _DATA_OFFSET, "WriteChannelInfo")
        data = take(pdu, at, length, _DATA_OFFSET, "WRITE data")
        return cls(FileId(persistent, volatile), offset, data, flags, channel, remaining)

    def pack_head(self) -> bytes:
        """The body without the data, which follows it on the wire directly. WriteChannelInfo (RDMA) is not sent."""
        return _REQUEST.pack(
            49,
            _DATA_OFFSET,
            len(self.data),
            self.offset,
            *self.file_id,
            self.channel,
            self.remaining_bytes,
            0,
            0,
            self.flags,
        )

    def pack(self) -> bytes:
        """Head and data in one piece (a copy of the data)."""
        return b"".join((self.pack_head(), self.data or b"\0"))


class WriteResponse(NamedTuple):
    """`written` bytes were written (Count)."""

    written: int
    remaining: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        if len(pdu) < _RESPONSE_END:
            raise ProtocolError(f"WriteResponse is cut short at {len(pdu)} bytes")
        size, _, count, remaining, _, _ = _RESPONSE.unpack_from(pdu, HEADER_BYTES)
        if size != 17:
            raise ProtocolError(f"WriteResponse has StructureSize {size}, not 17")
        return cls(count, remaining)

    def pack(self) -> bytes:
        return _RESPONSE.pack(17, 0, self.written, self.remaining, 0, 0) + b"\0"
