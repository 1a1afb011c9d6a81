"""kill -9 under load: the next owner needs no repair, and finds everything that was acknowledged."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from odxfs.volume import check_directory, create_pool, open_pool
from tests.crash.worker import change


def killed_under_load(directory: Path, seed: int, acknowledgements: int) -> int:
    """Run the worker until it has acknowledged so often, kill it; returns the last step that it acknowledged."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.worker", str(directory), str(seed)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    lines = [worker.stdout.readline() for _ in range(acknowledgements)]
    worker.kill()
    lines += worker.stdout.readlines()
    worker.wait()
    worker.stdout.close()
    whole = [line for line in lines if line.endswith("\n")]
    assert len(whole) >= acknowledgements
    return int(whole[-1])


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_what_was_acknowledged_survives(tmp_path: Path, seed: int) -> None:
    directory = tmp_path / "pool"
    create_pool(directory)
    acknowledged = killed_under_load(directory, seed, 3 + 11 * seed)
    assert await check_directory(directory, read_data=True) == []
    choose, content, possible = random.Random(seed), bytearray(), []
    for step in range(acknowledged + 100):
        change(content, choose)
        if step >= acknowledged:
            possible.append(bytes(content))
    async with open_pool(directory, owner="next") as pool:
        assert await pool.check(read_data=True) == []
        volume = pool.volume("main")
        inode = await volume.lookup(volume.root, b"file")
        assert bytes(await volume.read(inode, 0, inode.size)) in possible
        await pool.commit()
        assert pool.statistics().pins == 0
        assert pool.statistics().allocated_bytes == inode.allocated_bytes
        assert await pool.check() == []
