"""SMB2 IOCTL (MS-SMB2 2.2.31, 2.2.32). What the buffers hold: fsctl/."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.wire.cursor import HEADER_BYTES, aligned, or_one_byte, take, take_aligned, unpack_body
from odxfs.wire.file_id import FileId

_REQUEST = Struct("<HxxIQQIIIIIIIxxxx")
_RESPONSE = Struct("<HxxIQQIIIIIxxxx")
_REQUEST_END = HEADER_BYTES + _REQUEST.size
_RESPONSE_END = HEADER_BYTES + _RESPONSE.size


class IoctlFlags:
    """Flags; without IS_FSCTL a request is refused (MS-SMB2 3.3.5.15)."""

    IS_FSCTL = 0x00000001


@dataclass(frozen=True, slots=True)
class IoctlRequest:
    """Run FSCTL `ctl_code` on an open with `input_buffer`; the two maxima bound the response's buffers, in bytes."""

    ctl_code: int
    file_id: FileId
    input_buffer: bytes = b""
    max_input_response: int = 0
    max_output_response: int = 0
    flags: int = IoctlFlags.IS_FSCTL

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        code, persistent, volatile, in_at, in_count, max_in, out_at, out_count, max_out, flags = unpack_body(
            _REQUEST, 57, pdu, cls.__name__
        )
        take(pdu, out_at, out_count, _REQUEST_END, "IOCTL output")
        data = bytes(take_aligned(pdu, in_at, in_count, _REQUEST_END, "IOCTL input"))
        return cls(code, FileId(persistent, volatile), data, max_in, max_out, flags)

    def pack(self) -> bytes:
        head = _REQUEST.pack(
            57,
            self.ctl_code,
            *self.file_id,
            _REQUEST_END,
            len(self.input_buffer),
            self.max_input_response,
            0,
            0,
            self.max_output_response,
            self.flags,
        )
        return head + or_one_byte(self.input_buffer)


@dataclass(frozen=True, slots=True)
class IoctlResponse:
    """What the FSCTL answered; hardly any returns an input buffer."""

    ctl_code: int
    file_id: FileId
    output_buffer: bytes = b""
    input_buffer: bytes = b""
    flags: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        code, persistent, volatile, in_at, in_count, out_at, out_count, flags = unpack_body(
            _RESPONSE, 49, pdu, cls.__name__
        )
        given_back = bytes(take(pdu, in_at, in_count, _RESPONSE_END, "IOCTL input"))
        output = bytes(take(pdu, out_at, out_count, _RESPONSE_END, "IOCTL output"))
        return cls(code, FileId(persistent, volatile), output, given_back, flags)

    def pack(self) -> bytes:
        in_length = len(self.input_buffer)
        filled = aligned(in_length)
        head = _RESPONSE.pack(
            49,
            self.ctl_code,
            *self.file_id,
            _RESPONSE_END,
            in_length,
            _RESPONSE_END + filled,
            len(self.output_buffer),
            self.flags,
        )
        return head + or_one_byte(self.input_buffer + bytes(filled - in_length) + self.output_buffer)
