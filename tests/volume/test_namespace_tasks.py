"""Many tasks in one tree, over an engine that takes its time: no name, count or directory may suffer."""

import random
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.errors import AlreadyExists, NoAttribute, VolumeError
from odxfs.types import InodeNumber
from odxfs.volume import RenameFlags, Volume, create_pool, open_pool
from odxfs.volume.catalog import overlay
from odxfs.volume.catalog.interface import CatalogEngine, Changes, Key, Row, Table

FILE = stat.S_IFREG | 0o644
DIRECTORY = stat.S_IFDIR | 0o755


class SlowEngine:
    """Another engine, each answer of which is a few scheduler turns old when it arrives."""

    def __init__(self, engine: CatalogEngine, seed: int) -> None:
        self._engine = engine
        self._random = random.Random(seed)
        self.epoch = engine.epoch

    async def _wait(self) -> None:
        for _turn in range(self._random.randrange(4)):
            await trio.lowlevel.checkpoint()

    async def get(self, table: Table, key: Key) -> Row | None:
        row = await self._engine.get(table, key)
        await self._wait()
        return row

    async def range(self, table: Table, low: Key, high: Key, limit: int) -> list[tuple[Key, Row]]:
        rows = await self._engine.range(table, low, high, limit)
        await self._wait()
        return rows

    async def commit(self, changes: Changes) -> None:
        await self._engine.commit(changes)
        await self._wait()

    async def close(self) -> None:
        await self._engine.close()


async def disturb(volume: Volume, seed: int) -> None:
    """Do what comes to mind, in directories that others move and remove meanwhile."""
    choice = random.Random(seed)
    directories = [volume.root]
    for _turn in range(60):
        here, there = choice.choice(directories), choice.choice(directories)
        name, other = choice.choice([b"a", b"b", b"C"]), choice.choice([b"a", b"b", b"C"])
        try:
            match choice.randrange(8):
                case 0:
                    await volume.create(here, name, FILE, 0, 0)
                case 1 | 2:
                    directories.append((await volume.create(here, name, DIRECTORY, 0, 0)).number)
                case 3:
                    await volume.unlink(here, name)
                case 4:
                    await volume.rmdir(here, name)
                case 5:
                    await volume.link(await volume.lookup(here, name), there, other)
                case 6:
                    await volume.rename(here, name, there, other)
                case _:
                    await volume.rename(here, name, there, other, RenameFlags.EXCHANGE)
            directories = [*directories[-6:], volume.root]
        except VolumeError:
            continue  # somebody else was quicker; the tree is looked at in the end


@pytest.mark.parametrize("seed", range(4))
async def test_any_interleaving_leaves_a_sound_tree(tmp_path: Path, seed: int) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        pool.view._engine = SlowEngine(pool.engine, seed)
        volume = pool.volume("main")
        async with trio.open_nursery() as nursery:
            for task in range(8):
                nursery.start_soon(disturb, volume, seed * 100 + task)
            for _turn in range(20):
                await pool.commit()
                await trio.lowlevel.checkpoint()
        assert await pool.check() == []
    async with open_pool(tmp_path / "pool", owner="again") as pool:
        assert await pool.check() == []


async def test_one_name_is_made_once_however_many_try(volume: Volume) -> None:
    volume.pool.view._engine = SlowEngine(volume.pool.engine, 1)
    made: list[InodeNumber] = []

    async def attempt() -> None:
        try:
            made.append((await volume.create(volume.root, b"only", FILE, 0, 0)).number)
        except AlreadyExists:
            return

    async with trio.open_nursery() as nursery:
        for _task in range(10):
            nursery.start_soon(attempt)
    assert made == [(await volume.lookup(volume.root, b"only")).number]


async def test_two_directories_cannot_be_moved_into_each_other_at_once(volume: Volume) -> None:
    volume.pool.view._engine = SlowEngine(volume.pool.engine, 2)
    a = await volume.create(volume.root, b"a", DIRECTORY, 0, 0)
    b = await volume.create(volume.root, b"b", DIRECTORY, 0, 0)
    refusals: list[VolumeError] = []

    async def move(name: bytes, into: InodeNumber) -> None:
        try:
            await volume.rename(volume.root, name, into, name)
        except VolumeError as error:
            refusals.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(move, b"a", b.number)
        nursery.start_soon(move, b"b", a.number)
    assert len(refusals) == 1
    assert await volume.pool.check() == []


async def test_a_cancelled_operation_changes_nothing_and_keeps_no_lock(volume: Volume) -> None:
    volume.pool.view._engine = SlowEngine(volume.pool.engine, 3)
    for turn in range(12):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(volume.create, volume.root, b"%d" % turn, FILE, 0, 0)
                for _turn in range(turn % 4):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
    with trio.fail_after(60):
        await volume.create(volume.root, b"after", FILE, 0, 0)
    assert await volume.pool.check() == []


class BusyEngine:
    """An engine that somebody changes something beside, once, while a second page of rows is asked for."""

    def __init__(self, engine: CatalogEngine, change: Callable[[], Awaitable[object]]) -> None:
        self._engine = engine
        self._change = change
        self._pages = 0

    async def range(self, table: Table, low: Key, high: Key, limit: int) -> list[tuple[Key, Row]]:
        self._pages += 1
        if self._pages == 2:
            await self._change()
        return await self._engine.range(table, low, high, limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


async def test_what_comes_while_it_is_looked_for_is_not_taken_for_missing(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("_LARGEST_READ", "_SMALLEST_READ"):
        monkeypatch.setattr(overlay, bound, 2)
    inode = await volume.create(volume.root, b"file", FILE, 0, 0)
    for name in (b"user.b", b"user.c", b"user.d"):
        await volume.set_xattr(inode, name, b"")
        await volume.create_stream(inode, name)
    for name in (b"user.b", b"user.c", b"user.d"):
        await volume.remove_xattr(inode, name)
        await volume.remove_stream(inode, name)
    view, engine = volume.pool.view, volume.pool.engine
    view._engine = BusyEngine(engine, lambda: volume.set_xattr(inode, b"user.a", b"value"))
    with pytest.raises(NoAttribute):
        await volume.get_xattr(inode, b"user.e")
    assert await volume.get_xattr(inode, b"user.a") == b"value"
    view._engine = BusyEngine(engine, lambda: volume.create_stream(inode, b"user.a"))
    await volume.list_streams(inode)
    assert [stream.name for stream in await volume.list_streams(inode)] == [b"user.a"]
