"""The check of extent maps: which leaves they and the pins hold, and whether they fit their inodes."""

from collections import Counter
from dataclasses import dataclass, field

from odxfs.errors import Corrupt, VolumeError
from odxfs.types import BLOCK_BYTES, BLOCKS_PER_LEAF, MAX_FILE_BYTES, LeafId
from odxfs.volume.blocks.segments import Segments
from odxfs.volume.catalog.interface import Table
from odxfs.volume.catalog.sound import CatalogReader, UsableRows, all_rows
from odxfs.volume.checking.findings import Findings
from odxfs.volume.extents import (
    LeafReference,
    allocated_blocks,
    leaf_id,
    unpack_page,
    unpack_pin,
)
from odxfs.volume.leaf import Leaf

PAGES = MAX_FILE_BYTES >> 32
"""Pages of the largest file's map."""


@dataclass(slots=True)
class Holders:
    """Who names leaves."""

    counts: Counter[LeafReference] = field(default_factory=Counter)
    mapped: Counter[int] = field(default_factory=Counter)
    """Inode -> blocks that its map allocates."""
    last: dict[int, tuple[int, LeafReference]] = field(default_factory=dict)
    """Inode -> its last window that is no hole."""


async def find_holders(view: CatalogReader, findings: Findings) -> Holders:
    """Walk every extent map, every page kept for a snapshot and every pin."""
    found = Holders()
    written_at: dict[tuple[int, int], int] = {}
    async for (number, page), (body, written) in all_rows(view, Table.EXTENTS):
        written_at[number, page] = written
        references = _page(number, page, body, findings, f"inode {number}")
        if references == {}:
            findings.add(
                "empty page",
                f"inode {number} keeps page {page} of its extent map for nothing",
                f"inode {number}",
            )
        for window, reference in (references or {}).items():
            found.counts[reference] += 1
            found.mapped[number] += allocated_blocks(reference)
            found.last[number] = (window, reference)  # rows and windows ascend
    # A page that was all hole may have been written again since a snapshot that has what is kept here is being deleted.
    going = {number async for (number,), (*_, state) in all_rows(view, Table.SNAPSHOT) if state}
    async for (snapshot, number, page), (present, body, _written) in all_rows(view, Table.EXTENTS_PAST):
        if snapshot not in going and written_at.get((number, page), snapshot) < snapshot:
            findings.add(
                "kept page",
                f"page {page} of inode {number} was kept for snapshot {snapshot} after it was last changed",
                f"inode {number}",
            )
        if present:
            found.counts.update((_page(number, page, body, findings, f"snapshot {snapshot}") or {}).values())
    await _find_pins(view, found, findings)
    return found


async def _find_pins(view: CatalogReader, found: Holders, findings: Findings) -> None:
    async for (number,), (body,) in all_rows(view, Table.PIN):
        try:
            references = unpack_pin(body)
        except Corrupt as error:
            findings.add("pin", f"pin {number}: {error}", f"pin {number}")
            continue
        found.counts.update(references)
        if not references:
            findings.add("empty pin", f"pin {number} holds nothing", f"pin {number}")


def _page(
    number: int, page: int, body: bytes, findings: Findings, where: str
) -> dict[int, LeafReference] | None:
    """Window -> reference of a page; None when it is damaged."""
    try:
        if not 0 <= page < PAGES:
            raise Corrupt(f"page {page} of inode {number}'s extent map lies past the largest file")
        return unpack_page(number, page, body)
    except Corrupt as error:
        findings.add("page", str(error), where)
        return None


async def check_maps(
    view: UsableRows, segments: Segments, holders: Holders, findings: Findings, *, read_data: bool
) -> None:
    """Each map belongs to an inode, ends with the file, and allocates what the inode says."""
    orphans = {key[0] async for key, _ in all_rows(view, Table.ORPHAN)}
    columns = Table.INODE.value.row
    size_at, blocks_at = columns.index("size"), columns.index("allocated_blocks")
    owned = set()
    async for (number,), row in all_rows(view, Table.INODE):
        size, blocks = row[size_at], row[blocks_at]
        owned.add(number)
        if number in orphans:
            continue  # its data may be half given back
        mapped, where = holders.mapped[number], f"inode {number}"
        if mapped != blocks:
            findings.add(
                "allocated", f"inode {number} says {blocks} allocated blocks, its leaves map {mapped}", where
            )
        if mapped and await _reaches_past(view, segments, *holders.last[number], size, read_data=read_data):
            findings.add("past the end", f"inode {number} has data past its end at byte {size}", where)
    for number in filter(view.has, holders.mapped.keys() - owned):
        findings.add("no inode", f"extents belong to inode {number}, which does not exist", f"inode {number}")


async def _reaches_past(
    view: CatalogReader,
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
    try:
        leaf = Leaf.unpack(leaf_id(reference), *row)  # type: ignore[arg-type]
        if leaf.pieces(stop, BLOCKS_PER_LEAF - stop):
            return True
        place = leaf.place_of(stop - 1)
        if not (read_data and place and size % BLOCK_BYTES):
            return False
        block = bytearray(BLOCK_BYTES)
        segments.read(place, memoryview(block))
    except VolumeError:
        return False
    return any(block[size % BLOCK_BYTES :])


async def check_references(view: CatalogReader, holders: Holders, findings: Findings) -> set[LeafId]:
    """Holder counts are kept where they are not one. Returns the leaves that wait to be freed."""
    dead: set[LeafId] = set()
    counted: dict[LeafReference, int] = {}
    async for (reference,), (count,) in all_rows(view, Table.LEAF_REFS):
        counted[LeafReference(reference)] = count
        if count == 0:
            dead.add(leaf_id(LeafReference(reference)))
    for found in holders.counts.keys() | counted.keys():
        expected, actual = counted.get(found, 1), holders.counts[found]
        if actual != expected:
            where = f"leaf {leaf_id(found)}"
            findings.add("holders", f"{where} has {actual} holders, {expected} are counted", where)
        elif expected == 1 and found in counted:
            findings.add("needless count", f"leaf {leaf_id(found)} is counted, though it has one holder")
    return dead
