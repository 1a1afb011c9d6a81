"""One owner of a pool on a recording disk, in this process or in one of its own that is killed at the end."""

import os
import pickle
import signal
import sys
from pathlib import Path

import trio

from odxfs.volume import open_pool
from tests.crash.disk.recording import RecordingDisk
from tests.crash.workload import Workload


async def one_life(
    disk: RecordingDisk, directory: Path, work: Workload, steps: int, *, is_killed: bool = False
) -> None:
    """Own the pool for so many steps, with a mark on the disk whenever it is known what a crash may leave."""

    def mark() -> None:
        disk.mark(f"{work.acknowledged} {len(work.states)}")

    mark()
    async with open_pool(directory, owner="worker") as pool:
        await work.begin(pool, mark)
        await work.run(steps)
        if is_killed:
            sys.stdout.buffer.write(pickle.dumps(work))
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        assert await pool.check(read_data=True) == []
        await work.assert_same()
    work.acknowledged = len(work.states) - 1
    mark()


def main() -> None:
    """Arguments: the disk, the pool's directory, how many steps. The workload comes as a pickle, and goes before the end."""
    disk, directory, steps = RecordingDisk(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
    work: Workload = pickle.loads(sys.stdin.buffer.read())
    trio.run(lambda: one_life(disk, directory, work, steps, is_killed=True))


if __name__ == "__main__":
    main()
