"""A leaf: which blocks hold the 2048 blocks of one 8 MiB window, with a crc32c for each.

Two forms. `runs` is a short sorted list of (first block, blocks, place) and fits sequential files. `dense` is one place for
each slot and fits a disk that was written at random. A leaf turns dense when its runs become many, and back when it is
packed and they have become few.

A leaf with one holder is changed in place (in memory); one with more never changes. That is for the caller to keep.
"""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from odxfs.errors import Corrupt
from odxfs.types import BLOCKS_PER_LEAF, LeafId
from odxfs.volume.checksums import crc32c

Piece = tuple[int, int, int]
"""(first block in the window, blocks, place)."""

Run = tuple[int, int]
"""(place, blocks)."""

MAX_CHANGES = 16
"""Changes that a leaf keeps for the log; one with more is written whole."""

_LONGEST_CHANGE = 64
"""Slots of such a change, 256 KiB: it keeps a checksum for each until the commit."""

MAX_RUNS = 64
"""Past this many runs a dense table is smaller to search and to change."""

_REJOIN_RUNS = 32
"""A dense leaf with no more runs than this is packed as runs: well below MAX_RUNS, so forms do not flap."""

KIND_RUNS = 3
KIND_DENSE = 4
"""How a body is laid out. Its checksum starts from the leaf's id: the body of another leaf is as wrong as a damaged one."""

_UNBOUND_KINDS = {1: KIND_RUNS, 2: KIND_DENSE}
"""The same without the id in the checksum, as tables before version 3 have them."""

_RUN = struct.Struct("<HHQ")
_COUNT = struct.Struct("<H")
_CHECKSUM = struct.Struct("<I")
_NO_PLACES = bytes(8 * BLOCKS_PER_LEAF)
_NO_CHECKSUMS = bytes(4 * BLOCKS_PER_LEAF)
_DENSE_BYTES = 12 * BLOCKS_PER_LEAF
_SMALL_SCAN = 24
"""Slots up to which a loop in Python beats numpy's fixed cost."""

_CRC_MASK = 0xFFFF_FFFF


def layout_of(kind: int) -> int:
    """KIND_RUNS or KIND_DENSE for a kind as any version of the tables has it; another number stays what it is."""
    return _UNBOUND_KINDS.get(kind, kind)


SlotChange = tuple[int, int, int, Sequence[int]]
"""(first slot, slots, place of the first block or 0 for a hole, a crc32c for each slot that is none)."""


class Leaf:
    """See the module. `runs` is None in dense form, `places` is None in runs form."""

    __slots__ = ("allocated", "changes", "charged_bytes", "crcs", "dirty", "id", "places", "runs")

    def __init__(self, identifier: LeafId) -> None:
        self.id = identifier
        self.allocated = 0
        """Slots that have a block."""
        self.dirty = False
        """Whether the catalog's view lacks the latest state; kept by the cache."""
        self.charged_bytes = 0
        """What the cache has counted for the leaf."""
        self.changes: list[SlotChange] | None = None
        """How it differs from its row and what the log says; None: not in few slots, or it has no row."""
        self.runs: list[Piece] | None = []
        self.places: array[int] | None = None
        self.crcs = array("I")
        """crc32c by slot; may end before the last slot; undefined where there is no block."""

    def place_of(self, block: int) -> int:
        """The place of one slot, 0 for a hole."""
        if self.places is not None:
            return self.places[block]
        runs = self.runs
        assert runs is not None
        index = bisect_right(runs, (block, BLOCKS_PER_LEAF + 1, 0)) - 1
        if index >= 0:
            first, count, place = runs[index]
            if block < first + count:
                return place + block - first
        return 0

    def pieces(self, first: int, count: int) -> list[Piece]:
        """The blocks of a range of slots as maximal contiguous pieces, ascending; holes are left out."""
        if self.runs is None:
            return self._dense_pieces(first, count)
        end = first + count
        index = max(bisect_right(self.runs, (first, BLOCKS_PER_LEAF + 1, 0)) - 1, 0)
        found: list[Piece] = []
        for start, length, place in self.runs[index:]:
            if start >= end:
                break
            low, high = max(start, first), min(start + length, end)
            if low < high:
                found.append((low, high - low, place + low - start))
        return found

    def count_pieces(self) -> int:
        """How many pieces the whole leaf has: `len(pieces(0, BLOCKS_PER_LEAF))` without making them."""
        if self.runs is not None:
            return len(self.runs)
        assert self.places is not None
        slots = np.frombuffer(self.places, dtype=np.int64)
        begins = ((np.diff(slots) != 1) | (slots[:-1] == 0)) & (slots[1:] != 0)
        return int(np.count_nonzero(begins)) + int(slots[0] != 0)

    def map(self, first: int, count: int, place: int, crcs: Sequence[int]) -> list[Run]:
        """Let `count` slots from `first` be the blocks from `place` on; returns the runs they held before."""
        end = first + count
        if len(self.crcs) < end:
            self.crcs.frombytes(_NO_CHECKSUMS[: 4 * (end - len(self.crcs))])
        if count == 1:
            self.crcs[first] = crcs[0]
        else:
            self.crcs[first:end] = array("I", crcs)
        if self.places is None:
            replaced = self._cut(first, end)
            self._insert(first, count, place)
        elif count == 1:
            old = self.places[first]
            self.places[first] = place
            replaced = [(old, 1)] if old else []
        else:
            replaced = [(at, blocks) for _, blocks, at in self._dense_pieces(first, count)]
            self.places[first:end] = array("Q", range(place, place + count))
        if self.changes is not None:
            self._note_change((first, count, place, crcs))
        self.allocated += count - sum(blocks for _, blocks in replaced)
        return replaced

    def replace(self, slot: int, place: int, crc: int) -> int:
        """Let a slot of a dense leaf that has a block have another, and return the place of the old one."""
        assert self.places is not None
        old = self.places[slot]
        self.places[slot] = place
        self.crcs[slot] = crc
        if self.changes is not None:
            self._note_change((slot, 1, place, (crc,)))
        return old

    def unmap(self, first: int, count: int) -> list[Run]:
        """Make a range of slots a hole; returns the runs they held."""
        if self.places is None:
            removed = self._cut(first, first + count)
        else:
            removed = [(at, blocks) for _, blocks, at in self._dense_pieces(first, count)]
            self.places[first : first + count] = array("Q", bytes(8 * count))
        if self.changes is not None:
            self._note_change((first, count, 0, ()))
        self.allocated -= sum(blocks for _, blocks in removed)
        return removed

    def move(self, runs: list[Run]) -> None:
        """Let the blocks of a dense leaf, in order, lie in these runs of places; they hold what the old ones held."""
        assert self.places is not None
        slots = np.frombuffer(self.places, dtype=np.int64).copy()
        slots[np.flatnonzero(slots)] = np.concatenate(
            [np.arange(place, place + count) for place, count in runs]
        )
        self.places = array("Q", slots.tobytes())
        self.changes = None
        self._rejoin()

    def take_changes(self) -> list[SlotChange]:
        """What `changes` has, for the log, which knows the leaf as it is from then on."""
        assert self.changes is not None, "a leaf that is to be written whole"
        taken, self.changes = self.changes, []
        return taken

    def _note_change(self, change: SlotChange) -> None:
        assert self.changes is not None
        if len(self.changes) < MAX_CHANGES and change[1] <= _LONGEST_CHANGE:
            self.changes.append(change)
        else:
            self.changes = None

    def copy(self, identifier: LeafId) -> "Leaf":
        """The same extents under another id."""
        twin = Leaf(identifier)
        twin.allocated = self.allocated
        twin.runs = None if self.runs is None else self.runs[:]
        twin.places = None if self.places is None else self.places[:]
        twin.crcs = self.crcs[:]
        return twin

    def place_array(self) -> npt.NDArray[np.int64] | None:
        """All places of a dense leaf, holes left out; None for a leaf of runs."""
        if self.places is None:
            return None
        slots: npt.NDArray[np.int64] = np.frombuffer(self.places, dtype=np.int64)
        return slots[np.flatnonzero(slots)]

    @property
    def weight_bytes(self) -> int:
        """Memory that the leaf takes, about."""
        if self.runs is None:
            return _DENSE_BYTES + 512
        return 4 * len(self.crcs) + 160 * len(self.runs) + 512

    def pack(self) -> tuple[int, bytes]:
        """(kind, body) for the catalog; the body ends with its own crc32c, begun with the leaf's id."""
        self._rejoin()
        if self.runs is not None:
            parts = [_COUNT.pack(len(self.runs))]
            parts += [_RUN.pack(*run) for run in self.runs]
            parts += [self.crcs[first : first + count].tobytes() for first, count, _ in self.runs]
            body, kind = b"".join(parts), KIND_RUNS
        else:
            assert self.places is not None
            self.crcs.frombytes(_NO_CHECKSUMS[: 4 * (BLOCKS_PER_LEAF - len(self.crcs))])
            body, kind = self.places.tobytes() + self.crcs.tobytes(), KIND_DENSE
        return kind, body + _CHECKSUM.pack(crc32c(body, self.id & _CRC_MASK))

    @classmethod
    def unpack(cls, identifier: LeafId, kind: int, body: bytes) -> "Leaf":
        """The inverse of `pack`. Raises Corrupt."""
        content = body[:-4]
        begin = 0 if kind in _UNBOUND_KINDS else identifier & _CRC_MASK
        if len(body) < 6 or crc32c(content, begin) != _CHECKSUM.unpack(body[-4:])[0]:
            raise Corrupt(f"leaf {identifier} fails its checksum")
        kind = layout_of(kind)
        leaf = cls(identifier)
        if kind == KIND_RUNS:
            try:
                leaf._unpack_runs(content)
            except (struct.error, ValueError) as error:
                raise Corrupt(f"leaf {identifier} has runs that make no sense") from error
        elif kind == KIND_DENSE and len(content) == _DENSE_BYTES:
            leaf.runs = None
            leaf.places = array("Q", content[: 8 * BLOCKS_PER_LEAF])
            leaf.crcs = array("I", content[8 * BLOCKS_PER_LEAF :])
            leaf.allocated = BLOCKS_PER_LEAF - leaf.places.count(0)
        else:
            raise Corrupt(f"leaf {identifier} is of unknown kind {kind}")
        return leaf

    def _unpack_runs(self, content: bytes) -> None:
        assert self.runs is not None
        (runs,) = _COUNT.unpack_from(content)
        position = _COUNT.size + runs * _RUN.size
        for index in range(runs):
            first, count, place = _RUN.unpack_from(content, _COUNT.size + index * _RUN.size)
            self.runs.append((first, count, place))
            self.crcs.frombytes(bytes(4 * (first - len(self.crcs))))
            self.crcs.frombytes(content[position : position + 4 * count])
            position += 4 * count
            self.allocated += count
        if position != len(content):
            raise Corrupt(f"leaf {self.id} has {len(content) - position} bytes too many")

    def _dense_pieces(self, first: int, count: int) -> list[Piece]:
        assert self.places is not None
        if count <= _SMALL_SCAN:
            return self._scan(first, self.places[first : first + count])
        places = np.frombuffer(self.places, dtype=np.int64, offset=8 * first, count=count)
        # A hole is place 0: what follows it begins a piece even if it lies at place 1.
        breaks = np.flatnonzero((np.diff(places) != 1) | (places[:-1] == 0)) + 1
        starts = np.concatenate((np.zeros(1, dtype=np.int64), breaks))
        lengths = np.diff(np.append(starts, count))
        begins = places[starts]
        data = begins != 0
        return list(
            zip((starts[data] + first).tolist(), lengths[data].tolist(), begins[data].tolist(), strict=True)
        )

    @staticmethod
    def _scan(first: int, places: "array[int]") -> list[Piece]:
        found: list[Piece] = []
        for slot, place in enumerate(places, first):
            if not place:
                continue
            if found:
                start, count, begin = found[-1]
                if start + count == slot and begin + count == place:
                    found[-1] = (start, count + 1, begin)
                    continue
            found.append((slot, 1, place))
        return found

    def _cut(self, first: int, end: int) -> list[Run]:
        """Take [first, end) out of the runs; returns what was there."""
        runs = self.runs
        assert runs is not None
        low = bisect_right(runs, (first, BLOCKS_PER_LEAF + 1, 0))
        if low and runs[low - 1][0] + runs[low - 1][1] > first:
            low -= 1
        high = low
        removed: list[Run] = []
        kept: list[Piece] = []
        while high < len(runs) and runs[high][0] < end:
            start, count, place = runs[high]
            cut_from, cut_to = max(start, first), min(start + count, end)
            removed.append((place + cut_from - start, cut_to - cut_from))
            if start < cut_from:
                kept.append((start, cut_from - start, place))
            if start + count > cut_to:
                kept.append((cut_to, start + count - cut_to, place + cut_to - start))
            high += 1
        if removed:
            runs[low:high] = kept
        return removed

    def _insert(self, first: int, count: int, place: int) -> None:
        """Add a run where there is none, joined with neighbours that it continues."""
        runs = self.runs
        assert runs is not None
        index = bisect_right(runs, (first, 0, 0))
        low = high = index
        if index and runs[index - 1][0] + runs[index - 1][1] == first:
            before_first, before_count, before_place = runs[index - 1]
            if before_place + before_count == place:
                first, count, place, low = before_first, before_count + count, before_place, index - 1
        if index < len(runs) and runs[index][0] == first + count and runs[index][2] == place + count:
            count, high = count + runs[index][1], index + 1
        runs[low:high] = [(first, count, place)]
        if len(runs) > MAX_RUNS:
            self._become_dense()

    def _become_dense(self) -> None:
        assert self.runs is not None
        places = array("Q", _NO_PLACES)
        for first, count, place in self.runs:
            places[first : first + count] = array("Q", range(place, place + count))
        self.runs, self.places = None, places

    def _rejoin(self) -> None:
        """Back to runs when few are left."""
        if self.places is None:
            return
        if self.count_pieces() <= _REJOIN_RUNS:
            self.runs, self.places = self._dense_pieces(0, BLOCKS_PER_LEAF), None
