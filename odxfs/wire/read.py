"""SMB2 READ (MS-SMB2 2.2.19, 2.2.20). A hot path: tuples instead of dataclasses, and the data is never copied."""

from struct import Struct
from typing import NamedTuple, Self

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.cursor import HEADER_BYTES, take
from odxfs.wire.file_id import FileId

_REQUEST = Struct("<HBBIQQQIIIHH")
_RESPONSE = Struct("<HBxIII")
_REQUEST_END = HEADER_BYTES + _REQUEST.size
_DATA_OFFSET = HEADER_BYTES + _RESPONSE.size


class ReadFlags:
    """Flags of a READ request; UNBUFFERED asks to bypass caches, COMPRESSED allows a compressed answer."""

    READ_UNBUFFERED = 0x01
    REQUEST_COMPRESSED = 0x02


class Channel:
    """How the data of a READ or WRITE travels (MS-SMB2 2.2.19)."""

    NONE = 0
    RDMA_V1 = 1
    RDMA_V1_INVALIDATE = 2
    RDMA_TRANSFORM = 3


class ReadRequest(NamedTuple):
    """Read `length` bytes at `offset` (both in bytes) of an open.

    Fewer than `minimum_count` bytes before the end of the file is END_OF_FILE. `padding` is the DataOffset the client would
    like in the response.
    """

    file_id: FileId
    offset: int
    length: int
    minimum_count: int = 0
    flags: int = 0
    channel: int = Channel.NONE
    remaining_bytes: int = 0
    padding: int = _DATA_OFFSET

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        if len(pdu) < _REQUEST_END:
            raise ProtocolError(f"ReadRequest is cut short at {len(pdu)} bytes")
        size, padding, flags, length, offset, persistent, volatile, minimum, channel, remaining, at, count = (
            _REQUEST.unpack_from(pdu, HEADER_BYTES)
        )
        if size != 49:
            raise ProtocolError(f"ReadRequest has StructureSize {size}, not 49")
        if count:
            take(pdu, at, count, _REQUEST_END, "ReadChannelInfo")
        return cls(FileId(persistent, volatile), offset, length, minimum, flags, channel, remaining, padding)

    def pack(self) -> bytes:
        """The body; a spare byte stands for the empty ReadChannelInfo (which is held to its bounds and not kept: RDMA)."""
        head = _REQUEST.pack(
            49,
            self.padding,
            self.flags,
            self.length,
            self.offset,
            *self.file_id,
            self.minimum_count,
            self.channel,
            self.remaining_bytes,
            0,
            0,
        )
        return head + b"\0"


class ReadResponse(NamedTuple):
    """What was read. `data` of an unpacked response is a view into the message. `flags` is Reserved2 before 3.1.1."""

    data: Buffer
    data_remaining: int = 0
    flags: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        if len(pdu) < _DATA_OFFSET:
            raise ProtocolError(f"ReadResponse is cut short at {len(pdu)} bytes")
        size, offset, length, remaining, flags = _RESPONSE.unpack_from(pdu, HEADER_BYTES)
        if size != 17:
            raise ProtocolError(f"ReadResponse has StructureSize {size}, not 17")
        return cls(take(pdu, offset, length, _DATA_OFFSET, "READ data"), remaining, flags)

    def pack_head(self) -> bytes:
        """The body without the data, which follows it on the wire directly."""
        return _RESPONSE.pack(17, _DATA_OFFSET, len(self.data), self.data_remaining, self.flags)

    def pack(self) -> bytes:
        """Head and data in one piece (a copy of the data)."""
        return b"".join((self.pack_head(), self.data or b"\0"))
