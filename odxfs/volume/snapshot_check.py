"""The check of snapshots: what is kept for them belongs to one, and the tree that each shows is a sound one."""

from collections import Counter
from typing import TYPE_CHECKING

from odxfs.errors import Corrupt
from odxfs.types import InodeNumber, SnapshotId, VolumeId
from odxfs.volume.catalog.interface import PAST, Key, Table, successor
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.past import PastView
from odxfs.volume.extents import LeafReference, allocated_blocks, unpack_page
from odxfs.volume.inodes import Inode
from odxfs.volume.tree_check import check_tree

if TYPE_CHECKING:
    from odxfs.volume.check import Findings

_ROWS = 256
_LAST: Key = ((1 << 63) - 1,)


async def count_kept_pages(view: CatalogView, holders: Counter[LeafReference], findings: "Findings") -> None:
    """Each extent page kept for a snapshot holds its leaves."""
    low: Key = (0,)
    while rows := await view.range(Table.EXTENTS_PAST, low, _LAST, _ROWS):
        for (snapshot, number, page), (present, body, _written) in rows:
            if not present:
                continue
            assert isinstance(number, int)
            assert isinstance(page, int)
            assert isinstance(body, bytes)
            try:
                holders.update(unpack_page(number, page, body).values())
            except Corrupt as error:
                findings.add("kept page", f"kept for snapshot {snapshot!r}: {error}")
        low = successor(rows[-1][0])


async def check_snapshots(view: CatalogView) -> list[str]:
    """One sentence for each thing that is wrong with the snapshots."""
    findings: list[str] = []
    snapshots = dict(await view.range(Table.SNAPSHOT, (0,), _LAST))
    known = {key[0] for key in snapshots}
    for table in PAST.values():
        low: Key = (0,)
        while rows := await view.range(table, low, _LAST, 1):
            owner = rows[0][0][0]
            assert isinstance(owner, int)
            if owner not in known:
                findings.append(
                    f"table {table.value.name} keeps rows for snapshot {owner}, which is not there"
                )
            low = (owner + 1,)
    for (number,), (volume, name, _created, _inodes, _blocks, state) in snapshots.items():
        assert isinstance(number, int)
        assert isinstance(volume, int)
        if not state:  # one that is being deleted is in part gone
            past = view.past(SnapshotId(number), VolumeId(volume))
            found = await check_tree(past) + await _check_maps(past)
            findings += [f"snapshot {name!r}: {sentence}" for sentence in found]
    return findings


async def _check_maps(view: PastView) -> list[str]:
    """The maps that a snapshot shows allocate what its inodes say."""
    mapped: Counter[int] = Counter()
    low: Key = (0, 0)
    while rows := await view.range(Table.EXTENTS, low, _LAST, _ROWS):
        for (number, page), (body, _written) in rows:
            assert isinstance(number, int)
            assert isinstance(page, int)
            assert isinstance(body, bytes)
            try:
                mapped[number] += sum(map(allocated_blocks, unpack_page(number, page, body).values()))
            except Corrupt as error:
                return [str(error)]
        low = successor(rows[-1][0])
    inodes = [Inode(InodeNumber(key[0]), row) for key, row in await view.range(Table.INODE, (0,), _LAST)]  # type: ignore[arg-type]
    return [
        f"inode {inode.number} says {inode.allocated_blocks} allocated blocks, its leaves map {mapped[inode.number]}"
        for inode in inodes
        if inode.nlink and inode.allocated_blocks != mapped[inode.number]
    ]
