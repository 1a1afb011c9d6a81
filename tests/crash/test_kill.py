"""kill -9 under load: the next owner needs no repair, and finds everything that was acknowledged.

ODXFS_LONG=1 kills many more times.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from odxfs.volume import create_pool, open_pool
from tests.crash.soundness import assert_sound
from tests.crash.workload import Workload
from tests.volume.model.tree import Frozen

SEEDS = range(300) if os.environ.get("ODXFS_LONG") else range(4)
STEPS = 300


def killed_under_load(directory: Path, seed: int, acknowledgements: int) -> int:
    """Run the worker until it has said so many times how far it is, kill it; returns what it has said last."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.worker", str(directory), str(seed), str(STEPS)],
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


async def rehearsed(directory: Path, seed: int) -> list[Frozen]:
    """Every state that the worker goes through: what it does follows from the seed alone."""
    create_pool(directory)
    work = Workload(seed)
    async with open_pool(directory, owner="rehearsal") as pool:
        await work.begin(pool)
        await work.run(STEPS)
    return work.states


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_was_acknowledged_survives(tmp_path: Path, states: Path, seed: int) -> None:
    possible = await rehearsed(states / "rehearsal", seed)
    directory = tmp_path / "pool"
    create_pool(directory)
    acknowledged = killed_under_load(directory, seed, random.Random(seed).randrange(10, STEPS))
    await assert_sound(directory, possible[acknowledged:])
