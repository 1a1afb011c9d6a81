"""The file tree of a volume as a snapshot holds it, read out of the catalog.

A snapshot copies nothing. From then on a commit that changes a row of a file tree keeps in a second table what the row was, once
for the latest snapshot (`CatalogEngine.commit`). So the row at a snapshot is the first one kept at or behind it, else the row
that is there now. Uncommitted changes never count: until they are committed the engine has what was there before.
"""

from typing import NoReturn

from odxfs.errors import ReadOnly, Stale
from odxfs.types import SnapshotId, VolumeId
from odxfs.volume.catalog.interface import CatalogEngine, Key, Row, Table, inodes_of

_EVERYTHING = 1 << 62


class PastView:
    """Reads the tables of `PAST` as of one snapshot; costs two index searches a row."""

    def __init__(self, engine: CatalogEngine, snapshot: SnapshotId, volume: VolumeId) -> None:
        self._engine = engine
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

    def put(self, table: Table, key: Key, row: Row) -> NoReturn:
        """Raises ReadOnly: what was, stays."""
        raise ReadOnly("a snapshot cannot be changed")

    def delete(self, table: Table, key: Key) -> NoReturn:
        """Raises ReadOnly."""
        raise ReadOnly("a snapshot cannot be changed")

    def _check(self) -> None:
        if self.is_gone:
            raise Stale(f"snapshot {self.snapshot} has been deleted")
