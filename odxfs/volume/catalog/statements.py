# ruff: noqa: S608 - table and column names come from the Table enum; values are always parameters
"""The four SQL statements that any table needs, made from its shape; SQLite and PostgreSQL take them alike.

Keys are compared as row values, so that a range over a prefix or in the middle of one walks the primary key.
"""

from functools import cache

from odxfs.volume.catalog.interface import Table


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
def upsert(table: Table) -> str:
    """Set a row, new or not: key columns, then the others."""
    shape = table.value
    columns = shape.key + shape.row
    settings = ", ".join(f"{column} = excluded.{column}" for column in shape.row)
    action = f"UPDATE SET {settings}" if settings else "NOTHING"
    return (
        f"INSERT INTO {shape.name} ({', '.join(columns)}) VALUES ({_marks(columns)})"
        f" ON CONFLICT ({', '.join(shape.key)}) DO {action}"
    )


@cache
def delete(table: Table) -> str:
    """Delete the row of a whole key."""
    return f"DELETE FROM {table.value.name} WHERE {_each(table.value.key)}"


def _each(columns: tuple[str, ...]) -> str:
    return " AND ".join(f"{column} = ?" for column in columns)


def _marks(columns: tuple[str, ...]) -> str:
    return ", ".join("?" * len(columns))
