"""The SQLite engine: what a commit promises, who may commit, and what its failures are called."""

import sqlite3
from pathlib import Path

import pytest

from odxfs.errors import Corrupt, ExitCode, NoSpace, Stale, StoreFailed, UserError
from odxfs.volume.catalog.interface import Changes, PoolRow, Table
from odxfs.volume.catalog.sqlite import SqliteEngine

FIRST: Changes = {Table.POOL: {(0,): PoolRow(1, 2, 1, 1, 1, 0)}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.db"
    SqliteEngine.create(path, FIRST)
    return path


async def test_a_commit_is_there_after_a_reopen_and_deletes_what_it_says(path: Path) -> None:
    engine = SqliteEngine.open(path, "one")
    await engine.commit(
        {Table.DIRENT: {(1, b"a"): (5, 6, 7), (1, b"b"): (8, 9, 10)}, Table.ORPHAN: {(4,): ()}}
    )
    await engine.commit({Table.DIRENT: {(1, b"a"): None, (1, b"b"): (11, 12, 13), (9, b"no"): None}})
    await engine.close()
    engine = SqliteEngine.open(path, "two")
    assert engine.epoch == 2
    assert await engine.get(Table.POOL, (0,)) == PoolRow(1, 2, 1, 1, 1, 0)
    assert await engine.get(Table.DIRENT, (1, b"a")) is None
    assert await engine.get(Table.DIRENT, (1, b"b")) == (11, 12, 13)
    assert await engine.get(Table.ORPHAN, (4,)) == ()
    await engine.close()


async def test_every_table_takes_its_columns(path: Path) -> None:
    engine = SqliteEngine.open(path, "one")
    rows = {
        table: {
            tuple(b"k" if _is_bytes(c) else 3 for c in table.value.key): tuple(b"v" for _c in table.value.row)
        }
        for table in Table
    }
    await engine.commit(rows)
    for table, row in rows.items():
        ((key, values),) = row.items()
        assert await engine.get(table, key) == values
    await engine.close()


def _is_bytes(column: str) -> bool:
    return column in ("name", "folded")


async def test_ranges_take_whole_keys_and_prefixes(path: Path) -> None:
    engine = SqliteEngine.open(path, "one")
    keys = [
        (directory, name) for directory in (1, 2, 3) for name in (b"", b"\x00", b"a", b"a\xff", b"b", b"\xff")
    ]
    await engine.commit({Table.DIRENT: {key: (*key[:1], 0, 0) for key in keys}})
    for low, high in [
        ((2,), (3,)),
        ((1, b"a"), (3, b"a")),
        ((1, b"a\xff"), (2,)),
        ((3,), (1,)),
        ((0,), (9,)),
    ]:
        expected = [key for key in keys if low <= key < high]
        assert [key for key, _row in await engine.range(Table.DIRENT, low, high, 100)] == expected
        assert [key for key, _row in await engine.range(Table.DIRENT, low, high, 2)] == expected[:2]
    await engine.close()


async def test_a_commit_that_fails_leaves_nothing_behind(path: Path) -> None:
    engine = SqliteEngine.open(path, "one")
    with pytest.raises(StoreFailed):
        await engine.commit({Table.ORPHAN: {(4,): ()}, Table.XATTR: {(1, b"x"): (None,)}})
    assert await engine.get(Table.ORPHAN, (4,)) is None
    await engine.commit({Table.ORPHAN: {(5,): ()}})
    assert await engine.get(Table.ORPHAN, (5,)) == ()
    await engine.close()


async def test_an_owner_that_lost_the_pool_cannot_commit(path: Path) -> None:
    late = SqliteEngine.open(path, "late")
    current = SqliteEngine.open(path, "current")
    with pytest.raises(Stale, match="new owner"):
        await late.commit({Table.ORPHAN: {(4,): ()}})
    await current.commit({Table.ORPHAN: {(5,): ()}})
    assert await current.get(Table.ORPHAN, (4,)) is None
    await late.close()
    await current.close()


async def test_a_full_disk_is_no_space_and_the_commit_may_be_tried_again(path: Path) -> None:
    engine = SqliteEngine.open(path, "one")
    engine._writer.execute("PRAGMA max_page_count = 40")
    changes: Changes = {Table.LEAF: {(number,): (1, bytes(24576)) for number in range(40)}}
    with pytest.raises(NoSpace):
        await engine.commit(changes)
    engine._writer.execute("PRAGMA max_page_count = 1000000")
    await engine.commit(changes)
    assert await engine.get(Table.LEAF, (39,)) == (1, bytes(24576))
    await engine.close()


def test_a_catalog_of_a_newer_format_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE claim SET schema = 99")
    connection.close()
    with pytest.raises(UserError, match="newer") as caught:
        SqliteEngine.open(path, "one")
    assert caught.value.exit_code is ExitCode.FORMAT


def test_a_missing_or_damaged_catalog_says_so(path: Path) -> None:
    with pytest.raises(UserError) as caught:
        SqliteEngine.open(path.with_name("none.db"), "one")
    assert caught.value.exit_code is ExitCode.NOT_A_POOL
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(Corrupt):
        SqliteEngine.open(path, "one")
