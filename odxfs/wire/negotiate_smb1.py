"""The one SMB1 message a server of SMB2 understands: a multi-protocol NEGOTIATE (MS-SMB2 2.2.3, 3.3.5.3; MS-CIFS 2.2.4.52)."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.errors import ProtocolError
from odxfs.types import Buffer

PROTOCOL_ID = b"\xffSMB"
DIALECT_2_0_2 = "SMB 2.002"
DIALECT_WILDCARD = "SMB 2.???"

_HEADER = Struct("<4sBIBHH8sHHHHH")
_COUNTS = Struct("<BH")
_NEGOTIATE = 0x72
_STRING = b"\x02"  # BufferFormat of a NUL-terminated dialect string
_BODY = _HEADER.size + _COUNTS.size
_MAX_DIALECTS = 64


def is_smb1(message: Buffer) -> bool:
    """Whether `message` begins like SMB1."""
    return bytes(message[:4]) == PROTOCOL_ID


@dataclass(frozen=True, slots=True)
class Smb1NegotiateRequest:
    """The dialect strings of an SMB1 NEGOTIATE."""

    dialects: tuple[str, ...]

    @property
    def offers_2_0_2(self) -> bool:
        return DIALECT_2_0_2 in self.dialects

    @property
    def offers_wildcard(self) -> bool:
        """The client speaks more than 2.0.2 and will negotiate again in SMB2."""
        return DIALECT_WILDCARD in self.dialects

    @classmethod
    def unpack(cls, message: Buffer) -> Self:
        """Parse a whole SMB1 message; anything but a NEGOTIATE is a ProtocolError."""
        if len(message) < _BODY or not is_smb1(message) or message[4] != _NEGOTIATE:
            raise ProtocolError("not an SMB1 NEGOTIATE")
        words, count = _COUNTS.unpack_from(message, _HEADER.size)
        if words != 0 or _BODY + count > len(message):
            raise ProtocolError(f"SMB1 NEGOTIATE with {words} words and {count} bytes")
        return cls(_split(bytes(message[_BODY : _BODY + count])))

    def pack(self) -> bytes:
        """The whole SMB1 message, header included."""
        data = b"".join(_STRING + dialect.encode("ascii") + b"\0" for dialect in self.dialects)
        header = _HEADER.pack(PROTOCOL_ID, _NEGOTIATE, 0, 0x18, 0xC853, 0, bytes(8), 0, 0xFFFF, 0, 0, 0)
        return header + _COUNTS.pack(0, len(data)) + data


def _split(data: bytes) -> tuple[str, ...]:
    dialects: list[str] = []
    while data:
        end = data.find(b"\0")
        if data[:1] != _STRING or end < 0 or len(dialects) == _MAX_DIALECTS:
            raise ProtocolError("malformed SMB1 dialect list")
        dialects.append(data[1:end].decode("latin-1"))
        data = data[end + 1 :]
    return tuple(dialects)
