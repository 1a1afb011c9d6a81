"""Pools whose names were kept without case by full case folding: each name is found, now and in snapshots, and none is lost."""

import sqlite3
from pathlib import Path

from odxfs.errors import NotFound
from odxfs.types import InodeNumber
from odxfs.volume import Inode, Pool, Volume, create_pool, open_pool
from tests.volume.ticking import Ticking

FILE = 0o100644
SHARP, LIGATURE = "\N{LATIN SMALL LETTER SHARP S}", "\N{LATIN SMALL LIGATURE FI}"


def fold_fully(directory: Path) -> None:
    """Make of a pool's catalog one of tables of version 6."""

    def folded(name: bytes | None) -> bytes | None:
        return None if name is None else name.decode().casefold().encode()

    connection = sqlite3.connect(directory / "catalog.db", isolation_level=None)
    try:
        connection.create_function("old_fold", 1, folded)
        for table, seen, columns in (("folded", "dirent", ""), ("folded_past", "dirent_past", ", present")):
            keys = "snapshot, directory" if columns else "directory"
            connection.execute(f"DELETE FROM {table}")
            connection.execute(
                f"INSERT INTO {table} SELECT {keys}, old_fold(name), name{columns} FROM {seen} WHERE old_fold(name) <> name"
            )
        connection.execute("UPDATE stream SET folded = old_fold(name)")
        # One key says that a stream was there, where now two say that one was and that the other was not.
        connection.execute("UPDATE OR REPLACE stream_past SET folded = old_fold(name) WHERE present = 1")
        connection.execute("UPDATE stream_past SET folded = old_fold(folded) WHERE present = 0")
        connection.execute("UPDATE claim SET schema = 6")
    finally:
        connection.close()


async def found(volume: Volume, name: str) -> bytes | None:
    try:
        return (await volume.lookup_ignoring_case(volume.root, name))[0]
    except NotFound:
        return None


async def stream_names(volume: Volume, number: InodeNumber) -> list[str]:
    base = await volume.inode(number)
    return sorted(entry.name.decode() for entry in await volume.list_streams(base))


async def make(pool: Pool) -> tuple[InodeNumber, InodeNumber]:
    """A file before a snapshot and one after it, with streams that come, go and change their names."""
    volume = pool.volume("main")
    old = await volume.create(volume.root, f"Old {SHARP}".encode(), FILE, 0, 0)
    for name in ("goes", "stays", "moves"):
        await volume.create_stream(old, f"{name} {SHARP}".encode())
    await pool.snapshots.create("main", "then")
    new = await volume.create(volume.root, f"{LIGATURE}le".encode(), FILE, 0, 0)
    await volume.remove_stream(old, f"goes {SHARP}".encode())
    await volume.rename_stream(old, f"moves {SHARP}".encode(), b"Moves SS")
    await volume.create_stream(old, f"comes {SHARP}".encode())
    await pool.commit()
    return old.number, new.number


async def test_names_are_found_by_the_new_folding(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool", clock=Ticking())
    async with open_pool(tmp_path / "pool", owner="first", clock=Ticking()) as pool:
        old, _ = await make(pool)
    fold_fully(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="next", clock=Ticking()) as pool:
        volume, then = pool.volume("main"), pool.snapshot_volume("main", "then")
        assert await pool.check() == []
        assert await found(volume, f"OLD {SHARP}") == f"Old {SHARP}".encode()
        assert await found(volume, f"{LIGATURE}LE") == f"{LIGATURE}le".encode()
        assert [await found(volume, name) for name in ("old ss", "file")] == [None, None]
        assert await found(then, f"OLD {SHARP}") == f"Old {SHARP}".encode()
        assert await found(then, f"{LIGATURE}LE") is None
        assert await stream_names(volume, old) == ["Moves SS", f"comes {SHARP}", f"stays {SHARP}"]
        seen: Inode = (await then.lookup_ignoring_case(then.root, f"old {SHARP}"))[1]
        assert await stream_names(then, seen.number) == sorted(
            f"{name} {SHARP}" for name in ("goes", "stays", "moves")
        )
