"""The snapshots of volumes: making, finding and deleting them.

A snapshot is made by a commit: it holds what that commit made durable, and costs one row. From then on each row of the volume's
file tree is kept once before it changes (`catalog/past.py`), and each page of an extent map, before it changes, becomes a
holder of its leaves (`Windows`). So the first change after a snapshot pays for it, and what does not change costs nothing.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from odxfs.errors import AlreadyExists, InvalidArgument, NoSpace, NotFound
from odxfs.types import INODE_VOLUME_SHIFT, MAX_SNAPSHOTS, SNAPSHOT_INODES, InodeNumber, SnapshotId, VolumeId
from odxfs.volume.catalog.interface import Preserving, Row, Table
from odxfs.volume.catalog.past import SeenView
from odxfs.volume.changes import SnapshotAdded, SnapshotRemoved
from odxfs.volume.snapshots.restoring import restore
from odxfs.volume.snapshots.snapshot_deletion import SnapshotDeletion
from odxfs.volume.snapshots.tree_copy import Copied, TreeCopy
from odxfs.volume.tree.names import check_name, encode_name
from odxfs.volume.tree.tree import Tree

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool
    from odxfs.volume.tree.namespace import VolumeRecord

_READABLE, _DELETING = 0, 1
_SECOND = 1_000_000_000
"""In nanoseconds."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A volume as it was at one moment."""

    id: SnapshotId
    volume: VolumeId
    name: str
    created_ns: int
    """Nanoseconds since 1970; a volume has no two snapshots of one second, by which SMB clients name them."""
    inodes: int
    """Inodes of the volume that had a name."""
    allocated_blocks: int
    """What the volume's inodes allocated."""

    def row(self, state: int) -> Row:
        """The columns of Table.SNAPSHOT."""
        return (self.volume, self.name, self.created_ns, self.inodes, self.allocated_blocks, state)


@dataclass(slots=True, eq=False)
class _Creation:
    """A snapshot that is asked for; `snapshot` is there once a commit has taken it up."""

    volume: str
    name: str
    snapshot: Snapshot | None = None


class Snapshots:
    """The snapshots of a pool. What changes here changes between two checkpoints; only commits and deletions wait."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._all: dict[SnapshotId, Snapshot] = {}
        """Ascending in time, with those that a commit is making and those that are being deleted."""
        self._unfinished: dict[SnapshotId, Snapshot] = {}
        """Those that the commit under way makes."""
        self._deleting: set[SnapshotId] = set()
        self._wanted: list[_Creation] = []
        self._trees: WeakValueDictionary[SnapshotId, Tree] = WeakValueDictionary()
        self.deletion = SnapshotDeletion(pool)

    # -- for front ends ---------------------------------------------------------------------------------------------

    def of(self, volume: str) -> list[Snapshot]:
        """The snapshots of a volume, oldest first. Raises NotFound for a volume that is not there."""
        number = self._pool.namespace.record_of(volume).id
        return [
            snapshot
            for snapshot in self._all.values()
            if snapshot.volume == number and self._is_readable(snapshot.id)
        ]

    def has_any(self, volume: "VolumeRecord") -> bool:
        """Whether the volume has snapshots, those included that a commit is making or is going to make."""
        return any(
            found.volume == volume.id and found.id not in self._deleting for found in self._all.values()
        ) or any(wanted.volume == volume.name for wanted in self._wanted)

    def seen_in(self, number: InodeNumber) -> Snapshot | None:
        """The snapshot that an inode number belongs to; None for a volume's own, and for one of a snapshot that is deleted."""
        if number < SNAPSHOT_INODES:
            return None
        wanted = (number ^ SNAPSHOT_INODES) >> INODE_VOLUME_SHIFT
        for snapshot in self._all.values():
            if snapshot.id % MAX_SNAPSHOTS == wanted and self._is_readable(snapshot.id):
                return snapshot
        return None

    def find(self, volume: str, name: str) -> Snapshot:
        """The snapshot of that name. Raises NotFound."""
        for snapshot in self.of(volume):
            if snapshot.name == name:
                return snapshot
        raise NotFound(f"volume {volume} has no snapshot {name!r}")

    async def create(self, volume: str, name: str) -> Snapshot:
        """Make a snapshot of the volume as a commit finds it that begins after the call; durable on return.

        The name is that of a directory entry. Raises InvalidArgument, NameTooLong, AlreadyExists, NotFound, ReadOnly, NoSpace.
        """
        self._pool.check_writable()
        if not name.isprintable():
            raise InvalidArgument(f"{name!r} cannot be the name of a snapshot")
        check_name(encode_name(name))
        await self._pool.wait_for_room()
        number = self._pool.namespace.record_of(volume).id
        taken = {
            found.name
            for found in self._all.values()
            if found.volume == number and found.id not in self._deleting
        }
        if name in taken | {wanted.name for wanted in self._wanted if wanted.volume == volume}:
            raise AlreadyExists(f"volume {volume} has a snapshot {name!r} already")
        following = self._pool.identifiers.next_snapshot + len(self._wanted)
        if any((found - following) % MAX_SNAPSHOTS == 0 for found in self._all):
            raise NoSpace(f"a snapshot made {MAX_SNAPSHOTS} snapshots ago is in the way: delete it first")
        creation = _Creation(volume, name)
        self._wanted.append(creation)
        try:
            await self._pool.commit()
        finally:
            if creation in self._wanted:  # the commit failed before it began, or the caller has gone
                self._wanted.remove(creation)
        if creation.snapshot is None:
            raise NotFound(f"volume {volume} has been deleted")
        return creation.snapshot

    async def delete(self, volume: str, name: str) -> None:
        """Delete a snapshot: nobody reads in it any more, and durably so on return; what it held comes free after that.

        Raises NotFound, ReadOnly, NoSpace or StoreFailed.
        """
        self._pool.check_writable()
        snapshot = self.find(volume, name)
        self._begin_deletion(snapshot)
        if self._pool.has_observers:
            self._pool.emit(SnapshotRemoved(snapshot.volume, "", snapshot.id, snapshot.name))
        await self._pool.commit()

    async def restore(self, volume: str, name: str) -> None:
        """Make the volume what it was at a snapshot; see restoring.py. Nobody may use the volume meanwhile."""
        await restore(self._pool, volume, name)

    async def restore_path(self, volume: str, name: str, path: str, to: str, *, replace: bool) -> Copied:
        """Clone what is at `path` in a snapshot to the path `to` of the volume; see tree_copy.py."""
        source = self._pool.snapshot_volume(volume, name)
        return await TreeCopy(source, self._pool.volume(volume, "restore")).copy(path, to, replace=replace)

    def tree(self, snapshot: Snapshot) -> Tree:
        """The file tree of a snapshot. Its inodes may be used for as long as the tree is kept."""
        tree = self._trees.get(snapshot.id)
        if tree is None:
            if not self._is_readable(snapshot.id):
                raise NotFound(f"snapshot {snapshot.name!r} has been deleted")
            tree = self._trees[snapshot.id] = Tree(
                SeenView(self._pool.view.past(snapshot.id, snapshot.volume)), self._pool.identifiers
            )
        return tree

    async def held_bytes(self, snapshot: Snapshot) -> int:
        """What deleting the snapshot would free, at least. Raises NotFound.

        Reads every extent page that was changed since, and the leaves that nothing else holds.
        """
        if not self._is_readable(snapshot.id):
            raise NotFound(f"snapshot {snapshot.name!r} has been deleted")
        return await self.deletion.held_bytes(snapshot.id, self.before(snapshot.id))

    # -- for the pool and its commits -------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read the snapshots, and go on deleting those that the last owner was deleting."""
        for (number,), row in await self._pool.view.range(Table.SNAPSHOT, (0,), (1 << 62,)):
            *columns, state = row
            snapshot = Snapshot(SnapshotId(number), *columns)  # type: ignore[arg-type]
            self._all[snapshot.id] = snapshot
            if state == _DELETING:
                self._deleting.add(snapshot.id)
                self.deletion.enqueue(snapshot.id)
            else:
                self._pool.windows.latest_snapshots[snapshot.volume] = snapshot.id

    @property
    def is_wanted(self) -> bool:
        """Whether a commit has a snapshot to make."""
        return bool(self._wanted)

    def freeze(self) -> Preserving:
        """Make the wanted snapshots, in the step in which a commit takes what has changed.

        Returns for which snapshots this commit must keep what it overwrites: the latest ones before these.
        """
        latest = self._pool.windows.latest_snapshots
        preserving = dict(latest)
        wanted, self._wanted = self._wanted, []
        for creation in wanted:
            try:
                record = self._pool.namespace.record_of(creation.volume)
            except NotFound:  # none is deleted that a snapshot is wanted of; but no commit may fail for what somebody wanted
                continue
            snapshot = Snapshot(
                self._pool.identifiers.snapshot(), record.id, creation.name, self._moment(record.id), record.inodes,
                record.allocated_blocks,
            )  # fmt: skip
            creation.snapshot = snapshot
            self._all[snapshot.id] = self._unfinished[snapshot.id] = snapshot
            self._pool.view.put(Table.SNAPSHOT, (snapshot.id,), snapshot.row(_READABLE))
            latest[record.id] = snapshot.id
        return preserving

    def thaw(self, *, durable: bool) -> None:
        """The commit has ended. A snapshot that it could not make is deleted: later changes are mixed with those before."""
        made, self._unfinished = self._unfinished, {}
        for snapshot in made.values():
            if not durable:
                self._begin_deletion(snapshot)
            elif self._pool.has_observers:
                self._pool.emit(SnapshotAdded(snapshot.volume, "", snapshot.id, snapshot.name))
        if not durable:  # now that the latest ones are again those that the catalog has
            for snapshot in made.values():
                self.deletion.hand_down(snapshot.id, self._pool.windows.latest_snapshots.get(snapshot.volume))

    def before(self, snapshot: SnapshotId) -> SnapshotId | None:
        """The snapshot of the same volume that was made before, whether or not it is being deleted."""
        volume = self._all[snapshot].volume
        return max(
            (found.id for found in self._all.values() if found.volume == volume and found.id < snapshot),
            default=None,
        )

    def forget(self, snapshot: SnapshotId) -> None:
        """The snapshot holds nothing any more: the end of its deletion."""
        self._pool.view.delete(Table.SNAPSHOT, (snapshot,))
        self._deleting.discard(snapshot)
        del self._all[snapshot]

    # -- inside -----------------------------------------------------------------------------------------------------

    def _moment(self, volume: VolumeId) -> int:
        """The time for a new snapshot: this moment, or the next second of which the volume has none."""
        taken = {found.created_ns // _SECOND for found in self._all.values() if found.volume == volume}
        now = self._pool.clock()
        second = now // _SECOND
        while second in taken:
            second += 1
        return max(now, second * _SECOND)

    def _is_readable(self, snapshot: SnapshotId) -> bool:
        return snapshot in self._all and snapshot not in self._deleting and snapshot not in self._unfinished

    def _begin_deletion(self, snapshot: Snapshot) -> None:
        self._deleting.add(snapshot.id)
        self._pool.view.put(Table.SNAPSHOT, (snapshot.id,), snapshot.row(_DELETING))
        tree = self._trees.pop(snapshot.id, None)
        if tree is not None:
            tree.close(snapshot.volume)
        left = [
            found.id
            for found in self._all.values()
            if found.volume == snapshot.volume and found.id not in self._deleting
        ]
        latest = self._pool.windows.latest_snapshots
        if left:
            latest[snapshot.volume] = left[-1]
        else:
            latest.pop(snapshot.volume, None)
        self.deletion.enqueue(snapshot.id)
