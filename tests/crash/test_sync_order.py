"""What a commit names was written, and then synced, in this order, whatever happens at the same time."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from odxfs.errors import LockConflict
from odxfs.types import Buffer
from odxfs.volume import create_pool, open_pool
from odxfs.volume.blocks.files import Files
from odxfs.volume.catalog.interface import Changes, Preserving
from odxfs.volume.catalog.sqlite import SqliteEngine
from tests.volume.test_interleavings import Gate

MIB = 1 << 20
FILE = 0o100644


async def test_data_that_is_being_written_during_a_commit_is_synced_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    begun, go_on = threading.Event(), threading.Event()
    write, sync = Files.write, Files.sync

    def slow_write(files: Files, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        if sum(map(len, buffers)) == 2 * MIB:  # past what is ever written on the trio thread
            begun.set()
            go_on.wait()
        write(files, descriptor, buffers, offset)
        events.append("written")

    def noted_sync(files: Files, descriptor: int) -> None:
        sync(files, descriptor)
        events.append("synced")

    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"file", FILE, 0, 0)
        await volume.write(inode, 8 * MIB, b"small")
        monkeypatch.setattr(Files, "write", slow_write)
        monkeypatch.setattr(Files, "sync", noted_sync)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.write, inode, 0, bytes(2 * MIB))
            await trio.to_thread.run_sync(begun.wait)
            await volume.sync()
            go_on.set()
        await volume.sync()
        assert events == ["synced", "written", "synced"]


async def test_the_name_of_a_segment_is_synced_that_is_had_back_while_a_commit_forgets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    gate, asked = Gate(), 0
    commit, sync_directory, make = SqliteEngine.commit_blocking, Files.sync_directory, Files.extend

    def gated_commit(engine: SqliteEngine, changes: Changes, preserving: Preserving) -> None:
        gate.pass_through()
        commit(engine, changes, preserving)
        events.append("committed")

    def noted_sync(files: Files, directory: Path) -> None:
        sync_directory(files, directory)
        events.append("name synced")

    def noted_make(files: Files, descriptor: int, length: int) -> None:
        make(files, descriptor, length)
        events.append("made")

    def refuse_at_last(_offset: int, _length: int) -> None:
        nonlocal asked
        asked += 1
        if asked > 2:  # once the bytes are on the disk
            raise LockConflict("locked meanwhile")

    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"file", FILE, 0, 0)
        await volume.sync()
        monkeypatch.setattr(Files, "sync_directory", noted_sync)
        monkeypatch.setattr(Files, "extend", noted_make)
        with pytest.raises(LockConflict):
            await volume.write(inode, 0, bytes(2 * MIB), permit=refuse_at_last)
        monkeypatch.setattr(SqliteEngine, "commit_blocking", gated_commit)
        async with trio.open_nursery() as nursery:
            with gate:
                nursery.start_soon(lambda: pool.reclaimer.turn(idle=True))
                await gate.reached()
                await volume.write(inode, 0, b"acknowledged")
        await volume.sync()
        assert events == ["made", "name synced", "committed", "committed"]
