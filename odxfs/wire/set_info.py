"""SMB2 SET_INFO (MS-SMB2 2.2.39, 2.2.40). The structures: fscc/."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.wire.cursor import HEADER_BYTES, or_one_byte, take, unpack_body
from odxfs.wire.file_id import FileId

_REQUEST = Struct("<HBBIHxxIQQ")
_RESPONSE = Struct("<H")
_REQUEST_END = HEADER_BYTES + _REQUEST.size


@dataclass(frozen=True, slots=True)
class SetInfoRequest:
    """Set information class `file_info_class` of `info_type` (query_info.InfoType) to what `buffer` holds."""

    info_type: int
    file_info_class: int
    file_id: FileId
    buffer: bytes
    additional_information: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        info_type, info_class, length, offset, additional, persistent, volatile = unpack_body(
            _REQUEST, 33, pdu, cls.__name__
        )
        data = bytes(take(pdu, offset, length, _REQUEST_END, "SET_INFO buffer"))
        return cls(info_type, info_class, FileId(persistent, volatile), data, additional)

    def pack(self) -> bytes:
        head = _REQUEST.pack(
            33,
            self.info_type,
            self.file_info_class,
            len(self.buffer),
            _REQUEST_END,
            self.additional_information,
            *self.file_id,
        )
        return head + or_one_byte(self.buffer)


@dataclass(frozen=True, slots=True)
class SetInfoResponse:
    """It is set."""

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        unpack_body(_RESPONSE, 2, pdu, cls.__name__)
        return cls()

    def pack(self) -> bytes:
        return _RESPONSE.pack(2)
