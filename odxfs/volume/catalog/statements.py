# ruff: noqa: S608 - table and column names come from the Table enum; values are always parameters
"""The SQL statements that any table needs, made from its shape; SQLite and PostgreSQL take them alike.

Keys are compared as row values, so that a range over a prefix or in the middle of one walks the primary key.
"""

from functools import cache

from odxfs.volume.catalog.interface import PAST, Table


@cache
def point(table: Table) -> str:
    """One row by its whole key; a leading 1 tells a row without further columns from no row."""
    shape = table.value
    return f"SELECT {', '.join(('1', *shape.row))} FROM {shape.name} WHERE {_each(shape.key)}"


@cache
def between(table: Table, low_columns: int, high_columns: int) -> str:
    """Rows from a low key (prefix) to below a high one, compared like tuples, at most so many."""
    shape = table.value
    low, high = shape.key[:low_columns], shape.key[:high_columns]
    return (
        f"SELECT {', '.join(shape.key + shape.row)} FROM {shape.name}"
        f" WHERE ({', '.join(low)}) >= ({_marks(low)}) AND ({', '.join(high)}) < ({_marks(high)})"
        f" ORDER BY {', '.join(shape.key)} LIMIT ?"
    )


@cache
def upsert(table: Table, rows: int = 1) -> str:
    """Set so many rows, new or not; for each its key columns, then the others. No key may come twice."""
    shape = table.value
    columns = shape.key + shape.row
    settings = ", ".join(f"{column} = excluded.{column}" for column in shape.row)
    action = f"UPDATE SET {settings}" if settings else "NOTHING"
    return (
        f"INSERT INTO {shape.name} ({', '.join(columns)}) VALUES {', '.join([f'({_marks(columns)})'] * rows)}"
        f" ON CONFLICT ({', '.join(shape.key)}) DO {action}"
    )


@cache
def delete(table: Table) -> str:
    """Delete the row of a whole key."""
    return f"DELETE FROM {table.value.name} WHERE {_each(table.value.key)}"


@cache
def past_point(table: Table) -> str:
    """Parameters: key, snapshot. What the row was at a snapshot, if it has been changed since: (present, columns)."""
    past = PAST[table].value
    return (
        f"SELECT {', '.join(past.row)} FROM {past.name} WHERE {_each(table.value.key)} AND snapshot >= ?"
        " ORDER BY snapshot LIMIT 1"
    )


@cache
def past_between(table: Table, low_columns: int, high_columns: int) -> str:
    """Parameters: (low, high, snapshot) twice and once more the snapshot, then the limit. `between`, as of a snapshot.

    A row that was changed since is in the past table, the first one at or behind the snapshot counts; every other one is as it
    is now.
    """
    shape, past = table.value, PAST[table].value
    low, high = shape.key[:low_columns], shape.key[:high_columns]
    columns = ", ".join(shape.key + shape.row)
    bounds = f"({', '.join(low)}) >= ({_marks(low)}) AND ({', '.join(high)}) < ({_marks(high)})"
    same = " AND ".join(f"earlier.{column} = found.{column}" for column in shape.key)
    return (
        f"SELECT {columns} FROM {shape.name} AS found WHERE {bounds}"
        f" AND NOT EXISTS (SELECT 1 FROM {past.name} AS earlier WHERE {same} AND earlier.snapshot >= ?)"
        f" UNION ALL SELECT {columns} FROM {past.name} AS found WHERE {bounds} AND snapshot >= ? AND present = 1"
        f" AND NOT EXISTS (SELECT 1 FROM {past.name} AS earlier"
        f" WHERE {same} AND earlier.snapshot >= ? AND earlier.snapshot < found.snapshot)"
        f" ORDER BY {', '.join(shape.key)} LIMIT ?"
    )


@cache
def preserve_present(table: Table) -> str:
    """Parameters: snapshot, key, key, snapshot. Keep what a row is, if there is one and no snapshot from this on has kept it."""
    shape, past = table.value, PAST[table].value
    columns = ", ".join(past.key + past.row)
    return (
        f"INSERT INTO {past.name} ({columns}) SELECT ?, {', '.join((*shape.key, '1', *shape.row))} FROM {shape.name}"
        f" WHERE {_each(shape.key)} AND NOT EXISTS"
        f" (SELECT 1 FROM {past.name} WHERE {_each(shape.key)} AND snapshot >= ?)"
    )


@cache
def preserve_absent(table: Table) -> str:
    """Parameters: snapshot, key, key, key, snapshot. Keep that there is no row, under the same condition."""
    shape, past = table.value, PAST[table].value
    columns = ", ".join((*past.key, "present"))
    return (
        f"INSERT INTO {past.name} ({columns}) SELECT ?, {_marks(shape.key)}, 0"
        f" WHERE NOT EXISTS (SELECT 1 FROM {shape.name} WHERE {_each(shape.key)}) AND NOT EXISTS"
        f" (SELECT 1 FROM {past.name} WHERE {_each(shape.key)} AND snapshot >= ?)"
    )


def _each(columns: tuple[str, ...]) -> str:
    return " AND ".join(f"{column} = ?" for column in columns)


def _marks(columns: tuple[str, ...]) -> str:
    return ", ".join("?" * len(columns))
