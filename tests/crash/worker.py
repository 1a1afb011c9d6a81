"""A process that writes to a pool until it is killed; it prints what it was told is durable."""

import random
import sys
from pathlib import Path

import trio

from odxfs.types import LEAF_BYTES
from odxfs.volume import Inode, Volume, open_pool

LARGEST = LEAF_BYTES + 200_000


def change(content: bytearray, choose: random.Random) -> tuple[int, bytes]:
    """The next write, applied to the model too; parent and child make the same ones from the same seed."""
    offset = choose.randrange(LARGEST)
    data = choose.randbytes(choose.choice([1, 4096, 12_288, 70_000]))
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data
    return offset, data


async def _work(directory: Path, seed: int) -> None:
    choose = random.Random(seed)
    content = bytearray()
    async with open_pool(directory, owner="worker") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"file", 0o644, 0, 0)
        await _write(volume, inode, content, choose)


async def _write(volume: Volume, inode: Inode, content: bytearray, choose: random.Random) -> None:
    for step in range(1_000_000):
        offset, data = change(content, choose)
        await volume.write(inode, offset, data)
        if step % 5 == 0:
            await volume.capture(inode, 0, LEAF_BYTES)
        if step % 3 == 0:
            await volume.sync()
            print(step, flush=True)


if __name__ == "__main__":
    trio.run(_work, Path(sys.argv[1]), int(sys.argv[2]))
