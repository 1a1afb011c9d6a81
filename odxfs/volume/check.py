"""The check: walk everything that holds blocks and compare with what is kept about it (mark and sweep).

`odxfs fsck` runs it over the catalog of a pool that is not open; tests run it over an open one, whose changes have been
collected into the view. It changes nothing. Pins and orphans are holders like any other: a pool that was killed has them
until it is opened again, and that is no finding.

There is no checkpoint in it with an engine that has its answers at hand, so nothing changes while it looks.
"""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from odxfs.errors import Corrupt, VolumeError
from odxfs.types import BLOCK_BYTES, BLOCKS_PER_LEAF, LeafId
from odxfs.volume.blocks.files import Files
from odxfs.volume.blocks.segments import Segments
from odxfs.volume.catalog.interface import Key, Row, Table, successor
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.sqlite import SqliteEngine
from odxfs.volume.directory import PoolDirectory
from odxfs.volume.extents import LeafReference, allocated_blocks, leaf_id, unpack_page
from odxfs.volume.group import BLOCKS_PER_GROUP, GROUP_SHIFT, GROUPS_PER_SEGMENT, Group, runs_of, set_slots
from odxfs.volume.leaf import Leaf
from odxfs.volume.reads import Piece, verify
from odxfs.volume.snapshot_check import check_snapshots, count_kept_pages
from odxfs.volume.tree_check import UsableRows, check_tree

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool

_ROWS = 256
"""Rows in memory at a time; dense leaves take 24 KiB each."""

_FINDINGS = 100
"""Findings of one kind after which the rest is only counted: the first few tell what happened."""

Counts = npt.NDArray[np.uint16]


class Findings:
    """Sentences, bounded for each kind."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self._kinds: Counter[str] = Counter()

    def add(self, kind: str, sentence: str) -> None:
        """Note a finding of a kind."""
        self._kinds[kind] += 1
        if self._kinds[kind] <= _FINDINGS:
            self.sentences.append(sentence)

    def result(self) -> list[str]:
        """All sentences, and how many were left out."""
        more = [
            f"{count - _FINDINGS} more findings like: {kind}"
            for kind, count in self._kinds.items()
            if count > _FINDINGS
        ]
        return self.sentences + more


async def check_directory(directory: Path, *, read_data: bool = False) -> list[str]:
    """Check a pool that is not in use. Raises UserError when it is no pool or in use, VolumeError when it cannot be read."""
    place = PoolDirectory(directory)
    uuid = place.read_identity()
    with place.owned("odxfs fsck"):
        engine = SqliteEngine.open(place.catalog, "odxfs fsck")
        segments = Segments(place.segments, uuid, Files())
        try:
            return await check_catalog(CatalogView(engine), segments, read_data=read_data)
        finally:
            segments.close()
            await engine.close()


async def check_catalog(view: CatalogView, segments: Segments, *, read_data: bool = False) -> list[str]:
    """What does not hold, a sentence each, largest things first."""
    findings = Findings()
    known = max([number async for (number,), _ in _rows(view, Table.SPACE)], default=-1)
    assert isinstance(known, int)
    for sentence in segments.check_headers(known // GROUPS_PER_SEGMENT + 1):
        findings.add("segment", sentence)
    holders: Counter[LeafReference] = Counter()
    await _check_files(view, segments, holders, findings, read_data=read_data)
    await count_kept_pages(view, holders, findings)
    async for (number,), (body,) in _rows(view, Table.PIN):
        assert isinstance(number, int)
        assert isinstance(body, bytes)
        holders.update(LeafReference(int(found)) for found in np.frombuffer(body, dtype=np.uint64))
        if not body:
            findings.add("empty pin", f"pin {number} holds nothing")
    dead = await _check_references(view, holders, findings)
    owners = await _check_leaves(view, segments, holders, dead, findings, read_data=read_data)
    await _check_space(view, owners, findings)
    return findings.result() + await check_tree(view) + await check_snapshots(view)


def check_memory(pool: "Pool") -> list[str]:
    """What does not hold between the parts of a pool in memory; no write may be under way."""
    findings = Findings()
    used = held = 0
    for group in pool.space.groups:
        bits, busy = int.from_bytes(group.used, "little"), int.from_bytes(group.busy, "little")
        used += bits.bit_count()
        held += (busy & ~bits).bit_count()
        if bits & ~busy:
            findings.add("used not busy", f"group {group.number} would hand out blocks that are used")
        if bits.bit_count() != group.used_blocks:
            findings.add("used count", f"group {group.number} miscounts its used blocks")
    held -= pool.segments.count + pool.space.checked_out_blocks()
    if used != pool.space.used_blocks:
        findings.add("used sum", f"{used} blocks are used, {pool.space.used_blocks} are counted")
    if held != pool.space.held_blocks:
        findings.add("held sum", f"{held} blocks are held back, {pool.space.held_blocks} are counted")
    return findings.result()


async def _rows(view: CatalogView, table: Table) -> AsyncIterator[tuple[Key, Row]]:
    low: Key = (0,)
    while rows := await view.range(table, low, ((1 << 63) - 1,), _ROWS):
        for key, row in rows:
            yield key, row
        low = successor(rows[-1][0])


async def _check_files(
    view: CatalogView,
    segments: Segments,
    holders: Counter[LeafReference],
    findings: Findings,
    *,
    read_data: bool,
) -> None:
    """Extent maps: each belongs to an inode, ends with the file, and allocates what the inode says."""
    orphans = {key[0] async for key, _ in _rows(view, Table.ORPHAN)}
    usable = await UsableRows.of(view)
    mapped: Counter[int] = Counter()
    last: dict[int, tuple[int, LeafReference]] = {}
    async for (number, page), (body, _snapshot) in _rows(view, Table.EXTENTS):
        assert isinstance(number, int)
        assert isinstance(page, int)
        assert isinstance(body, bytes)
        try:
            references = unpack_page(number, page, body)
        except Corrupt as error:
            findings.add("page", str(error))
            continue
        if not references:
            findings.add("empty page", f"inode {number} keeps page {page} of its extent map for nothing")
        for window, reference in references.items():
            holders[reference] += 1
            mapped[number] += allocated_blocks(reference)
            last[number] = (window, reference)  # rows and windows ascend
    columns = Table.INODE.value.row
    size_at, blocks_at = columns.index("size"), columns.index("allocated_blocks")
    async for (number,), row in _rows(view, Table.INODE):
        assert isinstance(number, int)
        size, blocks = row[size_at], row[blocks_at]
        assert isinstance(size, int)
        assert isinstance(blocks, int)
        found = mapped.pop(number, 0)
        if number in orphans or not usable.has(number):
            continue  # its data may be half given back, or not all there yet
        if found != blocks:
            findings.add(
                "allocated", f"inode {number} says {blocks} allocated blocks, its leaves map {found}"
            )
        if found and await _reaches_past(view, segments, *last[number], size, read_data=read_data):
            findings.add("past the end", f"inode {number} has data past its end at byte {size}")
    for number in filter(usable.has, mapped):
        findings.add("no inode", f"extents belong to inode {number}, which does not exist")


async def _reaches_past(
    view: CatalogView,
    segments: Segments,
    window: int,
    reference: LeafReference,
    size: int,
    *,
    read_data: bool,
) -> bool:
    """Whether a file's last leaf, or what its last block holds, lies past its end: it would show when the file grows."""
    stop = -(-size // BLOCK_BYTES) - window * BLOCKS_PER_LEAF
    if not 0 < stop <= BLOCKS_PER_LEAF:
        return stop <= 0
    row = await view.get(Table.LEAF, (leaf_id(reference),))
    if row is None:
        return False  # found, like a damaged one, where all leaves are looked at
    kind, body = row
    assert isinstance(kind, int)
    assert isinstance(body, bytes)
    block = bytearray(BLOCK_BYTES)
    try:
        leaf = Leaf.unpack(leaf_id(reference), kind, body)
        if leaf.pieces(stop, BLOCKS_PER_LEAF - stop):
            return True
        place = leaf.place_of(stop - 1)
        if read_data and place and size % BLOCK_BYTES:
            segments.read(place, memoryview(block))
    except VolumeError:
        return False
    return size % BLOCK_BYTES > 0 and any(block[size % BLOCK_BYTES :])


async def _check_references(
    view: CatalogView, holders: Counter[LeafReference], findings: Findings
) -> set[LeafId]:
    """Holder counts are kept where they are not one. Returns the leaves that wait to be freed."""
    dead: set[LeafId] = set()
    counted: dict[LeafReference, int] = {}
    async for (reference,), (count,) in _rows(view, Table.LEAF_REFS):
        assert isinstance(reference, int)
        assert isinstance(count, int)
        counted[LeafReference(reference)] = count
        if count == 0:
            dead.add(leaf_id(LeafReference(reference)))
    for found in holders.keys() | counted.keys():
        expected = counted.get(found, 1)
        if holders[found] != expected:
            findings.add(
                "holders", f"leaf {leaf_id(found)} has {holders[found]:d} holders, {expected} are counted"
            )
    return dead


async def _check_leaves(
    view: CatalogView,
    segments: Segments,
    holders: Counter[LeafReference],
    dead: set[LeafId],
    findings: Findings,
    *,
    read_data: bool,
) -> dict[int, Counts]:
    """Each leaf is sound and somebody's. Returns how many slots name each block, by group."""
    wanted = {leaf_id(reference): allocated_blocks(reference) for reference in holders}
    if len(wanted) != len(holders):
        findings.add("two sizes", "holders of one leaf do not agree on what it allocates")
    owners: dict[int, Counts] = {}
    async for (number,), (kind, body) in _rows(view, Table.LEAF):
        assert isinstance(number, int)
        assert isinstance(kind, int)
        assert isinstance(body, bytes)
        identifier = LeafId(number)
        try:
            leaf = Leaf.unpack(identifier, kind, body)
        except Corrupt as error:
            findings.add("leaf", str(error))
            wanted.pop(identifier, None)
            continue
        allocated = wanted.pop(identifier, None)
        if allocated is None and identifier not in dead:
            findings.add("orphan leaf", f"leaf {identifier} has no holder")
        elif allocated is not None and allocated != leaf.allocated:
            findings.add("leaf size", f"leaf {identifier} maps {leaf.allocated} blocks, not {allocated}")
        _count_blocks(owners, leaf)
        if read_data:
            _read_leaf(segments, leaf, findings)
    for identifier in wanted:
        findings.add("missing leaf", f"leaf {identifier} is held but does not exist")
    return owners


def _count_blocks(owners: dict[int, Counts], leaf: Leaf) -> None:
    places = leaf.place_array()
    if places is None:
        pieces = [np.arange(place, place + count) for _, count, place in leaf.pieces(0, BLOCKS_PER_LEAF)]
        places = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int64)
    numbers = places >> GROUP_SHIFT
    for number in np.unique(numbers).tolist():
        slots = places[numbers == number] & (BLOCKS_PER_GROUP - 1)
        counts = owners.setdefault(number, np.zeros(BLOCKS_PER_GROUP, dtype=np.uint16))
        counts += np.bincount(slots, minlength=BLOCKS_PER_GROUP).astype(np.uint16)


def _read_leaf(segments: Segments, leaf: Leaf, findings: Findings) -> None:
    for first, count, place in leaf.pieces(0, BLOCKS_PER_LEAF):
        buffer = memoryview(bytearray(count * BLOCK_BYTES))
        try:
            segments.read(place, buffer)
            verify(buffer, [Piece(0, count, place, leaf.crcs[first : first + count])])
        except VolumeError as error:
            findings.add("data", f"leaf {leaf.id}, slot {first} on: {error}")


async def _check_space(view: CatalogView, owners: dict[int, Counts], findings: Findings) -> None:
    """Blocks are used exactly where slots name them, and counted exactly where two or more do."""
    async for (number,), (bitmap, counts) in _rows(view, Table.SPACE):
        assert isinstance(number, int)
        assert isinstance(bitmap, bytes)
        assert counts is None or isinstance(counts, bytes)
        named = owners.pop(number, np.zeros(BLOCKS_PER_GROUP, dtype=np.uint16))
        try:
            group = Group(number, bitmap, counts)
            shared = group.counts
        except Corrupt as error:
            findings.add("group", str(error))
            continue
        used = np.zeros(BLOCKS_PER_GROUP, dtype=bool)
        used[set_slots(bitmap)] = True
        base = group.number << GROUP_SHIFT
        for first, count in runs_of(np.flatnonzero(used & (named == 0))):
            findings.add("leaked", f"blocks {base + first} to {base + first + count - 1} are used by nobody")
        for first, count in runs_of(np.flatnonzero(~used & (named != 0))):
            findings.add(
                "not used", f"blocks {base + first} to {base + first + count - 1} are in use but free"
            )
        expected = np.where(named >= 2, named, 0)
        actual = np.zeros(BLOCKS_PER_GROUP, dtype=np.uint32) if shared is None else shared
        for slot in np.flatnonzero(actual != expected).tolist():
            findings.add(
                "count", f"block {base + slot} has {named[slot]} owners, its count says {actual[slot]}"
            )
    for number in owners:
        findings.add("no group", f"blocks of group {number} are in use, which the catalog does not know")
