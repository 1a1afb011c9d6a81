"""REPARSE_DATA_BUFFER (MS-FSCC 2.1.2.2): symbolic links (2.1.2.4), and the forms in which Linux clients send links and special
files: NFS (2.1.2.6) and those of the Windows Subsystem for Linux.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.cursor import decode_utf16, encode_utf16, take, unpack_fixed

HEAD = Struct("<IHH")
_SYMLINK = Struct("<HHHHI")
_NFS = Struct("<Q")
_LX_SYMLINK = Struct("<I")
_LX_VERSION = 2
RELATIVE = 0x00000001


class NfsType:
    """What an NFS reparse point is: letters, little-endian."""

    SYMLINK = int.from_bytes(b"LNK\1", "little")
    CHARACTER = int.from_bytes(b"CHR", "little")
    BLOCK = int.from_bytes(b"BLK", "little")
    FIFO = int.from_bytes(b"FIFO", "little")
    SOCKET = int.from_bytes(b"SOCK", "little")


@dataclass(frozen=True, slots=True)
class ReparseData:
    """The buffer: a tag and what belongs to it."""

    tag: int
    data: bytes = b""

    @classmethod
    def unpack(cls, buffer: Buffer) -> Self:
        """Raises ProtocolError(IO_REPARSE_DATA_INVALID) for a length that is not the buffer's."""
        if len(buffer) < HEAD.size:
            raise invalid("a reparse buffer without its head")
        tag, length, _ = HEAD.unpack_from(buffer)
        if HEAD.size + length != len(buffer):
            raise invalid(f"{length} bytes of reparse data in a buffer of {len(buffer)}")
        return cls(tag, bytes(buffer[HEAD.size :]))

    def pack(self) -> bytes:
        return HEAD.pack(self.tag, len(self.data), 0) + self.data


@dataclass(frozen=True, slots=True)
class SymbolicLinkData:
    """The data of tag SYMLINK."""

    substitute_name: str
    print_name: str
    flags: int

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        try:
            at, length, print_at, print_length, flags = unpack_fixed(_SYMLINK, data, cls.__name__)
            start = _SYMLINK.size
            substitute = decode_utf16(
                take(data, start + at, length, start, "SubstituteName"), "SubstituteName"
            )
            printed = decode_utf16(
                take(data, start + print_at, print_length, start, "PrintName"), "PrintName"
            )
        except ProtocolError as error:
            raise invalid(str(error)) from error
        return cls(substitute, printed, flags)

    def pack(self) -> bytes:
        substitute, printed = encode_utf16(self.substitute_name), encode_utf16(self.print_name)
        head = _SYMLINK.pack(0, len(substitute), len(substitute), len(printed), self.flags)
        return head + substitute + printed


def unpack_nfs(data: Buffer) -> tuple[int, str]:
    """The type of an NFS reparse point, and of a link its target ("/" separates). Raises ProtocolError."""
    if len(data) < _NFS.size:
        raise invalid("NFS reparse data without its type")
    (kind,) = _NFS.unpack_from(data)
    if kind != NfsType.SYMLINK:
        return kind, ""
    try:
        return kind, decode_utf16(data[_NFS.size :], "target")
    except ProtocolError as error:
        raise invalid(str(error)) from error


def unpack_lx_symlink(data: Buffer) -> bytes:
    """The target of a link of the Windows Subsystem for Linux. Raises ProtocolError."""
    if len(data) < _LX_SYMLINK.size or _LX_SYMLINK.unpack_from(data)[0] != _LX_VERSION:
        raise invalid("a link of another version")
    return bytes(data[_LX_SYMLINK.size :])


def invalid(message: str) -> ProtocolError:
    """What MS-FSA 2.1.5.10.37 says of a buffer that makes no sense."""
    return ProtocolError(message, Status.IO_REPARSE_DATA_INVALID)
