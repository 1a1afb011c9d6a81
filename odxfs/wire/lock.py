"""SMB2 LOCK (MS-SMB2 2.2.26, 2.2.27)."""

from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple, Self

from odxfs.errors import ProtocolError
from odxfs.wire.cursor import HEADER_BYTES, take, unpack_body
from odxfs.wire.empty import EmptyBody
from odxfs.wire.file_id import FileId

_REQUEST = Struct("<HHIQQ")
_ELEMENT = Struct("<QQIxxxx")
_REQUEST_END = HEADER_BYTES + _REQUEST.size

MAX_LOCK_ELEMENTS = 1024
"""One request is handled in one step, so its work has a bound; clients send a handful."""


class LockFlags:
    """Flags of one element."""

    SHARED_LOCK = 0x00000001
    EXCLUSIVE_LOCK = 0x00000002
    UNLOCK = 0x00000004
    FAIL_IMMEDIATELY = 0x00000010


class LockElement(NamedTuple):
    """SMB2_LOCK_ELEMENT (2.2.26.1): `offset` and `length` in bytes."""

    offset: int
    length: int
    flags: int


@dataclass(frozen=True, slots=True)
class LockRequest:
    """Lock or unlock byte ranges. The sequence number (4 bits) and index (28 bits) serve replay on durable opens."""

    file_id: FileId
    locks: tuple[LockElement, ...]
    lock_sequence_number: int = 0
    lock_sequence_index: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        count, sequence, persistent, volatile = unpack_body(_REQUEST, 48, pdu, cls.__name__)
        if not 0 < count <= MAX_LOCK_ELEMENTS:
            raise ProtocolError(f"{count} lock elements")
        elements = take(pdu, _REQUEST_END, count * _ELEMENT.size, _REQUEST_END, "Locks")
        locks = tuple(LockElement(*fields) for fields in _ELEMENT.iter_unpack(elements))
        return cls(FileId(persistent, volatile), locks, sequence & 0xF, sequence >> 4)

    def pack(self) -> bytes:
        sequence = self.lock_sequence_number | self.lock_sequence_index << 4
        head = _REQUEST.pack(48, len(self.locks), sequence, *self.file_id)
        return head + b"".join(_ELEMENT.pack(*lock) for lock in self.locks)


@dataclass(frozen=True, slots=True)
class LockResponse(EmptyBody):
    """All elements are done."""
