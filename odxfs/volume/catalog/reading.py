"""The catalog as its last commit left it, for those who only look: also while its owner goes on."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from odxfs.errors import Corrupt, ExitCode, UserError
from odxfs.types import SnapshotId, VolumeId
from odxfs.volume.catalog import statements
from odxfs.volume.catalog.interface import Key, Row, Table, inodes_of
from odxfs.volume.catalog.schema import SCHEMA_VERSION
from odxfs.volume.catalog.sqlite import decoded, translated

_EVERYTHING = 1 << 62


class CommittedCatalog:
    """A CatalogReader of one moment; never a checkpoint."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def begin(self) -> None:
        """Fix the moment: everything is read as the last commit before the first read left it."""
        self._rows("BEGIN", ())

    async def get(self, table: Table, key: Key) -> Row | None:
        """See CatalogReader. Raises StoreFailed or Corrupt."""
        found = self._rows(statements.point(table), key)
        return tuple(found[0][1:]) if found else None

    async def range(
        self, table: Table, low: Key, high: Key, limit: int | None = None
    ) -> list[tuple[Key, Row]]:
        """See CatalogReader. Raises StoreFailed or Corrupt."""
        columns = len(table.value.key)
        wanted = _EVERYTHING if limit is None else limit
        rows = self._rows(statements.between(table, len(low), len(high)), (*low, *high, wanted))
        return [(row[:columns], row[columns:]) for row in rows]

    def past(self, snapshot: SnapshotId, volume: VolumeId) -> "CommittedPast":
        """The file tree of a volume as a snapshot of it holds it."""
        return CommittedPast(self._connection, snapshot, volume)

    def count(self, table: Table) -> int:
        """Rows of a table; reads all of it."""
        return int(self._rows(f"SELECT COUNT(*) FROM {table.value.name}", ())[0][0])  # noqa: S608 - a name of ours

    def owner(self) -> tuple[int, str, int]:
        """(epoch, owner, schema) of the claim. Raises Corrupt."""
        found = self._rows("SELECT epoch, owner, schema FROM claim WHERE id = 0", ())
        if not found:
            raise Corrupt("the catalog has no claim row")
        epoch, owner, schema = found[0]
        return epoch, owner, schema

    def _rows(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise translated(error) from error


class CommittedPast(CommittedCatalog):
    """The same, of a file tree's tables as a snapshot holds them."""

    def __init__(self, connection: sqlite3.Connection, snapshot: SnapshotId, volume: VolumeId) -> None:
        super().__init__(connection)
        self._snapshot = snapshot
        self._bounds = inodes_of(volume)

    async def get(self, table: Table, key: Key) -> Row | None:
        """See CatalogReader."""
        found = self._rows(statements.past_point(table), (*key, self._snapshot))
        if not found:
            return await super().get(table, key)
        return tuple(found[0][1:]) if found[0][0] else None

    async def range(
        self, table: Table, low: Key, high: Key, limit: int | None = None
    ) -> list[tuple[Key, Row]]:
        """See CatalogReader."""
        low, high = max(low, self._bounds[0]), min(high, self._bounds[1])
        part = (*low, *high, self._snapshot)
        wanted = _EVERYTHING if limit is None else limit
        statement = statements.past_between(table, len(low), len(high))
        columns = len(table.value.key)
        rows = self._rows(statement, (*part, *part, self._snapshot, wanted))
        return [(row[:columns], row[columns:]) for row in rows]


@contextmanager
def committed_catalog(path: Path) -> Iterator[CommittedCatalog]:
    """Look at the last commit. Raises UserError for a missing one and for another format, StoreFailed or Corrupt."""
    if not path.is_file():
        raise UserError(f"{path}: the pool's catalog is missing", ExitCode.NOT_A_POOL)
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise translated(error) from error
    try:
        connection.text_factory = decoded
        catalog = CommittedCatalog(connection)
        catalog.begin()
        schema = catalog.owner()[2]
        if schema != SCHEMA_VERSION:
            raise UserError(
                f"{path} has catalog format {schema}, this odxfs shows {SCHEMA_VERSION}"
                f"{': open the pool once with it' if schema < SCHEMA_VERSION else ''}",
                ExitCode.FORMAT,
            )
        yield catalog
    finally:
        connection.close()
