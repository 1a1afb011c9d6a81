"""FSCTL_DUPLICATE_EXTENTS_TO_FILE and _EX (MS-FSCC 2.3.7, 2.3.9), as SMB2 carries them: the source is a FileId."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.types import Buffer
from odxfs.wire.cursor import unpack_fixed
from odxfs.wire.file_id import FileId

_PLAIN = Struct("<QQqqq")
_EX = Struct("<QQQqqqI4x")

EX_STRUCTURE_SIZE = 0x30
"""StructureSize of the _EX form: that of the local structure with an 8-byte handle, though a FileId has 16 (2.3.9)."""

SOURCE_ATOMIC = 0x00000001
"""Flag of the _EX form: all or nothing as seen by readers of the source."""


@dataclass(frozen=True, slots=True)
class DuplicateExtentsData:
    """Share `byte_count` bytes of an open's file with this one; offsets in bytes, all signed."""

    source_file_id: FileId
    source_file_offset: int
    target_file_offset: int
    byte_count: int

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        persistent, volatile, source, target, count = unpack_fixed(_PLAIN, data, cls.__name__)
        return cls(FileId(persistent, volatile), source, target, count)

    def pack(self) -> bytes:
        return _PLAIN.pack(
            *self.source_file_id, self.source_file_offset, self.target_file_offset, self.byte_count
        )


@dataclass(frozen=True, slots=True)
class DuplicateExtentsDataEx:
    """The same with flags. A wrong `structure_size` is NOT_SUPPORTED, which the handler answers (MS-FSA 2.1.5.10.5)."""

    source_file_id: FileId
    source_file_offset: int
    target_file_offset: int
    byte_count: int
    flags: int = 0
    structure_size: int = EX_STRUCTURE_SIZE

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        size, persistent, volatile, source, target, count, flags = unpack_fixed(_EX, data, cls.__name__)
        return cls(FileId(persistent, volatile), source, target, count, flags, size)

    def pack(self) -> bytes:
        return _EX.pack(
            self.structure_size,
            *self.source_file_id,
            self.source_file_offset,
            self.target_file_offset,
            self.byte_count,
            self.flags,
        )
