"""FSCTL_FILE_LEVEL_TRIM (MS-FSCC 2.3.13, 2.3.14)."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, NamedTuple, Self

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.cursor import take, unpack_fixed
from odxfs.wire.structure import FixedStructure

_HEAD = Struct("<II")
_RANGE = Struct("<QQ")

MAX_RANGES = 65536
"""1 MiB of ranges; a guest's UNMAP brings a few hundred."""


class TrimRange(NamedTuple):
    """FILE_LEVEL_TRIM_RANGE: `length` bytes from `offset` whose content is no longer needed."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class FileLevelTrim:
    """The request. `key` must be 0 over SMB2, which is the handler's to refuse (MS-SMB2 3.3.5.15.14)."""

    ranges: tuple[TrimRange, ...]
    key: int = 0

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        key, count = unpack_fixed(_HEAD, data, cls.__name__)
        if count > MAX_RANGES:
            raise ProtocolError(f"{count} ranges to trim")
        ranges = take(data, _HEAD.size, count * _RANGE.size, _HEAD.size, "trim ranges")
        return cls(tuple(TrimRange(*fields) for fields in _RANGE.iter_unpack(ranges)), key)

    def pack(self) -> bytes:
        return _HEAD.pack(self.key, len(self.ranges)) + b"".join(_RANGE.pack(*each) for each in self.ranges)


@dataclass(frozen=True, slots=True)
class FileLevelTrimOutput(FixedStructure):
    """How many of the ranges, from the first on, were taken care of."""

    LAYOUT: ClassVar[Struct] = Struct("<I")

    num_ranges_processed: int
