"""What a commit names was written, and then synced, in this order, whatever happens at the same time."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from odxfs.types import Buffer
from odxfs.volume import create_pool, open_pool
from odxfs.volume.blocks.files import Files

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
