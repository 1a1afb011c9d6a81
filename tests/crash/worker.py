"""A process that works on a pool until it is killed; it prints what it was told is durable."""

import sys
from pathlib import Path

import trio

from odxfs.volume import open_pool
from tests.crash.workload import Workload


async def _work(directory: Path, seed: int, steps: int) -> None:
    work = Workload(seed)

    def tell() -> None:
        print(work.acknowledged, flush=True)

    async with open_pool(directory, owner="worker") as pool:
        await work.begin(pool, tell)
        await work.run(steps)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(_work, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
