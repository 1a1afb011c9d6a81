"""SMB2 QUERY_DIRECTORY (MS-SMB2 2.2.33, 2.2.34). The entries: fscc/directory_information.py."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.wire.cursor import HEADER_BYTES, decode_utf16, encode_utf16, or_one_byte, take, unpack_body
from odxfs.wire.file_id import FileId
from odxfs.wire.output_buffer import OutputBufferResponse

_REQUEST = Struct("<HBBIQQHHI")
_REQUEST_END = HEADER_BYTES + _REQUEST.size


class QueryDirectoryFlags:
    """Flags."""

    RESTART_SCANS = 0x01
    RETURN_SINGLE_ENTRY = 0x02
    INDEX_SPECIFIED = 0x04
    REOPEN = 0x10


@dataclass(frozen=True, slots=True)
class QueryDirectoryRequest:
    """List the names that match the pattern `file_name`, in at most `output_buffer_length` bytes."""

    file_information_class: int
    file_id: FileId
    file_name: str = "*"
    output_buffer_length: int = 65536
    flags: int = 0
    file_index: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        info_class, flags, index, persistent, volatile, offset, length, output_length = unpack_body(
            _REQUEST, 33, pdu, cls.__name__
        )
        pattern = decode_utf16(take(pdu, offset, length, _REQUEST_END, "search pattern"), "search pattern")
        return cls(info_class, FileId(persistent, volatile), pattern, output_length, flags, index)

    def pack(self) -> bytes:
        pattern = encode_utf16(self.file_name)
        head = _REQUEST.pack(
            33,
            self.file_information_class,
            self.flags,
            self.file_index,
            *self.file_id,
            _REQUEST_END if pattern else 0,
            len(pattern),
            self.output_buffer_length,
        )
        return head + or_one_byte(pattern)


@dataclass(frozen=True, slots=True)
class QueryDirectoryResponse(OutputBufferResponse):
    """Entries of the class that was asked for."""
