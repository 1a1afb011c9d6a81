"""The file tree of a volume as a snapshot holds it, read out of the catalog.

A snapshot copies nothing. From then on a commit that changes a row of a file tree keeps in a second table what the row was, once
for the latest snapshot (`CatalogEngine.commit`). So the row at a snapshot is the first one kept at or behind it, else the row
that is there now. Uncommitted changes never count: until they are committed the engine has what was there before.
"""

from typing import NoReturn

from odxfs.errors import ReadOnly, Stale
from odxfs.types import SnapshotId, VolumeId
from odxfs.volume.catalog.interface import CatalogEngine, Key, Row, Table, inode_in, inode_seen_in, inodes_of

_EVERYTHING = 1 << 62
_INODE_COLUMNS = frozenset({"number", "directory", "parent", "stream"})
"""Columns of a file tree's tables that hold an inode's number; 0 is none."""


class PastView:
    """Reads the tables of `PAST` as of one snapshot; costs two index searches a row."""

    def __init__(self, engine: CatalogEngine, snapshot: SnapshotId, volume: VolumeId) -> None:
        self._engine = engine
        self.volume = volume
        self._bounds = inodes_of(volume)
        self.snapshot = snapshot
        self.is_gone = False
        """Set when the snapshot is deleted: what it held may be gone from then on."""

    async def get(self, table: Table, key: Key) -> Row | None:
        """The row under `key`, or None. Raises Stale, StoreFailed or Corrupt."""
        row = await self._engine.past_get(self.snapshot, table, key)
        self._check()
        return row

    async def range(
        self, table: Table, low: Key, high: Key, limit: int | None = None
    ) -> list[tuple[Key, Row]]:
        """Rows of the volume with low <= key < high, ascending, at most `limit`. Raises Stale, StoreFailed or Corrupt."""
        wanted = _EVERYTHING if limit is None else limit
        low, high = max(low, self._bounds[0]), min(high, self._bounds[1])
        rows = await self._engine.past_range(self.snapshot, table, low, high, wanted)
        self._check()
        return rows

    def _check(self) -> None:
        if self.is_gone:
            raise Stale(f"snapshot {self.snapshot} has been deleted")


class SeenView:
    """A past view in which each inode has another number than it has, or had, in the volume (`inode_seen_in`).

    So whatever is kept by inode number (handles, locks, what a kernel knows) never takes a snapshot's inode for the volume's.
    """

    moment = (0, 0)
    """See CatalogView.moment: nothing changes."""

    def __init__(self, past: PastView) -> None:
        self.past = past

    async def get(self, table: Table, key: Key) -> Row | None:
        """See PastView.get."""
        row = await self.past.get(table, self._there(table, key))
        return None if row is None else self._seen_row(table, row)

    async def range(
        self, table: Table, low: Key, high: Key, limit: int | None = None
    ) -> list[tuple[Key, Row]]:
        """See PastView.range."""
        rows = await self.past.range(table, self._there(table, low), self._there(table, high), limit)
        return [(self._seen_key(table, key), self._seen_row(table, row)) for key, row in rows]

    def put(self, table: Table, key: Key, row: Row) -> NoReturn:
        """Raises ReadOnly: what was, stays."""
        raise ReadOnly("a snapshot cannot be changed")

    def delete(self, table: Table, key: Key) -> NoReturn:
        """Raises ReadOnly."""
        raise ReadOnly("a snapshot cannot be changed")

    def _there(self, table: Table, key: Key) -> Key:
        """A key, or a beginning of one, with the volume's numbers."""
        volume = self.past.volume
        return tuple(
            inode_in(volume, column) if name in _INODE_COLUMNS else column  # type: ignore[arg-type]
            for name, column in zip(table.value.key, key, strict=False)
        )

    def _seen_key(self, table: Table, key: Key) -> Key:
        return self._seen(table.value.key, key)  # type: ignore[return-value]

    def _seen_row(self, table: Table, row: Row) -> Row:
        return self._seen(table.value.row, row)

    def _seen(self, names: tuple[str, ...], columns: Row | Key) -> Row:
        snapshot = self.past.snapshot
        return tuple(
            inode_seen_in(snapshot, column) if name in _INODE_COLUMNS and column else column  # type: ignore[arg-type]
            for name, column in zip(names, columns, strict=True)
        )
