"""Taking a whole volume back to one of its snapshots, in one commit and without moving data.

Only rows that were changed since are touched. They are changed like any others, so what the volume was until now stays in the
snapshots made after that one. It must be done while nobody uses the volume: everybody's inodes would be others.
"""

from typing import TYPE_CHECKING

from odxfs.errors import NotFound, SharingViolation
from odxfs.types import InodeNumber, SnapshotId, VolumeId
from odxfs.volume.catalog.interface import PAST, Key, Row, Table, inodes_of, volume_of
from odxfs.volume.extents import unpack_page
from odxfs.volume.tree.inodes import Inode

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool
    from odxfs.volume.snapshots.snapshots import Snapshot

_Replaced = tuple[Table, Key, Row | None, Row | None]
"""(table, key, the row that is there, the row that was there)."""


async def restore(pool: "Pool", volume: str, name: str) -> None:
    """Make the volume what it was at the snapshot, durably; memory for every row that was changed since.

    Raises NotFound, SharingViolation while somebody holds inodes, ReadOnly, NoSpace or StoreFailed.
    """
    snapshot = pool.snapshots.find(volume, name)
    while True:
        await pool.namespace.orphans.settle()
        await pool.commit()
        commits = pool.committer.commits
        replaced = await _changed_since(pool, snapshot)
        if pool.snapshots.find(volume, name) is not snapshot:
            raise NotFound(f"snapshot {name!r} has been deleted")
        if pool.namespace.inodes.are_held(snapshot.volume):
            raise SharingViolation(f"volume {volume} is in use")
        if commits == pool.committer.commits and not _has_changes(pool, snapshot.volume):
            break  # else somebody came and went meanwhile, and what was read is out of date
    # From here on nothing waits until all is changed.
    pool.namespace.inodes.close(snapshot.volume)
    pool.namespace.directories.forget_listings()
    for table, key, now, then in replaced:
        if table is Table.INODE:
            # A deletion that failed has left it: the next owner would delete what has its name back.
            pool.view.delete(Table.ORPHAN, key)
        if table is Table.EXTENTS:
            _replace_page(pool, key, now, then)
        elif then is None:
            pool.view.delete(table, key)
        else:
            pool.view.put(table, key, then)
            if table is Table.INODE:
                _note_orphan(pool, key, then)
    pool.namespace.restore_counts(snapshot.volume, snapshot.inodes, snapshot.allocated_blocks)
    await pool.commit()


def _has_changes(pool: "Pool", volume: VolumeId) -> bool:
    """Whether anything of the volume's tree waits for a commit, or is in one that is under way."""
    low, high = inodes_of(volume)
    return (
        pool.namespace.inodes.has_changed(volume)
        or pool.windows.has_changed_maps(volume)
        or any(pool.view.has_changed(table, low, high) for table in PAST)
    )


async def _changed_since(pool: "Pool", snapshot: "Snapshot") -> list[_Replaced]:
    """Every row of the volume that is not what it was; the view has no uncommitted changes."""
    past = pool.view.past(snapshot.id, snapshot.volume)
    replaced: list[_Replaced] = []
    for table, kept in PAST.items():
        rows = await pool.view.range(kept, (snapshot.id,), (1 << 62,))
        keys = {key[1:] for key, _ in rows}
        for key in sorted(keys):
            assert isinstance(key[0], int)
            if volume_of(key[0]) == snapshot.volume:
                replaced.append((table, key, await pool.view.get(table, key), await past.get(table, key)))
    return replaced


def _replace_page(pool: "Pool", key: Key, now: Row | None, then: Row | None) -> None:
    """Let a page of an extent map hold its leaves of then, and let go those of now."""
    number, page = key
    assert isinstance(number, int)
    assert isinstance(page, int)
    latest = pool.windows.latest_snapshots.get(volume_of(number), SnapshotId(0))
    if then is not None:
        body = then[0]
        assert isinstance(body, bytes)
        for reference in unpack_page(number, page, body).values():
            pool.references.hold(reference)
        pool.view.put(Table.EXTENTS, key, (body, latest))
    else:
        pool.view.delete(Table.EXTENTS, key)
    if now is not None:
        pool.windows.let_go_page(number, page, now)


def _note_orphan(pool: "Pool", key: Key, then: Row) -> None:
    """An inode that had no name then, but a user, has neither now."""
    inode = Inode(InodeNumber(key[0]), then)  # type: ignore[arg-type]
    if inode.nlink == 0:
        pool.namespace.orphans.enter_forgotten(inode)
