"""Zeros and holes: FSCTL_SET_SPARSE, SET_ZERO_DATA, QUERY_ALLOCATED_RANGES (MS-FSCC 2.3.83, 2.3.85, 2.3.51, 2.3.52)."""

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, NamedTuple, Self

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.cursor import unpack_fixed
from odxfs.wire.structure import FixedStructure

_RANGE = Struct("<qq")


@dataclass(frozen=True, slots=True)
class FileSetSparseBuffer:
    """FILE_SET_SPARSE_BUFFER: no byte at all means true; further bytes are ignored."""

    set_sparse: bool = True

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        return cls(not len(data) or bool(data[0]))

    def pack(self) -> bytes:
        return bytes((self.set_sparse,))


@dataclass(frozen=True, slots=True)
class FileZeroDataInformation(FixedStructure):
    """Zero the bytes from `file_offset` up to, not including, `beyond_final_zero`; both signed."""

    LAYOUT: ClassVar[Struct] = Struct("<qq")

    file_offset: int
    beyond_final_zero: int


class FileAllocatedRange(NamedTuple):
    """FILE_ALLOCATED_RANGE_BUFFER: a range in bytes, asked about or allocated; both signed."""

    file_offset: int
    length: int

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        """The one range that a request asks about."""
        return cls(*unpack_fixed(_RANGE, data, cls.__name__))

    def pack(self) -> bytes:
        return _RANGE.pack(*self)


RANGE_BYTES = _RANGE.size


def unpack_allocated_ranges(data: Buffer) -> tuple[FileAllocatedRange, ...]:
    """The ranges of an answer."""
    if len(data) % RANGE_BYTES:
        raise ProtocolError(f"allocated ranges of {len(data)} bytes")
    return tuple(FileAllocatedRange(*fields) for fields in _RANGE.iter_unpack(data))


def pack_allocated_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    """An answer of (offset, length) pairs, ascending."""
    return b"".join(_RANGE.pack(offset, length) for offset, length in ranges)
