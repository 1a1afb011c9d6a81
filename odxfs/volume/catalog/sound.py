"""Reading a catalog that may be damaged: rows whose columns are not what their table says are left out.

SQLite keeps whatever kind of value a column is given. A row that passes here has integers, bytes and text where they belong;
whether they make sense is for the checks to say.
"""

from collections.abc import AsyncIterator, Callable
from math import inf, nextafter
from typing import Any, Protocol

from odxfs.types import VolumeId
from odxfs.volume.catalog.interface import PAST, Key, Row, Table, volume_of
from odxfs.volume.catalog.schema import BYTE_COLUMNS

FIRST: Key = (-(1 << 63),)
LAST: Key = ((1 << 63) - 1,)
"""Bounds of every key; the largest number itself is never handed out."""

_ROWS = 256
"""Rows in memory at a time; dense leaves take 24 KiB each."""

_BY_INODE = frozenset({*PAST, Table.ORPHAN})
_PAST_TABLES = frozenset(PAST.values())
_TEXT_NAMES = frozenset({Table.VOLUME, Table.SNAPSHOT})


class CatalogReader(Protocol):
    """What checks read from: a catalog as it is, or as a snapshot holds it."""

    async def get(self, table: Table, key: Key) -> Row | None:
        """The row under a whole key, or None."""
        ...

    async def range(
        self, table: Table, low: Key, high: Key, limit: int | None = None
    ) -> list[tuple[Key, Row]]:
        """Rows with low <= key < high, ascending, at most `limit`."""
        ...


class SoundView:
    """A reader over another one that gives well-formed rows only; `on_fault` is told of each of the others it meets."""

    def __init__(
        self, reader: CatalogReader, on_fault: Callable[[Table, Key], None] = lambda _table, _key: None
    ) -> None:
        self._reader = reader
        self._on_fault = on_fault

    async def get(self, table: Table, key: Key) -> Row | None:
        """See CatalogReader."""
        row = await self._reader.get(table, key)
        return row if row is None or self._keeps(table, key, row) else None

    async def range(
        self, table: Table, low: Key, high: Key, limit: int | None = None
    ) -> list[tuple[Key, Row]]:
        """See CatalogReader."""
        sound: list[tuple[Key, Row]] = []
        while limit is None or len(sound) < limit:
            wanted = None if limit is None else limit - len(sound)
            rows = await self._reader.range(table, low, high, wanted)
            for key, row in rows:
                if self._keeps(table, key, row):
                    sound.append((key, row))
                else:
                    self._on_fault(table, key)
            if wanted is None or len(rows) < wanted:
                break
            low = _behind(rows[-1][0])
        return sound

    def _keeps(self, table: Table, key: Key, row: Row) -> bool:
        return is_well_formed(table, key, row)


class UsableRows(SoundView):
    """A sound reader's rows without those of volumes that are being deleted or made: these are a part of something."""

    def __init__(self, reader: CatalogReader, unusable: set[VolumeId]) -> None:
        super().__init__(reader)
        self._unusable = unusable

    @classmethod
    async def of(cls, reader: CatalogReader) -> "UsableRows":
        """The usable rows of a catalog as it is; a volume of which nothing is known is usable."""
        return cls(reader, {key[0] async for key, row in all_rows(reader, Table.VOLUME) if row[-1] == 1})

    def has(self, number: int) -> bool:
        """Whether an inode number belongs to a usable volume."""
        return volume_of(number) not in self._unusable

    def _keeps(self, table: Table, key: Key, row: Row) -> bool:
        if table not in _BY_INODE:
            return table is not Table.VOLUME or row[-1] != 1
        number = key[0]
        return isinstance(number, int) and self.has(number)


async def all_rows(reader: CatalogReader, table: Table) -> AsyncIterator[tuple[Any, Any]]:
    """(key, row) of every row of a table, ascending, a few in memory at a time. Columns are what the table says."""
    low = FIRST
    while rows := await reader.range(table, low, LAST, _ROWS):
        for found in rows:
            yield found
        low = _behind(rows[-1][0])


def is_well_formed(table: Table, key: Key, row: Row) -> bool:
    """Whether every column is of the kind that its table says."""
    if (*map(type, key), *map(type, row)) == _KINDS[table]:
        return table not in _TEXT_NAMES or str(row[_NAME_AT[table]]).isprintable()
    if table in _PAST_TABLES and row[0] == 0:  # there was no row: the other columns say nothing
        return (*map(type, key), type(row[0])) == _KINDS[table][: len(key) + 1]
    return table is Table.SPACE and row[1] is None and isinstance(key[0], int) and isinstance(row[0], bytes)


def _kind(table: Table, column: str) -> type:
    if column == "name" and table in _TEXT_NAMES:
        return str
    return bytes if column in BYTE_COLUMNS else int


_KINDS = {
    table: tuple(_kind(table, column) for column in (*table.value.key, *table.value.row)) for table in Table
}
_NAME_AT = {table: table.value.row.index("name") for table in _TEXT_NAMES}


def _behind(key: Key) -> Key:
    """The smallest key greater than `key`, whatever the kind of its last column."""
    last: Any = key[-1]
    behind: Any
    if isinstance(last, bytes):
        behind = last + b"\0"
    elif isinstance(last, str):
        behind = last + "\0"
    elif isinstance(last, float):
        behind = nextafter(last, inf)
    else:
        behind = last + 1
    return (*key[:-1], behind)
