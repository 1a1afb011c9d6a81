"""SMB2 FLUSH (MS-SMB2 2.2.17, 2.2.18)."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.wire.cursor import unpack_body
from odxfs.wire.empty import EmptyBody
from odxfs.wire.file_id import FileId

_REQUEST = Struct("<HxxxxxxQQ")


@dataclass(frozen=True, slots=True)
class FlushRequest:
    """Make what was written through an open durable."""

    file_id: FileId

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        return cls(FileId(*unpack_body(_REQUEST, 24, pdu, cls.__name__)))

    def pack(self) -> bytes:
        return _REQUEST.pack(24, *self.file_id)


@dataclass(frozen=True, slots=True)
class FlushResponse(EmptyBody):
    """It is durable."""
