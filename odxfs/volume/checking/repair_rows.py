"""Mending single rows: those that make no sense go, those of the pool and of its volumes are made anew."""

import stat
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from odxfs.types import InodeNumber, SnapshotId, VolumeId
from odxfs.volume.catalog.interface import PAST, Key, PoolRow, Row, Table, inode_in, volume_of
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.sound import SoundView, all_rows
from odxfs.volume.checking.counters import BOUNDS, is_inode_number, is_number, largest_numbers
from odxfs.volume.checking.repair_tree import Counters

Note = Callable[[str, str, str], None]
"""Told (kind, sentence, where) of what is lost."""

_MODE = Table.INODE.value.row.index("mode")
_PARENT = Table.INODE.value.row.index("parent")

_COUNTED = frozenset({Table.POOL, Table.LEAF_REFS, Table.SPACE, Table.PIN})
"""Tables whose rows can be told from the rest: nothing is lost with one."""

_DIRECTORY_KEYS = {*PAST, Table.ORPHAN}


async def ill_formed_rows(view: CatalogView, note: Note) -> dict[Table, dict[Key, Row | None]]:
    """The deletion of every row of a wrong form; not for a view, which compares keys."""
    found: dict[Table, dict[Key, Row | None]] = defaultdict(dict)

    def drop(table: Table, key: Key) -> None:
        found[table][key] = None
        _note_dropped(table, key, note)

    for table in Table:
        async for _ in all_rows(SoundView(view, drop), table):
            pass
    return found


async def drop_senseless_rows(view: CatalogView, note: Note) -> None:
    """Rows of inodes that cannot be, or kept for snapshots that are not there. All rows are well-formed."""

    def drop(table: Table, key: Key) -> None:
        view.delete(table, key)
        _note_dropped(table, key, note)

    for table in _DIRECTORY_KEYS:
        async for key, _ in all_rows(view, table):
            if not is_inode_number(key[0]):
                drop(table, key)
    async for key, _ in all_rows(view, Table.VOLUME):
        if not is_number("next_volume", key[0]):
            drop(Table.VOLUME, key)
    await _mend_snapshot_rows(view, note)
    await _drop_kept_rows(view, drop)


def _note_dropped(table: Table, key: Key, note: Note) -> None:
    if table not in _COUNTED:
        what = f"table {table.value.name}, key {key!r}"
        note("row", f"{what}: the row made no sense, and is dropped", what)


async def _mend_snapshot_rows(view: CatalogView, note: Note) -> None:
    volumes = {key[0] async for key, _ in all_rows(view, Table.VOLUME)}
    volumes |= {volume_of(key[0]) async for key, _ in all_rows(view, Table.INODE)}
    kept = await _volumes_of_kept_rows(view)
    async for key, (said, name, *rest, state) in all_rows(view, Table.SNAPSHOT):
        volume = kept.get(key[0], said)
        if not is_number("next_snapshot", key[0]) or volume not in volumes:
            view.delete(Table.SNAPSHOT, key)
            note("snapshot", f"snapshot {name!r} belonged to no volume, and is dropped", f"snapshot {name}")
        elif volume != said or state not in (0, 1):
            view.put(Table.SNAPSHOT, key, (volume, name, *rest, state if state in (0, 1) else 0))


async def _volumes_of_kept_rows(view: CatalogView) -> dict[int, VolumeId]:
    """The volume that most of a snapshot's kept rows are of."""
    counts: dict[int, Counter[VolumeId]] = defaultdict(Counter)
    for table in PAST.values():
        async for key, _ in all_rows(view, table):
            counts[key[0]][volume_of(key[1])] += 1
    return {snapshot: volumes.most_common(1)[0][0] for snapshot, volumes in counts.items()}


async def _drop_kept_rows(view: CatalogView, drop: Callable[[Table, Key], None]) -> None:
    """Rows kept for a snapshot that is gone are what the one before it shows, where that has none of its own."""
    volumes = {key[0]: row[0] async for key, row in all_rows(view, Table.SNAPSHOT)}
    for table in PAST.values():
        async for key, row in all_rows(view, table):
            snapshot, number = key[0], key[1]
            if volumes.get(snapshot) == volume_of(number) and is_inode_number(number):
                continue
            earlier = [at for at in volumes if at < snapshot and volumes[at] == volume_of(number)]
            before: Key = (max(earlier, default=SnapshotId(0)), *key[1:])
            if snapshot not in volumes and earlier and await view.get(table, before) is None:
                view.put(table, before, row)
                view.delete(table, key)
            else:
                drop(table, key)


async def mend_volumes(view: CatalogView, counters: Counters, note: Note) -> dict[VolumeId, InodeNumber]:
    """A row for each volume that has inodes, a name of its own for each, and a root. Returns the roots of the usable ones."""
    volumes = {key[0]: row async for key, row in all_rows(view, Table.VOLUME)}
    for number in sorted(
        {volume_of(key[0]) async for key, _ in all_rows(view, Table.INODE)} - volumes.keys()
    ):
        volumes[number] = ("", 0, 0, 0, 0, 0, 0)
        note("volume", f"volume {number} has lost its name", f"volume {number}")
    if not volumes:
        volumes[1] = ("main", 0, 0, 0, 0, 0, 0)
    roots: dict[VolumeId, InodeNumber] = {}
    names: set[str] = set()
    for number, (name, root, *rest, state) in sorted(volumes.items()):
        if not name or name in names:
            name = f"recovered-{number}"  # noqa: PLW2901
        names.add(name)
        state = state if state in (0, 1) else 0  # noqa: PLW2901
        if not state:
            root = roots[number] = await _root(view, VolumeId(number), root, counters)  # noqa: PLW2901
        row = (name, root, *rest, state)
        if volumes[number] != row:
            view.put(Table.VOLUME, (number,), row)
    return roots


async def _root(view: CatalogView, volume: VolumeId, said: int, counters: Counters) -> InodeNumber:
    """The root that the row says, if nothing speaks against it, else a directory that is its own parent, else a new number."""
    low, high = inode_in(volume, 0), inode_in(VolumeId(volume + 1), 0)
    rows: list[tuple[Any, Any]] = list(await view.range(Table.INODE, (low,), (high,)))
    inodes = {key[0]: row for key, row in rows}
    own = [number for number, row in inodes.items() if row[_PARENT] == number and is_inode_number(number)]
    if own:
        return InodeNumber(said if said in own else own[0])
    if is_inode_number(said) and volume_of(said) == volume:
        row = inodes.get(said)
        entries = await view.range(Table.DIRENT, (said,), (said + 1,), 1)
        if row is None or entries or stat.S_ISDIR(row[_MODE] & 0xFFFF):
            return InodeNumber(said)
    counters.inode += 1
    return inode_in(volume, counters.inode - 1)


async def mend_pool_row(view: CatalogView, handed_out: Counters | None = None) -> None:
    """Counters beyond everything in use; `handed_out` is what the repair itself has used."""
    largest = await largest_numbers(view)
    row = await view.get(Table.POOL, (0,))
    old = PoolRow(*row) if row is not None else PoolRow(0, 1, 1, 1, 1, 0)  # type: ignore[arg-type]
    if handed_out is not None:
        largest["next_inode"] = max(largest["next_inode"], handed_out.inode - 1)
        largest["next_cookie"] = max(largest["next_cookie"], handed_out.cookie - 1)
    fresh = {
        name: max(number + 1, value) if (value := getattr(old, name)) < BOUNDS[name] else number + 1
        for name, number in largest.items()
    }
    mended = old._replace(clean=0, commits=max(0, old.commits), **fresh)
    if mended != row:
        view.put(Table.POOL, (0,), tuple(mended))
