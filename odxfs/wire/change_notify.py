"""SMB2 CHANGE_NOTIFY (MS-SMB2 2.2.35, 2.2.36). The entries: fscc/notify.py."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.wire.cursor import unpack_body
from odxfs.wire.file_id import FileId
from odxfs.wire.output_buffer import OutputBufferResponse

_REQUEST = Struct("<HHIQQIxxxx")


class ChangeNotifyFlags:
    """Flags: WATCH_TREE means everything below the directory, not only its own entries."""

    WATCH_TREE = 0x0001


class CompletionFilter:
    """What the client wants to hear of."""

    FILE_NAME = 0x00000001
    DIR_NAME = 0x00000002
    ATTRIBUTES = 0x00000004
    SIZE = 0x00000008
    LAST_WRITE = 0x00000010
    LAST_ACCESS = 0x00000020
    CREATION = 0x00000040
    EA = 0x00000080
    SECURITY = 0x00000100
    STREAM_NAME = 0x00000200
    STREAM_SIZE = 0x00000400
    STREAM_WRITE = 0x00000800


@dataclass(frozen=True, slots=True)
class ChangeNotifyRequest:
    """Answer when something that `completion_filter` names happens in a directory."""

    file_id: FileId
    completion_filter: int
    output_buffer_length: int = 65536
    flags: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        flags, length, persistent, volatile, wanted = unpack_body(_REQUEST, 32, pdu, cls.__name__)
        return cls(FileId(persistent, volatile), wanted, length, flags)

    def pack(self) -> bytes:
        return _REQUEST.pack(32, self.flags, self.output_buffer_length, *self.file_id, self.completion_filter)


@dataclass(frozen=True, slots=True)
class ChangeNotifyResponse(OutputBufferResponse):
    """FILE_NOTIFY_INFORMATION entries; empty with status NOTIFY_ENUM_DIR when there were too many."""
