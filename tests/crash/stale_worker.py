"""A process that owns a pool, says so, waits for a line, and then tries what its argument says; prints what came of it."""

import logging
import sys
from pathlib import Path

import trio

from odxfs.errors import VolumeError
from odxfs.volume import Volume, open_pool


async def _try(volume: Volume, what: str) -> None:
    if what == "data":
        inode = await volume.lookup(volume.root, b"old")
        for _ in range(50):
            await volume.write(inode, 0, b"stale" * 10_000)
    else:
        await volume.create(volume.root, b"stale", 0o644, 0, 0)
    await volume.sync()


async def _work(directory: Path, what: str) -> None:
    async with open_pool(directory, owner="stale worker") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"old", 0o644, 0, 0)
        await volume.write(inode, 0, b"old" * 10_000)
        await volume.sync()
        print("ready", flush=True)
        sys.stdin.readline()  # blocks the trio thread: no commit comes in between
        try:
            await _try(volume, what)
        except VolumeError as error:
            print(f"{type(error).__name__}: {error}", flush=True)
        else:
            print("done", flush=True)
        print(f"failure: {pool.failure}", flush=True)


if __name__ == "__main__":
    logging.disable()
    trio.run(_work, Path(sys.argv[1]), sys.argv[2])
