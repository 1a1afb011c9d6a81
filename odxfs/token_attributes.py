"""How a program reads and writes copy tokens on a mount: as extended attributes that no listing shows.

Reading `user.odxfs.token.OFFSET.LENGTH` of a file returns an answer with a token for the range; setting
`user.odxfs.write.OFFSET.LENGTH.TRANSFER_OFFSET` of a file to a token makes its bytes appear there. The kernel checks, as for any
`user.` attribute, that the caller may read the one file and write the other; so a token proves what it proves over SMB. No other
name under `user.odxfs.` can be stored.
"""

import re
import struct
from dataclasses import dataclass

RESERVED = b"user.odxfs."
READ_TOKEN = b"user.odxfs.token.%d.%d"
WRITE_TOKEN = b"user.odxfs.write.%d.%d.%d"

_READ_NAME = re.compile(rb"user\.odxfs\.token\.(\d{1,19})\.(\d{1,19})")
_WRITE_NAME = re.compile(rb"user\.odxfs\.write\.(\d{1,19})\.(\d{1,19})\.(\d{1,19})")

_ANSWER = struct.Struct("<QQ512s")
ANSWER_BYTES = _ANSWER.size


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """`token` stands for `transfer_length` bytes; `zero_beyond`: whatever follows in the file is zeros."""

    transfer_length: int
    zero_beyond: bool
    token: bytes

    def pack(self) -> bytes:
        """The value of the attribute."""
        return _ANSWER.pack(self.transfer_length, self.zero_beyond, self.token)

    @classmethod
    def unpack(cls, value: bytes) -> "TokenAnswer":
        """The inverse of `pack`. Raises ValueError."""
        if len(value) != ANSWER_BYTES:
            raise ValueError(f"a token's answer has {ANSWER_BYTES} bytes, not {len(value)}")
        transfer_length, zero_beyond, token = _ANSWER.unpack(value)
        return cls(transfer_length, bool(zero_beyond), token)


def parse_read(name: bytes) -> tuple[int, int] | None:
    """(offset, length) in bytes of a name that asks for a token."""
    found = _READ_NAME.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def parse_write(name: bytes) -> tuple[int, int, int] | None:
    """(offset, length, offset in what the token holds) in bytes of a name that writes one."""
    found = _WRITE_NAME.fullmatch(name)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
