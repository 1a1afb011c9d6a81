"""SMB2 QUERY_INFO (MS-SMB2 2.2.37, 2.2.38). The structures: fscc/."""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Self

from odxfs.wire.cursor import HEADER_BYTES, or_one_byte, take, unpack_body
from odxfs.wire.file_id import FileId
from odxfs.wire.output_buffer import OutputBufferResponse

_REQUEST = Struct("<HBBIHxxIIIQQ")
_REQUEST_END = HEADER_BYTES + _REQUEST.size


class InfoType(IntEnum):
    """InfoType of QUERY_INFO and SET_INFO."""

    FILE = 0x01
    FILESYSTEM = 0x02
    SECURITY = 0x03
    QUOTA = 0x04


class SecurityInformation:
    """AdditionalInformation of InfoType SECURITY: which parts of the security descriptor."""

    OWNER = 0x00000001
    GROUP = 0x00000002
    DACL = 0x00000004
    SACL = 0x00000008
    LABEL = 0x00000010
    ATTRIBUTE = 0x00000020
    SCOPE = 0x00000040
    BACKUP = 0x00010000


class QueryInfoFlags:
    """Flags of a query of FileFullEaInformation."""

    RESTART_SCAN = 0x00000001
    RETURN_SINGLE_ENTRY = 0x00000002
    INDEX_SPECIFIED = 0x00000004


@dataclass(frozen=True, slots=True)
class QueryInfoRequest:
    """Ask for information class `file_info_class` of `info_type`, at most `output_buffer_length` bytes."""

    info_type: int
    file_info_class: int
    file_id: FileId
    output_buffer_length: int = 65536
    additional_information: int = 0
    flags: int = 0
    input_buffer: bytes = b""

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        info_type, info_class, output_length, offset, length, additional, flags, persistent, volatile = (
            unpack_body(_REQUEST, 41, pdu, cls.__name__)
        )
        data = bytes(take(pdu, offset, length, _REQUEST_END, "QUERY_INFO input"))
        return cls(
            info_type, info_class, FileId(persistent, volatile), output_length, additional, flags, data
        )

    def pack(self) -> bytes:
        head = _REQUEST.pack(
            41,
            self.info_type,
            self.file_info_class,
            self.output_buffer_length,
            _REQUEST_END if self.input_buffer else 0,
            len(self.input_buffer),
            self.additional_information,
            self.flags,
            *self.file_id,
        )
        return head + or_one_byte(self.input_buffer)


@dataclass(frozen=True, slots=True)
class QueryInfoResponse(OutputBufferResponse):
    """The structure that was asked for."""
