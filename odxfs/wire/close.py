"""SMB2 CLOSE (MS-SMB2 2.2.15, 2.2.16)."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.wire.cursor import unpack_body
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc import filetime
from odxfs.wire.fscc.filetime import Filetime

_REQUEST = Struct("<HHxxxxQQ")
_RESPONSE = Struct("<HHxxxxqqqqqqI")


class CloseFlags:
    """Flags: POSTQUERY_ATTRIB asks for the attributes, and in the response says that they are there."""

    POSTQUERY_ATTRIB = 0x0001


@dataclass(frozen=True, slots=True)
class CloseRequest:
    """Close an open."""

    file_id: FileId
    flags: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        flags, persistent, volatile = unpack_body(_REQUEST, 24, pdu, cls.__name__)
        return cls(FileId(persistent, volatile), flags)

    def pack(self) -> bytes:
        return _REQUEST.pack(24, self.flags, *self.file_id)


@dataclass(frozen=True, slots=True)
class CloseResponse:
    """The open is closed; everything is 0 unless the attributes were asked for. Times are FILETIMEs, sizes bytes."""

    flags: int = 0
    creation_time: Filetime = filetime.NONE
    last_access_time: Filetime = filetime.NONE
    last_write_time: Filetime = filetime.NONE
    change_time: Filetime = filetime.NONE
    allocation_size: int = 0
    end_of_file: int = 0
    file_attributes: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        return cls(*unpack_body(_RESPONSE, 60, pdu, cls.__name__))

    def pack(self) -> bytes:
        return _RESPONSE.pack(
            60,
            self.flags,
            self.creation_time,
            self.last_access_time,
            self.last_write_time,
            self.change_time,
            self.allocation_size,
            self.end_of_file,
            self.file_attributes,
        )
