"""The response that is one buffer: of QUERY_DIRECTORY, CHANGE_NOTIFY and QUERY_INFO (MS-SMB2 2.2.34, 2.2.36, 2.2.38)."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.wire.cursor import HEADER_BYTES, or_one_byte, take, unpack_body

_LAYOUT = Struct("<HHI")
_END = HEADER_BYTES + _LAYOUT.size


@dataclass(frozen=True, slots=True)
class OutputBufferResponse:
    """Base of such responses: StructureSize 9, offset and length of `output_buffer`."""

    output_buffer: bytes = b""

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        offset, length = unpack_body(_LAYOUT, 9, pdu, cls.__name__)
        return cls(bytes(take(pdu, offset, length, _END, "output buffer")))

    def pack(self) -> bytes:
        length = len(self.output_buffer)
        return _LAYOUT.pack(9, _END if length else 0, length) + or_one_byte(self.output_buffer)
