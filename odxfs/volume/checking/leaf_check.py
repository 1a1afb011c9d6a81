"""The check of leaves and blocks: each leaf is sound and somebody's, each block used exactly where leaves name it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from odxfs.errors import Corrupt, VolumeError
from odxfs.types import BLOCK_BYTES, BLOCKS_PER_LEAF, LeafId
from odxfs.volume.allocation.group import (
    BLOCKS_PER_GROUP,
    GROUP_SHIFT,
    GROUPS_PER_SEGMENT,
    Group,
    runs_of,
    set_slots,
)
from odxfs.volume.blocks.segments import BLOCKS_PER_SEGMENT, SEGMENT_SHIFT, Segments
from odxfs.volume.catalog.interface import Table
from odxfs.volume.catalog.sound import CatalogReader, all_rows
from odxfs.volume.checking.counters import is_number
from odxfs.volume.checking.findings import Findings
from odxfs.volume.checking.map_check import Holders
from odxfs.volume.checksums import damaged_blocks
from odxfs.volume.extents import allocated_blocks, leaf_id
from odxfs.volume.leaf import Leaf

_SEGMENTS = 1 << 22
"""Segments that a pool can have at most (4 PiB of address space): a place behind them is not believed."""

_READ_BLOCKS = 256
"""Blocks read at a time: 1 MiB."""

Counts = npt.NDArray[np.uint32]


@dataclass(slots=True)
class Leaves:
    """What the walk over all leaves tells."""

    allocated: dict[LeafId, int] = field(default_factory=dict)
    """The sound leaves, and the blocks that each allocates."""
    owners: dict[int, Counts] = field(default_factory=dict)
    """By group, how many slots name each block."""
    damaged: list[tuple[LeafId, int, int]] = field(default_factory=list)
    """(leaf, first slot, blocks) whose data cannot be read or does not match its checksums."""

    @property
    def segments(self) -> int:
        """Segments that blocks lie in."""
        return max(self.owners, default=-1) // GROUPS_PER_SEGMENT + 1


async def walk_leaves(
    view: CatalogReader, segments: Segments | None, on_unsound: Callable[[LeafId, str], None]
) -> Leaves:
    """Look at every leaf; with `segments` read all their blocks, too."""
    found = Leaves()
    async for (number,), row in all_rows(view, Table.LEAF):
        identifier = LeafId(number)
        try:
            leaf = sound_leaf(identifier, *row)
        except Corrupt as error:
            on_unsound(identifier, str(error))
            continue
        found.allocated[identifier] = leaf.allocated
        count_blocks(found.owners, leaf)
        if segments is not None:
            found.damaged += [(identifier, *run) for run in read_leaf(segments, leaf)]
    return found


def sound_leaf(identifier: LeafId, kind: int, body: bytes) -> Leaf:
    """A leaf whose form makes sense, too. Raises Corrupt."""
    assert isinstance(kind, int)
    leaf = Leaf.unpack(identifier, kind, body)
    places = leaf.place_array()
    if places is not None and not _can_hold_data(places):
        raise Corrupt(f"leaf {identifier} names blocks that cannot hold data")
    end = 0
    for first, count, place in leaf.runs or ():
        if first < end or not count or first + count > BLOCKS_PER_LEAF:
            raise Corrupt(f"leaf {identifier} names slots twice or beyond its window")
        header = -place % BLOCKS_PER_SEGMENT  # blocks up to the next header of a segment
        if place < 0 or header < count or (place + count) >> SEGMENT_SHIFT >= _SEGMENTS:
            raise Corrupt(f"leaf {identifier} names blocks that cannot hold data")
        end = first + count
    if not is_number("next_leaf", identifier):
        raise Corrupt(f"leaf {identifier} has a number that no reference can name")
    if not leaf.allocated:
        raise Corrupt(f"leaf {identifier} maps nothing")
    return leaf


def _can_hold_data(places: npt.NDArray[np.int64]) -> bool:
    """Whether none is the header of a segment or beyond the last one; all at once, since 1 TB may have 131,072 dense leaves."""
    unfit = (places < 0) | (places % BLOCKS_PER_SEGMENT == 0) | (places >> SEGMENT_SHIFT >= _SEGMENTS)
    return not unfit.any()


def count_blocks(owners: dict[int, Counts], leaf: Leaf, sign: int = 1) -> None:
    """Count one owner more (or less, -1) for each block that a leaf names."""
    places = leaf.place_array()
    if places is None:
        for _, count, place in leaf.pieces(0, BLOCKS_PER_LEAF):
            _count_run(owners, place, count, sign)
        return
    numbers = places >> GROUP_SHIFT
    for number in np.unique(numbers).tolist():
        slots = places[numbers == number] & (BLOCKS_PER_GROUP - 1)
        named = np.bincount(slots, minlength=BLOCKS_PER_GROUP).astype(np.uint32)
        counts = _counts(owners, number)
        counts += named if sign > 0 else np.negative(named)


def _count_run(owners: dict[int, Counts], place: int, count: int, sign: int) -> None:
    while count:
        number, slot = divmod(place, BLOCKS_PER_GROUP)
        length = min(count, BLOCKS_PER_GROUP - slot)
        part = _counts(owners, number)[slot : slot + length]
        if sign > 0:
            part += 1
        else:
            part -= 1
        place, count = place + length, count - length


def _counts(owners: dict[int, Counts], number: int) -> Counts:
    counts = owners.get(number)
    if counts is None:
        counts = owners[number] = np.zeros(BLOCKS_PER_GROUP, dtype=np.uint32)
    return counts


def read_leaf(segments: Segments, leaf: Leaf) -> list[tuple[int, int]]:
    """(first slot, blocks) of what cannot be read or does not match its checksums. Blocking."""
    damaged: list[int] = []
    for start, blocks, begin in leaf.pieces(0, BLOCKS_PER_LEAF):
        for done in range(0, blocks, _READ_BLOCKS):
            first, place = start + done, begin + done
            count = min(_READ_BLOCKS, blocks - done)
            buffer = memoryview(bytearray(count * BLOCK_BYTES))
            try:
                segments.read(place, buffer)
                damaged += [first + at for at in damaged_blocks(buffer, leaf.crcs[first : first + count])]
            except VolumeError:
                damaged += range(first, first + count)
    return runs_of(np.array(damaged, dtype=np.int64))


def check_leaves(
    leaves: Leaves, holders: Holders, dead: set[LeafId], unsound: set[LeafId], findings: Findings
) -> None:
    """Each leaf has a holder who knows its size, and each holder a leaf."""
    wanted = {leaf_id(reference): allocated_blocks(reference) for reference in holders.counts}
    if len(wanted) != len(holders.counts):
        findings.add("two sizes", "holders of one leaf do not agree on what it allocates")
    for identifier, allocated in leaves.allocated.items():
        expected, where = wanted.get(identifier), f"leaf {identifier}"
        if expected is None and identifier not in dead:
            findings.add("orphan leaf", f"leaf {identifier} has no holder", where)
        elif expected is not None and allocated != expected:
            findings.add("leaf size", f"leaf {identifier} maps {allocated} blocks, not {expected}", where)
    for identifier in (wanted.keys() | dead) - leaves.allocated.keys() - unsound:
        findings.add("missing leaf", f"leaf {identifier} is held but does not exist", f"leaf {identifier}")


async def named_segments(view: CatalogReader, known: int) -> int:
    """How many of the first `known` segments the catalog has block groups of; what a crash left behind them is nobody's."""
    numbers = [
        number async for (number,), _ in all_rows(view, Table.SPACE) if number < known * GROUPS_PER_SEGMENT
    ]
    return max(numbers, default=-1) // GROUPS_PER_SEGMENT + 1


async def check_space(view: CatalogReader, owners: dict[int, Counts], known: int, findings: Findings) -> None:
    """Blocks are used exactly where slots name them, and counted exactly where two or more do; `known` segments are there."""
    left = dict(owners)
    nobody = np.zeros(BLOCKS_PER_GROUP, dtype=np.uint32)
    async for (number,), (bitmap, counts) in all_rows(view, Table.SPACE):
        assert counts is None or isinstance(counts, bytes)
        where = f"group {number}"
        if not 0 <= number < known * GROUPS_PER_SEGMENT:
            findings.add("group", f"block group {number} lies behind all segments", where)
            continue
        named = left.pop(number, nobody)
        try:
            group = Group(number, bitmap, counts)
            shared = group.counts
        except Corrupt as error:
            findings.add("group", str(error), where)
            continue
        _compare(number, set_slots(bitmap), shared, named, findings)
    for number in left:
        findings.add(
            "no group",
            f"blocks of group {number} are in use, which the catalog does not know",
            f"group {number}",
        )


def _compare(
    number: int, used_slots: npt.NDArray[np.int64], shared: Counts | None, named: Counts, findings: Findings
) -> None:
    used = np.zeros(BLOCKS_PER_GROUP, dtype=bool)
    used[used_slots] = True
    base, where = number << GROUP_SHIFT, f"group {number}"
    for first, count in runs_of(np.flatnonzero(used & (named == 0))):
        findings.add(
            "leaked", f"blocks {base + first} to {base + first + count - 1} are used by nobody", where
        )
    for first, count in runs_of(np.flatnonzero(~used & (named != 0))):
        findings.add(
            "not used", f"blocks {base + first} to {base + first + count - 1} are in use but free", where
        )
    expected = np.where(named >= 2, named, 0)
    actual = np.zeros(BLOCKS_PER_GROUP, dtype=np.uint32) if shared is None else shared
    for slot in np.flatnonzero(actual != expected).tolist():
        findings.add(
            "count", f"block {base + slot} has {named[slot]} owners, its count says {actual[slot]}", where
        )
