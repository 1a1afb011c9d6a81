"""SMB2 SESSION_SETUP (MS-SMB2 2.2.5, 2.2.6)."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.wire.cursor import HEADER_BYTES, or_one_byte, take, unpack_body

_REQUEST = Struct("<HBBIIHHQ")
_RESPONSE = Struct("<HHHH")
_REQUEST_END = HEADER_BYTES + _REQUEST.size
_RESPONSE_END = HEADER_BYTES + _RESPONSE.size


class SessionSetupFlags:
    """Flags of a request."""

    BINDING = 0x01


class SessionFlags:
    """SessionFlags of a response."""

    IS_GUEST = 0x0001
    IS_NULL = 0x0002
    ENCRYPT_DATA = 0x0004


@dataclass(frozen=True, slots=True)
class SessionSetupRequest:
    """One leg of authentication; `security_buffer` is a SPNEGO or raw NTLM token."""

    security_buffer: bytes
    flags: int = 0
    security_mode: int = 0
    capabilities: int = 0
    channel: int = 0
    previous_session_id: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        flags, mode, capabilities, channel, offset, length, previous = unpack_body(
            _REQUEST, 25, pdu, cls.__name__
        )
        token = bytes(take(pdu, offset, length, _REQUEST_END, "SecurityBuffer"))
        return cls(token, flags, mode, capabilities, channel, previous)

    def pack(self) -> bytes:
        head = _REQUEST.pack(
            25,
            self.flags,
            self.security_mode,
            self.capabilities,
            self.channel,
            _REQUEST_END,
            len(self.security_buffer),
            self.previous_session_id,
        )
        return head + or_one_byte(self.security_buffer)


@dataclass(frozen=True, slots=True)
class SessionSetupResponse:
    """The answer to one leg; the header's status says whether another leg follows."""

    session_flags: int = 0
    security_buffer: bytes = b""

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        flags, offset, length = unpack_body(_RESPONSE, 9, pdu, cls.__name__)
        return cls(flags, bytes(take(pdu, offset, length, _RESPONSE_END, "SecurityBuffer")))

    def pack(self) -> bytes:
        head = _RESPONSE.pack(9, self.session_flags, _RESPONSE_END, len(self.security_buffer))
        return head + or_one_byte(self.security_buffer)
