"""Random damage to a catalog, as a failing disk or a defect would do it."""

import random
import sqlite3
from pathlib import Path

from odxfs.volume.catalog.interface import Table

_BY_LEAF = frozenset(
    {
        Table.POOL,
        Table.LEAF,
        Table.LEAF_LOG,
        Table.LEAF_REFS,
        Table.SPACE,
        Table.PIN,
        Table.VOLUME,
        Table.SNAPSHOT,
    }
)
"""Tables whose keys are not inode numbers."""


class Damage:
    """Damages rows of a catalog that nobody has open; `touched` are the numbers of inodes whose own rows were damaged."""

    def __init__(self, catalog: Path, choose: random.Random) -> None:
        self._catalog = catalog
        self._choose = choose
        self.touched: set[int] = set()
        self.done: list[str] = []

    def do(self, times: int) -> None:
        """Damage so many rows, or pairs of rows."""
        connection = sqlite3.connect(self._catalog)
        with connection:
            tables = [table for table in Table if self._rows(connection, table)]
            for _ in range(times):
                table = self._choose.choice(tables)
                rows = self._rows(connection, table)
                if rows:
                    self._damage(connection, table, rows)
        connection.close()

    def _rows(self, connection: sqlite3.Connection, table: Table) -> list[tuple[object, ...]]:
        columns = ", ".join((*table.value.key, *table.value.row))
        return connection.execute(f"SELECT {columns} FROM {table.value.name}").fetchall()

    def _damage(self, connection: sqlite3.Connection, table: Table, rows: list[tuple[object, ...]]) -> None:
        row = self._choose.choice(rows)
        what = self._choose.choice(("delete", "change", "change", "swap", "kind"))
        if what == "delete":
            self._replace(connection, table, row, None)
        elif what == "swap" and table is not Table.LEAF:
            self._swap(connection, table, row, self._choose.choice(rows))
        else:
            columns = (*table.value.key, *table.value.row)
            at = self._choose.randrange(len(columns))
            if columns[at] == "state" or (table, at) == (Table.LEAF, 0):
                return  # what is marked as deleted is deleted; a leaf in another's place is not told from it
            value = self._of_another_kind(row[at]) if what == "kind" else self._changed(row[at])
            self._replace(connection, table, row, (*row[:at], value, *row[at + 1 :]))

    def _swap(
        self, connection: sqlite3.Connection, table: Table, one: tuple[object, ...], other: tuple[object, ...]
    ) -> None:
        keys = len(table.value.key)
        state = table.value.row[-1:] == ("state",)
        if one[:keys] != other[:keys] and not (state and one[-1] != other[-1]):
            self._replace(connection, table, one, (*one[:keys], *other[keys:]))
            self._replace(connection, table, other, (*other[:keys], *one[keys:]))

    def _replace(
        self,
        connection: sqlite3.Connection,
        table: Table,
        old: tuple[object, ...],
        new: tuple[object, ...] | None,
    ) -> None:
        self.done.append(f"{table.name}: {old!r:.150} -> {new!r:.150}")
        shape = table.value
        condition = " AND ".join(f"{column} = ?" for column in shape.key)
        connection.execute(f"DELETE FROM {shape.name} WHERE {condition}", old[: len(shape.key)])
        if new is not None:
            marks = ", ".join("?" * len(new))
            columns = ", ".join((*shape.key, *shape.row))
            connection.execute(f"INSERT OR REPLACE INTO {shape.name} ({columns}) VALUES ({marks})", new)
        if table not in _BY_LEAF:
            for row in (old, new or ()):
                self.touched.update(value for value in row if isinstance(value, int))

    def _changed(self, value: object) -> object:
        choose = self._choose
        if isinstance(value, int):
            near = choose.choice((-1, 1, choose.randrange(-100, 100)))
            far = choose.choice((-value, 0, choose.randrange(1 << 62), value ^ 1 << choose.randrange(62)))
            return choose.choice((value + near, far))
        if isinstance(value, bytes):
            if not value or choose.random() < 0.2:
                return value[: choose.randrange(len(value) + 1)]
            at = choose.randrange(len(value))
            return value[:at] + bytes([value[at] ^ 1 << choose.randrange(8)]) + value[at + 1 :]
        return f"{value}{choose.randrange(10)}"

    def _of_another_kind(self, value: object) -> object:
        return b"\x01\xff" if isinstance(value, int) else self._choose.choice((17, "words"))
