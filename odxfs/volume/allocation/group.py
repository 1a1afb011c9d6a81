"""A block group: which of its 16,384 blocks (64 MiB of a segment) are used and busy, and how many slots name a shared one."""

import zlib

import numpy as np
import numpy.typing as npt

from odxfs.errors import Corrupt
from odxfs.volume.blocks.segments import BLOCKS_PER_SEGMENT
from odxfs.volume.catalog.interface import Row
from odxfs.volume.leaf import Run

GROUP_SHIFT = 14
BLOCKS_PER_GROUP = 1 << GROUP_SHIFT
SLOT_MASK = BLOCKS_PER_GROUP - 1
GROUPS_PER_SEGMENT = BLOCKS_PER_SEGMENT // BLOCKS_PER_GROUP
_BITMAP_BYTES = BLOCKS_PER_GROUP // 8
_ONES = b"\xff" * _BITMAP_BYTES
_INVERTED = bytes(255 - value for value in range(256))

CountPage = npt.NDArray[np.uint32]


def set_bits(bits: bytearray, first: int, count: int) -> None:
    """Set `count` bits from `first` on."""
    if count == 1:
        bits[first >> 3] |= 1 << (first & 7)
        return
    number = ((1 << count) - 1) << (first & 7)
    start, end = first >> 3, (first + count + 7) >> 3
    number |= int.from_bytes(bits[start:end], "little")
    bits[start:end] = number.to_bytes(end - start, "little")


def clear_bits(bits: bytearray, first: int, count: int) -> None:
    """Clear `count` bits from `first` on."""
    if count == 1:
        bits[first >> 3] &= ~(1 << (first & 7))
        return
    start, end = first >> 3, (first + count + 7) >> 3
    number = int.from_bytes(bits[start:end], "little") & ~(((1 << count) - 1) << (first & 7))
    bits[start:end] = number.to_bytes(end - start, "little")


def all_set(bits: bytearray, first: int, count: int) -> bool:
    """Whether `count` bits from `first` on are all set."""
    if count == 1:
        return bool(bits[first >> 3] >> (first & 7) & 1)
    mask = ((1 << count) - 1) << (first & 7)
    number = int.from_bytes(bits[first >> 3 : (first + count + 7) >> 3], "little")
    return number & mask == mask


def runs_of(slots: npt.NDArray[np.int64]) -> list[Run]:
    """Ascending numbers as (first, count) runs."""
    if not len(slots):
        return []
    breaks = np.flatnonzero(np.diff(slots) != 1) + 1
    starts = np.concatenate((np.zeros(1, dtype=np.int64), breaks))
    lengths = np.diff(np.append(starts, len(slots)))
    return list(zip(slots[starts].tolist(), lengths.tolist(), strict=True))


def set_slots(bits: bytes | bytearray) -> npt.NDArray[np.int64]:
    """The numbers of the bits that are set."""
    return np.flatnonzero(np.unpackbits(np.frombuffer(bits, dtype=np.uint8), bitorder="little"))


class Group:
    """The bitmaps and counts of 16,384 blocks."""

    __slots__ = (
        "_counts",
        "_packed",
        "_packed_shared",
        "busy",
        "free_blocks",
        "number",
        "unborn",
        "used",
        "used_blocks",
    )

    def __init__(self, number: int, used: bytes = bytes(_BITMAP_BYTES), counts: bytes | None = None) -> None:
        if len(used) != _BITMAP_BYTES:
            raise Corrupt(f"the bitmap of block group {number} has {len(used)} bytes")
        self.number = number
        self.used = bytearray(used)
        self.busy = bytearray(used)
        self.unborn: bytearray | None = None
        """Blocks that came into use since the last commit began: no commit names them. None for none."""
        if number % GROUPS_PER_SEGMENT == 0:
            set_bits(self.busy, 0, 1)  # the segment's header
        self.used_blocks = int.from_bytes(used, "little").bit_count()
        self.free_blocks = BLOCKS_PER_GROUP - int.from_bytes(self.busy, "little").bit_count()
        self._packed = counts
        self._packed_shared = -1
        self._counts: CountPage | None = None

    def take_free(self) -> list[Run]:
        """Make every block busy; returns the runs of those that were free, last first."""
        base = self.number << GROUP_SHIFT
        free = set_slots(self.busy.translate(_INVERTED))
        self.busy[:] = _ONES
        self.free_blocks = 0
        return [(base + first, count) for first, count in reversed(runs_of(free))]

    @property
    def counts(self) -> CountPage | None:
        """How many slots name each block where two or more do, 0 elsewhere; None while nothing is shared."""
        if self._counts is None and self._packed is not None:
            self._counts = self._unpack_counts(self._packed)
            self._packed = None
        return self._counts

    @property
    def has_counts(self) -> bool:
        """Whether `counts` is not None, without unpacking them."""
        return self._counts is not None or self._packed is not None

    def shared_blocks(self) -> int:
        """Blocks that two or more slots name."""
        if self._counts is not None:
            return int(np.count_nonzero(self._counts))
        if self._packed is not None and self._packed_shared < 0:
            self._packed_shared = int(np.count_nonzero(self._unpack_counts(self._packed)))
        return 0 if self._packed is None else self._packed_shared

    def need_counts(self) -> CountPage:
        """The counts, made when there are none."""
        counts = self.counts
        if counts is None:
            counts = self._counts = np.zeros(BLOCKS_PER_GROUP, dtype=np.uint32)
        return counts

    def fold_counts(self) -> None:
        """Keep the counts packed only."""
        if self._counts is not None:
            self._packed = self._pack_counts()
            self._packed_shared = int(np.count_nonzero(self._counts))
            self._counts = None

    @property
    def has_unpacked_counts(self) -> bool:
        return self._counts is not None

    def row(self) -> Row:
        """The columns of Table.SPACE."""
        packed = self._packed if self._counts is None else self._pack_counts()
        if packed is None:
            self._counts = None
        return (bytes(self.used), packed)

    def _unpack_counts(self, packed: bytes) -> CountPage:
        try:
            counts = np.frombuffer(zlib.decompress(packed), dtype=np.uint32).copy()
        except zlib.error as error:
            raise Corrupt(f"the counts of block group {self.number} are damaged") from error
        if len(counts) != BLOCKS_PER_GROUP:
            raise Corrupt(f"the counts of block group {self.number} are of a wrong length")
        return counts

    def _pack_counts(self) -> bytes | None:
        assert self._counts is not None
        return zlib.compress(self._counts.tobytes(), 1) if self._counts.any() else None
