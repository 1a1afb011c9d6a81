"""The check: walk everything that holds blocks and compare with what is kept about it (mark and sweep).

`odxfs fsck` runs it over the catalog of a pool that is not open; tests run it over an open one, whose changes have been
collected into the view. It changes nothing. Pins and orphans are holders like any other: a pool that was killed has them
until it is opened again, and that is no finding. Whatever the catalog holds, the check reports it and goes on.

There is no checkpoint in it with an engine that has its answers at hand, so nothing changes while it looks.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from odxfs.errors import Corrupt
from odxfs.types import LeafId
from odxfs.volume.blocks.files import Files
from odxfs.volume.blocks.segments import Segments
from odxfs.volume.catalog.interface import CatalogEngine, Key, PoolRow, Row, Table
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.sound import SoundView, UsableRows
from odxfs.volume.catalog.sqlite import SqliteEngine, find_damage
from odxfs.volume.checking.counters import BOUNDS, largest_numbers
from odxfs.volume.checking.findings import Finding, Findings
from odxfs.volume.checking.leaf_check import Leaves, check_leaves, check_space, named_segments, walk_leaves
from odxfs.volume.checking.map_check import check_maps, check_references, find_holders
from odxfs.volume.checking.open_check import check_persistent_opens
from odxfs.volume.checking.snapshot_check import check_snapshots
from odxfs.volume.checking.tree_check import check_tree
from odxfs.volume.directory import PoolDirectory
from odxfs.volume.leaf_log import fold
from odxfs.volume.whereabouts import holder_texts, holders_of

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool


async def check_directory(directory: Path, *, read_data: bool = False) -> list[Finding]:
    """Check a pool that is not in use. Raises UserError when it is no pool or in use, VolumeError when it cannot be read."""
    place = PoolDirectory(directory)
    uuid = place.read_identity()
    with place.owned("odxfs fsck"):
        require_sound(place.catalog)
        engine = SqliteEngine.open(place.catalog, "odxfs fsck")
        segments = Segments(place.segments, uuid, Files())
        try:
            damaged = await folded(engine)
            return damaged + await check_catalog(CatalogView(engine), segments, read_data=read_data)
        finally:
            segments.close()
            await engine.close()


async def folded(engine: CatalogEngine) -> list[Finding]:
    """Bring the leaves up to date with their log; where that is damaged, they stay as they were."""
    try:
        await fold(engine)
    except Corrupt as error:
        return [Finding("log", str(error))]
    return []


def require_sound(catalog: Path) -> None:
    """Raise Corrupt, with the way out, for a catalog that SQLite itself finds damaged. Blocking: reads all of it."""
    damage = find_damage(catalog) if catalog.is_file() else None
    if damage is not None:
        raise Corrupt(
            f"{catalog} is damaged ({damage}): put back a copy that 'odxfs backup' made with 'odxfs backup --restore', "
            "then run 'odxfs fsck --repair --data'"
        )


async def check_catalog(
    view: CatalogView, segments: Segments, counters: Row | None = None, *, read_data: bool = False
) -> list[Finding]:
    """What does not hold, largest things first. `counters` is the row of Table.POOL where the catalog's is out of date."""
    findings = Findings()

    met: set[tuple[Table, str]] = set()

    def ill_formed(table: Table, key: Key) -> None:
        what = f"table {table.value.name}, key {key!r}"
        if (table, what) not in met:
            met.add((table, what))
            findings.add("row", f"{what}: a column holds a value of a wrong kind", what)

    sound = SoundView(view, ill_formed)
    holders = await find_holders(sound, findings)
    usable = await UsableRows.of(sound)
    await check_maps(usable, segments, holders, findings, read_data=read_data)
    unsound: set[LeafId] = set()

    def unsound_leaf(identifier: LeafId, sentence: str) -> None:
        unsound.add(identifier)
        findings.add("leaf", sentence, f"leaf {identifier}")

    leaves = await walk_leaves(sound, segments if read_data else None, unsound_leaf)
    dead = await check_references(sound, holders, findings)
    check_leaves(leaves, holders, dead, unsound, findings)
    known = max(segments.count, leaves.segments)
    for sentence in segments.check_headers(max(await named_segments(sound, known), leaves.segments)):
        findings.add("segment", sentence)
    await check_space(sound, leaves.owners, known, findings)
    await _check_counters(sound, counters or await sound.get(Table.POOL, (0,)), findings)
    await check_tree(usable, findings)
    await check_persistent_opens(sound, findings)
    await check_snapshots(view, sound, findings)
    await _name_damage(view, leaves, findings)
    return findings.result()


async def _check_counters(view: SoundView, row: Row | None, findings: Findings) -> None:
    """No number is going to be handed out again."""
    if row is None:
        findings.add("pool row", "the pool's row is missing")
        return
    counters = PoolRow(*row)._asdict()  # type: ignore[arg-type]
    for name, largest in (await largest_numbers(view)).items():
        if not largest < counters[name] < BOUNDS[name]:
            findings.add("counter", f"{name} is {counters[name]}, but {largest} is in use")


async def _name_damage(view: CatalogView, leaves: Leaves, findings: Findings) -> None:
    """Say for each damaged block whose it is and where in the file."""
    sound = SoundView(view)
    holders = await holders_of(sound, {identifier for identifier, _, _ in leaves.damaged})
    for identifier, slot, blocks in leaves.damaged:
        names = await holder_texts(
            sound, lambda at, volume: SoundView(view.past(at, volume)), holders[identifier], slot
        )
        for name in names:
            findings.add("data", f"{name}: {blocks} blocks from there on do not match their checksums", name)


def check_memory(pool: "Pool") -> list[Finding]:
    """What does not hold between the parts of a pool in memory."""
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
    held -= pool.segments.count + pool.space.checked_out_blocks() + pool.space.staged_blocks
    if used != pool.space.used_blocks:
        findings.add("used sum", f"{used} blocks are used, {pool.space.used_blocks} are counted")
    if held != pool.space.held_blocks:
        findings.add("held sum", f"{held} blocks are held back, {pool.space.held_blocks} are counted")
    return findings.result()
