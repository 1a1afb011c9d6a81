"""What the volume asks of a metadata engine: point reads, ordered range reads and one atomic, durable commit.

A row is addressed by a table and a key; keys of one table are ordered like Python tuples (integers by value, bytes by
memcmp), which is also the order of SQLite's WITHOUT ROWID tables and of PostgreSQL's bytea and bigint. A key handed to
`range` may be a prefix of a whole key: `low=(5,)`, `high=(6,)` is everything whose first column is 5.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from odxfs.types import INODE_VOLUME_SHIFT, MAX_SNAPSHOTS, SNAPSHOT_INODES, InodeNumber, SnapshotId, VolumeId

Key = tuple[int | bytes, ...]
Row = tuple[int | bytes | str | None, ...]
"""The columns that are not part of the key, in the table's order; an empty tuple where the key says all."""

Changes = Mapping["Table", Mapping[Key, Row | None]]
"""What one commit does: the new row for each key, None to delete it. Deleting what is not there is no error."""


Preserving = Mapping[VolumeId, SnapshotId]
"""The latest snapshot of each volume that has one."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A table's SQL name and columns."""

    name: str
    key: tuple[str, ...]
    row: tuple[str, ...]


def _past(shape: Shape) -> Shape:
    """The table of a file tree's rows as snapshots hold them; without `present` there was no row."""
    return Shape(f"{shape.name}_past", ("snapshot", *shape.key), ("present", *shape.row))


class Table(Enum):
    """Every table of the catalog; schema.py documents each at its CREATE statement."""

    POOL = Shape(
        "pool",
        ("id",),
        (
            "clean",
            "next_inode",
            "next_leaf",
            "next_pin",
            "next_cookie",
            "commits",
            "next_snapshot",
            "next_volume",
        ),
    )
    VOLUME = Shape(
        "volume",
        ("id",),
        ("name", "root", "created_ns", "inodes", "allocated_blocks", "quota_blocks", "state"),
    )
    SNAPSHOT = Shape(
        "snapshot", ("id",), ("volume", "name", "created_ns", "inodes", "allocated_blocks", "state")
    )
    INODE = Shape(
        "inode",
        ("number",),
        (
            "volume", "mode", "uid", "gid", "rdev", "nlink", "size", "allocated_blocks",
            "atime_ns", "mtime_ns", "ctime_ns", "btime_ns", "dos_attributes", "generation", "parent", "target",
        ),
    )  # fmt: skip
    DIRENT = Shape("dirent", ("directory", "name"), ("number", "kind", "cookie"))
    LISTING = Shape("listing", ("directory", "cookie"), ("name", "number", "kind"))
    FOLDED = Shape("folded", ("directory", "folded", "name"), ())
    NAME = Shape("name", ("number", "directory", "name"), ())
    XATTR = Shape("xattr", ("number", "name"), ("value",))
    STREAM = Shape("stream", ("number", "folded"), ("name", "stream"))
    ORPHAN = Shape("orphan", ("number",), ())
    EXTENTS = Shape("extents", ("number", "page"), ("leaves", "latest"))
    LEAF = Shape("leaf", ("id",), ("kind", "body"))
    LEAF_LOG = Shape("leaf_log", ("id",), ("body",))
    LEAF_REFS = Shape("leaf_refs", ("id",), ("holders",))
    SPACE = Shape("space", ("block_group",), ("bitmap", "counts"))
    PIN = Shape("pin", ("id",), ("leaves",))
    PERSISTENT_OPEN = Shape("persistent_open", ("id",), ("number", "body"))
    INODE_PAST = _past(INODE)
    DIRENT_PAST = _past(DIRENT)
    LISTING_PAST = _past(LISTING)
    FOLDED_PAST = _past(FOLDED)
    NAME_PAST = _past(NAME)
    XATTR_PAST = _past(XATTR)
    STREAM_PAST = _past(STREAM)
    EXTENTS_PAST = _past(EXTENTS)

    __hash__ = object.__hash__  # Enum's own hashes the name in Python at each use; members are singletons


PAST = {
    Table.INODE: Table.INODE_PAST,
    Table.DIRENT: Table.DIRENT_PAST,
    Table.LISTING: Table.LISTING_PAST,
    Table.FOLDED: Table.FOLDED_PAST,
    Table.NAME: Table.NAME_PAST,
    Table.XATTR: Table.XATTR_PAST,
    Table.STREAM: Table.STREAM_PAST,
    Table.EXTENTS: Table.EXTENTS_PAST,
}
"""The tables that make up a file tree, and where a snapshot keeps what their rows were. Each key begins with an inode number."""


class PoolRow(NamedTuple):
    """The row of Table.POOL under key (0,)."""

    clean: int
    """1 when the last owner left in order: no orphan, no pin."""
    next_inode: int
    next_leaf: int
    next_pin: int
    next_cookie: int
    commits: int
    next_snapshot: int = 1
    next_volume: int = 2


class CatalogEngine(Protocol):
    """A transactional metadata engine, owned by one writer whose epoch is checked in each commit.

    An engine that has the answer at hand returns without a checkpoint; one that asks over a network may take its time.
    """

    @property
    def epoch(self) -> int:
        """The owner's epoch, fixed when the engine was opened."""
        ...

    async def get(self, table: Table, key: Key) -> Row | None:
        """The row under a whole key, or None. Raises StoreFailed or Corrupt."""
        ...

    async def range(self, table: Table, low: Key, high: Key, limit: int) -> list[tuple[Key, Row]]:
        """At most `limit` rows with low <= key < high, ascending. Raises StoreFailed or Corrupt."""
        ...

    async def past_get(self, snapshot: SnapshotId, table: Table, key: Key) -> Row | None:
        """The row of a file tree's table as a snapshot holds it. Raises StoreFailed or Corrupt."""
        ...

    async def past_range(
        self, snapshot: SnapshotId, table: Table, low: Key, high: Key, limit: int
    ) -> list[tuple[Key, Row]]:
        """Like `range`, as a snapshot holds the rows. Raises StoreFailed or Corrupt."""
        ...

    async def commit(
        self,
        changes: Changes,
        preserving: Preserving | None = None,
        *,
        before: Callable[[], None] | None = None,
    ) -> None:
        """Make all of `changes` durable, or none of them.

        `before` may block, and is called first, where the engine does its own work (a thread or a connection to somewhere else);
        what it raises is raised.

        What a row of a file tree was before is kept for the latest snapshot of its volume, which `preserving` names, if no
        snapshot at or behind that one has kept the row before. Of extent pages only absence is kept so: who changes one
        that is there puts its EXTENTS_PAST row, because that counts as a holder of leaves.

        Raises NoSpace (nothing changed, may be tried again), Stale (another owner has taken the pool) or StoreFailed.
        """
        ...

    async def trim(self) -> bool:
        """Give back a part of the disk space that deleted rows have left; returns whether there may be more.

        Not while a commit is under way. Raises NoSpace, Stale or StoreFailed; no row changes in any case.
        """
        ...

    async def close(self) -> None:
        """Give the engine up; what was committed stays."""
        ...


def successor(key: Key) -> Key:
    """The smallest whole key greater than the whole key `key`."""
    last = key[-1]
    return (*key[:-1], last + 1 if isinstance(last, int) else last + b"\0")


def volume_of(number: int) -> VolumeId:
    """The volume that an inode belongs to."""
    return (number >> INODE_VOLUME_SHIFT) + 1  # type: ignore[return-value]  # for every write: a NewType's call takes 50 ns


def inode_in(volume: VolumeId, number: int) -> InodeNumber:
    """The inode of a volume that has the same low bits as `number`, which may be another volume's."""
    return InodeNumber((volume - 1) << INODE_VOLUME_SHIFT | number & (1 << INODE_VOLUME_SHIFT) - 1)


def inode_seen_in(snapshot: SnapshotId, number: int) -> InodeNumber:
    """The number under which an inode is seen in a snapshot: no other inode of the pool has it meanwhile."""
    low = number & (1 << INODE_VOLUME_SHIFT) - 1
    return InodeNumber(SNAPSHOT_INODES | snapshot % MAX_SNAPSHOTS << INODE_VOLUME_SHIFT | low)


def inodes_of(volume: VolumeId) -> tuple[Key, Key]:
    """The bounds of a volume's rows in the tables of PAST, for `range`."""
    return (inode_in(volume, 0),), (inode_in(VolumeId(volume + 1), 0),)
