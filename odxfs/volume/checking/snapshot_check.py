"""The check of snapshots: what is kept for them belongs to one, and the tree that each shows is a sound one."""

from collections import Counter

from odxfs.errors import Corrupt
from odxfs.types import SnapshotId
from odxfs.volume.catalog.interface import PAST, Table, volume_of
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.sound import CatalogReader, SoundView, all_rows
from odxfs.volume.checking.counters import is_inode_number, is_number
from odxfs.volume.checking.findings import Findings
from odxfs.volume.checking.tree_check import check_tree
from odxfs.volume.extents import allocated_blocks, unpack_page

_STATES = (0, 1)


async def check_snapshots(view: CatalogView, sound: CatalogReader, findings: Findings) -> None:
    """What is wrong with the snapshots; `sound` reads the same catalog without its ill-formed rows."""
    volumes = {
        number async for (number,), _ in all_rows(sound, Table.VOLUME) if is_number("next_volume", number)
    }
    snapshots = {number: row async for (number,), row in all_rows(sound, Table.SNAPSHOT)}
    await _check_owners(sound, {number: row[0] for number, row in snapshots.items()}, findings)
    for number, (volume, name, _created, _inodes, _blocks, state) in snapshots.items():
        if not is_number("next_snapshot", number):
            findings.add("snapshot", f"snapshot {name!r} has a number that none can have: {number}")
        if volume not in volumes:
            findings.add("snapshot", f"snapshot {name!r} is of volume {volume!r}, which is not there")
            continue
        if state not in _STATES:
            findings.add("snapshot", f"snapshot {name!r} is in state {state!r}, which does not exist")
        if not state:  # one that is being deleted is in part gone
            shown = Findings()
            past = SoundView(view.past(SnapshotId(number), volume))
            await check_tree(past, shown, sound)
            await _check_maps(past, shown)
            for found in shown.result():
                findings.add(
                    f"snapshot {found.kind}", f"snapshot {name!r}: {found.sentence}", f"snapshot {name}"
                )


async def _check_owners(view: CatalogReader, volumes: dict[int, int], findings: Findings) -> None:
    """Whatever is kept is kept for a snapshot, and is of that snapshot's volume."""
    for table in PAST.values():
        async for (snapshot, number, *_), _row in all_rows(view, table):
            where = f"table {table.value.name}, snapshot {snapshot}"
            if snapshot not in volumes:
                findings.add("no snapshot", f"{where}: the snapshot is not there", where)
            elif not is_inode_number(number) or volume_of(number) != volumes[snapshot]:
                findings.add("no such row", f"{where}: inode {number} is not of its volume", where)


async def _check_maps(view: CatalogReader, findings: Findings) -> None:
    """The maps that a snapshot shows allocate what its inodes say."""
    mapped: Counter[int] = Counter()
    damaged: set[int] = set()
    async for (number, page), (body, _written) in all_rows(view, Table.EXTENTS):
        try:
            mapped[number] += sum(map(allocated_blocks, unpack_page(number, page, body).values()))
        except Corrupt:
            damaged.add(number)  # found where all pages are looked at
    columns = Table.INODE.value.row
    links_at, blocks_at = columns.index("nlink"), columns.index("allocated_blocks")
    async for (number,), row in all_rows(view, Table.INODE):
        if row[links_at] and row[blocks_at] != mapped[number] and number not in damaged:
            findings.add(
                "allocated",
                f"inode {number} says {row[blocks_at]!r} allocated blocks, its leaves map {mapped[number]}",
            )
