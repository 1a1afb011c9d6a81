"""FSCTL_QUERY_FILE_REGIONS (MS-FSCC 2.3.55, 2.3.56): which parts of a file hold valid data."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, NamedTuple, Self

from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.cursor import take, unpack_fixed
from odxfs.wire.structure import FixedStructure

_HEAD = Struct("<III4x")
_REGION = Struct("<qqI4x")

OUTPUT_HEAD_BYTES = _HEAD.size
REGION_BYTES = _REGION.size


class RegionUsage:
    """DesiredUsage and Usage bits; 0 in an answer is data past the valid length."""

    VALID_CACHED_DATA = 0x00000001
    VALID_NONCACHED_DATA = 0x00000002


@dataclass(frozen=True, slots=True)
class FileRegionInput(FixedStructure):
    """The range to tell about, in bytes. No input at all means the whole file; fewer than 24 bytes BUFFER_TOO_SMALL."""

    LAYOUT: ClassVar[Struct] = Struct("<qqI4x")
    SHORT: ClassVar[Status] = Status.BUFFER_TOO_SMALL

    file_offset: int
    length: int
    desired_usage: int


class FileRegion(NamedTuple):
    """FILE_REGION_INFO, in bytes."""

    file_offset: int
    length: int
    usage: int


@dataclass(frozen=True, slots=True)
class FileRegionOutput:
    """The regions that fit, and the number of all."""

    regions: tuple[FileRegion, ...]
    total_region_entry_count: int
    flags: int = 0

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        flags, total, count = unpack_fixed(_HEAD, data, cls.__name__)
        regions = take(data, _HEAD.size, count * _REGION.size, _HEAD.size, "regions")
        return cls(tuple(FileRegion(*fields) for fields in _REGION.iter_unpack(regions)), total, flags)

    def pack(self) -> bytes:
        head = _HEAD.pack(self.flags, self.total_region_entry_count, len(self.regions))
        return head + b"".join(_REGION.pack(*region) for region in self.regions)
