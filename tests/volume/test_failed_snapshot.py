"""A snapshot that found no room leaves the one before it as it was, whatever is written while its commit is under way."""

from collections.abc import Callable

import pytest
import trio

from odxfs.errors import NoSpace
from odxfs.types import LEAF_BYTES
from odxfs.volume import Volume
from odxfs.volume.catalog.interface import Changes, Preserving
from odxfs.volume.catalog.sqlite import SqliteEngine
from tests.volume.test_interleavings import Gate

FILE = 0o100644


async def test_a_page_that_came_since_is_not_kept_for_the_snapshot_before_one_that_failed(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, expect_log: Callable[[str], None]
) -> None:
    expect_log("the disk is full")
    pool, gate = volume.pool, Gate()
    sparse = await volume.create(volume.root, b"sparse", FILE, 0, 0)
    await volume.truncate(sparse, LEAF_BYTES)
    await pool.snapshots.create("main", "kept")

    def without_room(_engine: SqliteEngine, _changes: Changes, _preserving: Preserving) -> None:
        gate.pass_through()
        raise NoSpace("the disk is full")

    async def fail() -> None:
        with pytest.raises(NoSpace):
            await pool.snapshots.create("main", "failed")

    with monkeypatch.context() as full:
        full.setattr(SqliteEngine, "commit_blocking", without_room)
        async with trio.open_nursery() as nursery:
            with gate:
                await volume.write(sparse, 0, b"written after the snapshot")
                new = await volume.create(volume.root, b"new", FILE, 0, 0)
                await volume.write(new, 0, b"made after the snapshot")
                nursery.start_soon(fail)
                await gate.reached()
                await volume.write(sparse, 100, b"while the other was made")
                await volume.write(new, 100, b"while the other was made")
    await pool.settle()
    assert [found.name for found in pool.snapshots.of("main")] == ["kept"]
    then = pool.snapshot_volume("main", "kept")
    assert bytes(await then.read(await then.lookup(then.root, b"sparse"), 0, LEAF_BYTES)) == bytes(LEAF_BYTES)
    assert await pool.check(read_data=True) == []
    await pool.snapshots.restore("main", "kept")
    assert bytes(await volume.read(await volume.lookup(volume.root, b"sparse"), 0, LEAF_BYTES)) == bytes(
        LEAF_BYTES
    )
    assert await pool.check(read_data=True) == []
