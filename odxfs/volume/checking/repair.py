"""The repair: what can be told from the rest is made anew, what is lost is named. `odxfs fsck --repair`.

In steps, each of which is a commit and leaves a catalog that is no worse:

1. rows that make no sense by themselves go;
2. maps, leaves, counts, space, names and attributes are brought to agree with each other (`repair_maps`, `repair_tree`).
   What snapshots show changes with them where they show the same rows;
3. what has no name gets one in `lost+found`. Snapshots keep what they show;
4. each snapshot, latest first, is brought to agree with itself.

Data is never changed: a block that does not match its checksum stays an error. The catalog is copied beside itself before.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odxfs.types import BLOCK_BYTES, SnapshotId, VolumeId
from odxfs.volume.blocks.files import Files
from odxfs.volume.blocks.segments import Segments
from odxfs.volume.catalog.interface import PAST, Preserving, Row, Table, volume_of
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.sound import CatalogReader, UsableRows, all_rows
from odxfs.volume.catalog.sqlite import SqliteEngine
from odxfs.volume.checking.backup import back_up, free_name
from odxfs.volume.checking.check import check_catalog, folded, require_sound
from odxfs.volume.checking.counters import BOUNDS, largest_numbers
from odxfs.volume.checking.findings import Finding
from odxfs.volume.checking.open_check import drop_persistent_opens
from odxfs.volume.checking.repair_maps import LostRange, MendedMaps, mend_maps
from odxfs.volume.checking.repair_rows import (
    drop_senseless_rows,
    ill_formed_rows,
    mend_pool_row,
    mend_volumes,
)
from odxfs.volume.checking.repair_tree import TREE_TABLES, Counters, Rows, TreeRepair
from odxfs.volume.directory import PoolDirectory
from odxfs.volume.extents import allocated_blocks, unpack_page
from odxfs.volume.leaf_log import fold
from odxfs.volume.whereabouts import inode_text

_ROUNDS = 3
"""Repairs in a row at most: what one mends may lay open more."""


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair did."""

    found: list[Finding]
    """What did not hold before; [] and nothing was done."""
    lost: list[Finding]
    """What could not be brought back."""
    left: list[Finding]
    """What still does not hold: damaged data, or a defect of the repair."""
    backup: Path | None
    """The catalog as it was before."""


async def repair_directory(directory: Path, *, read_data: bool = False) -> RepairReport:
    """Check a pool that is not in use, repair it if anything is found, and check again.

    Raises UserError when it is no pool or in use, VolumeError when the catalog cannot be read or written; then what was done
    so far stays, and may be gone on with.
    """
    place = PoolDirectory(directory)
    uuid = place.read_identity()
    with place.owned("odxfs fsck --repair"):
        require_sound(place.catalog)
        backup = free_name(place.catalog, "before-repair")
        back_up(place.catalog, backup, uuid)
        segments = Segments(place.segments, uuid, Files())
        engine = SqliteEngine.open(place.catalog, "odxfs fsck --repair")
        try:
            found = await folded(engine) + await check_catalog(
                CatalogView(engine), segments, read_data=read_data
            )
            if all(finding.kind == "data" for finding in found):
                backup.unlink()
                return RepairReport(found, [], found, None)
            lost: list[Finding] = []
            left = found
            for _ in range(_ROUNDS):
                lost += await _Repair(engine, segments).run()
                left = await check_catalog(CatalogView(engine), segments, read_data=read_data)
                if all(finding.kind == "data" for finding in left):
                    break
            return RepairReport(found, lost, left, backup)
        finally:
            segments.close()
            await engine.close()


class _Repair:
    """One round over one catalog."""

    def __init__(self, engine: SqliteEngine, segments: Segments) -> None:
        self._engine = engine
        self._segments = segments
        self._lost: list[Finding] = []
        self._counters = Counters(1, 1)

    async def run(self) -> list[Finding]:
        """Do all steps; returns what is lost."""
        ill_formed = await ill_formed_rows(CatalogView(self._engine), self._note)
        if ill_formed:
            await self._engine.commit(ill_formed)
        for sentence in await fold(self._engine, drop_damaged=True):
            self._note("log", f"{sentence}: what it said of changes of files is lost", "")
        async with self._commit() as view:
            await drop_senseless_rows(view, self._note)
        async with self._commit() as view:
            maps = await mend_maps(view, self._segments)
            self._counters = await _next_numbers(view)
            tree = await self._tree(view, maps)
            tree.mend()
            await self._put_tree(view, tree)
            await self._name_ranges(view, maps.lost)
            await mend_pool_row(view)
        if tree.nameless:
            async with self._commit(await _latest_snapshots(self._engine)) as view:
                for number in tree.nameless:
                    self._note(
                        "unnamed", f"inode {number} had no name, and is in lost+found", f"inode {number}"
                    )
                tree = await self._tree(view, maps)
                tree.mend()
                tree.adopt()
                await self._put_tree(view, tree)
                await mend_pool_row(view, self._counters)
        async with self._commit() as view:
            await drop_persistent_opens(view)
        await self._mend_snapshots()
        return self._lost

    def _note(self, kind: str, sentence: str, where: str) -> None:
        self._lost.append(Finding(kind, sentence, where))

    @asynccontextmanager
    async def _commit(self, preserving: Preserving | None = None) -> AsyncIterator[CatalogView]:
        """A view whose changes are committed at the end of the block."""
        view = CatalogView(self._engine)
        yield view
        if view.is_dirty:
            await self._engine.commit(view.freeze(), preserving)

    # -- the tree as it is ------------------------------------------------------------------------------------------

    async def _tree(self, view: CatalogView, maps: MendedMaps) -> TreeRepair:
        roots = await mend_volumes(view, self._counters, self._note)
        usable = await UsableRows.of(view)
        mapped = Counter({number: blocks for number, blocks in maps.mapped.items() if usable.has(number)})
        orphans = {key[0] async for key, _ in all_rows(usable, Table.ORPHAN)}
        explained: Counter[int] = Counter()
        for lost in maps.lost:
            if not lost.snapshot:
                explained[lost.inode] += lost.blocks or 0
        return TreeRepair(await _read(usable), roots, orphans, mapped, maps.ends, self._counters, explained)

    async def _put_tree(self, view: CatalogView, tree: TreeRepair) -> None:
        """Put what differs; counts of the volumes follow."""
        rows = tree.rows()
        for table, wanted in rows.items():
            for key in tree.found[table].keys() - wanted.keys():
                view.delete(table, key)
            for key, row in wanted.items():
                if tree.found[table].get(key) != row:
                    view.put(table, key, row)
        async for key, _ in all_rows(view, Table.ORPHAN):
            if key[0] not in tree.orphans:
                view.delete(Table.ORPHAN, key)
        for number in tree.orphans:
            view.put(Table.ORPHAN, (number,), ())
        await _count_volumes(view, tree)
        for number, what in tree.lost:
            name = await inode_text(view, view, number)
            self._note("inode", f"{name} has lost {what}", f"inode {number}")

    async def _name_ranges(self, view: CatalogView, lost: list[LostRange]) -> None:
        for found in lost:
            name = await inode_text(view, view, found.inode)
            if found.snapshot:
                row = await view.get(Table.SNAPSHOT, (found.snapshot,))
                name = f"snapshot {row[1] if row else found.snapshot!r}: {name}"
            size = (
                f"{found.blocks * BLOCK_BYTES} bytes of data in"
                if found.blocks is not None
                else "the data of"
            )
            where = f"{name}, byte {found.offset}"
            self._note(
                "lost range", f"{where}: {size} {found.length} bytes are lost, and read as zeros", where
            )

    # -- snapshots --------------------------------------------------------------------------------------------------

    async def _mend_snapshots(self) -> None:
        snapshots = [
            (number, row) async for (number,), row in all_rows(CatalogView(self._engine), Table.SNAPSHOT)
        ]
        for number, (volume, name, *_, state) in sorted(snapshots, reverse=True):
            if not state:
                async with self._commit() as view:
                    await self._mend_snapshot(view, SnapshotId(number), VolumeId(volume), name)

    async def _mend_snapshot(
        self, view: CatalogView, snapshot: SnapshotId, volume: VolumeId, name: str
    ) -> None:
        past = view.past(snapshot, volume)
        mapped: Counter[int] = Counter()
        async for (number, page), (body, _) in all_rows(past, Table.EXTENTS):
            mapped[number] += sum(map(allocated_blocks, unpack_page(number, page, body).values()))
        record = await view.get(Table.VOLUME, (volume,))
        assert record is not None, "snapshots of lost volumes are dropped before"
        root: Any = record[1]
        tree = TreeRepair(await _read(past), {volume: root}, set(), mapped, {}, self._counters, is_past=True)
        tree.mend()
        for table, wanted in tree.rows().items():
            absent: Row = (0, *(None for _ in table.value.row))
            for key in tree.found[table].keys() - wanted.keys():
                view.put(PAST[table], (snapshot, *key), absent)
            for key, row in wanted.items():
                if tree.found[table].get(key) != row:
                    view.put(PAST[table], (snapshot, *key), (1, *row))
        for number, what in tree.lost:
            self._note("inode", f"snapshot {name}: inode {number} has lost {what}", f"snapshot {name}")
        await mend_pool_row(view, self._counters)


async def _read(reader: CatalogReader) -> Rows:
    return {table: {key: row async for key, row in all_rows(reader, table)} for table in TREE_TABLES}


async def _next_numbers(view: CatalogView) -> Counters:
    largest = await largest_numbers(view)
    row = await view.get(Table.POOL, (0,))
    columns = dict(zip(Table.POOL.value.row, row or (), strict=False))
    found: list[int] = []
    for name in ("next_inode", "next_cookie"):
        kept = columns.get(name)
        usable = isinstance(kept, int) and 0 < kept < BOUNDS[name]
        found.append(max(largest[name] + 1, kept if usable and isinstance(kept, int) else 1))
    return Counters(*found)


async def _latest_snapshots(engine: SqliteEngine) -> dict[VolumeId, SnapshotId]:
    latest: dict[VolumeId, SnapshotId] = {}
    async for (number,), (volume, *_, state) in all_rows(CatalogView(engine), Table.SNAPSHOT):
        if not state:
            latest[volume] = number
    return latest


async def _count_volumes(view: CatalogView, tree: TreeRepair) -> None:
    inodes: Counter[int] = Counter()
    blocks: Counter[int] = Counter()
    for number, inode in tree.inodes.items():
        inodes[volume_of(number)] += inode.nlink > 0
        blocks[volume_of(number)] += inode.allocated_blocks
    async for key, row in all_rows(view, Table.VOLUME):
        name, root, created, _inodes, _blocks, *rest = row
        if key[0] in tree.roots:
            view.put(Table.VOLUME, key, (name, root, created, inodes[key[0]], blocks[key[0]], *rest))
