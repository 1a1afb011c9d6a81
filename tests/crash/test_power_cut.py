"""The power goes at every point; what was acknowledged as durable must be there, and everything sound.

See disk/states.py for what is assumed of the disk. ODXFS_LONG=1 runs many more workloads and looks at many more states.
"""

import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from odxfs.errors import UserError
from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import create_pool, open_pool
from odxfs.volume.directory import PoolDirectory
from odxfs.volume.leaf import MAX_RUNS
from tests.crash.disk.log import Mark, Record
from tests.crash.disk.recording import RecordingDisk
from tests.crash.disk.states import Crash, Image, crashes
from tests.crash.life import one_life
from tests.crash.soundness import assert_sound
from tests.crash.workload import Workload
from tests.volume.model.tree import Frozen

LONG = bool(os.environ.get("ODXFS_LONG"))
SEEDS = range(40) if LONG else range(3)
STEPS = 80 if LONG else 50
STATES_OF_ONE_CRASH = 8 if LONG else 3


class Recorded(NamedTuple):
    """What was done to a disk, and every state that the pool on it went through."""

    root: int
    """The number of the directory that the pool was made in."""
    log: list[Record]
    states: list[Frozen]

    def possible(self, crash: Crash) -> list[Frozen]:
        """The states that a crash may leave: from the last one acknowledged before it to the last one begun by then."""
        notes = [record.note for record in self.log if isinstance(record, Mark)]
        before, after = notes[: len(crash.notes)], notes[len(crash.notes) :]
        first = int(before[-1].split()[0]) if before else 0
        stop = int(after[0].split()[1]) if after else len(self.states)
        return self.states[first:stop]


async def record(disk: RecordingDisk, seed: int) -> Recorded:
    """Three owners of one pool, of whom one is killed."""
    base = disk.start()
    directory = base / "pool"
    create_pool(directory)
    work = Workload(seed)
    for life in range(3):
        if life == seed % 3:
            work = killed_after(disk, directory, work, STEPS if seed % 2 else 6)
        else:
            await one_life(disk, directory, work, STEPS)
    return Recorded(base.stat().st_ino, disk.log(), work.states)


def killed_after(disk: RecordingDisk, directory: Path, work: Workload, steps: int) -> Workload:
    """Have another process go on with the workload and kill it after so many steps; returns what has become of it."""
    command = [sys.executable, "-m", "tests.crash.life", str(disk.path), str(directory), str(steps)]
    ended = subprocess.run(command, input=pickle.dumps(work), stdout=subprocess.PIPE, check=False)
    assert ended.returncode == -signal.SIGKILL
    found: Workload = pickle.loads(ended.stdout)
    return found


async def look_at(image: Image, place: Path, recorded: Recorded, crash: Crash) -> None:
    """One state: a sound pool, or, before the first owner has come, what never became one."""
    image.write_out(recorded.root, place)
    try:
        PoolDirectory(place / "pool").read_identity()
    except UserError:
        if crash.notes:
            raise
        return  # mkfs had not come to its end
    await assert_sound(place / "pool", recorded.possible(crash))


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_power_cut_at_any_moment(disk: RecordingDisk, states: Path, seed: int) -> None:
    recorded, choose = await record(disk, seed), random.Random(seed)
    looked_at = 0
    for number, crash in enumerate(crashes(recorded.log, choose)):
        for what, image in crash.states(choose, STATES_OF_ONE_CRASH):
            place = states / "state"
            try:
                await look_at(image, place, recorded, crash)
            except BaseException as error:
                error.add_note(f"seed {seed}, crash {number}, {what}")
                raise
            shutil.rmtree(place)
            looked_at += 1
    assert looked_at > 100


async def test_a_cut_with_tokens_and_open_files_leaves_no_debt(disk: RecordingDisk, states: Path) -> None:
    base = disk.start()
    create_pool(base / "pool")
    async with open_pool(base / "pool", owner="life") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"a", 0o644, 0, 0)
        volume.hold(inode)
        await volume.write(inode, 0, b"x" * (2 * LEAF_BYTES))
        await volume.capture(inode, 0, 2 * LEAF_BYTES)
        await volume.write(inode, 4096, b"y" * 4096)
        await volume.unlink(volume.root, b"a")
        await volume.sync()
        *_, last = crashes(disk.log(), random.Random(1))
    last.durable.write_out(base.stat().st_ino, states / "cut")
    await assert_sound(states / "cut" / "pool", [{}])
    async with open_pool(states / "cut" / "pool", owner="again") as pool:
        volume = pool.volume("main")
        await volume.unlink(volume.root, b"fresh0")
        await volume.sync()
        assert pool.statistics().allocated_bytes == 0


async def test_blocks_that_were_overwritten_one_by_one_and_synced_are_on_the_disk(
    disk: RecordingDisk, states: Path
) -> None:
    base, overwritten = disk.start(), range(0, 2 * MAX_RUNS, 10)
    create_pool(base / "pool")
    async with open_pool(base / "pool", owner="life") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"disk", 0o644, 0, 0)
        for block in range(0, 4 * MAX_RUNS, 2):  # each a piece of its own
            await volume.write(inode, block * BLOCK_BYTES, b"x" * BLOCK_BYTES)
        await volume.sync()
        for block in overwritten:
            await volume.write(inode, block * BLOCK_BYTES, b"y" * BLOCK_BYTES)
        await volume.sync()
        *_, last = crashes(disk.log(), random.Random(1))
    last.durable.write_out(base.stat().st_ino, states / "cut")
    async with open_pool(states / "cut" / "pool", owner="again") as pool:
        volume = pool.volume("main")
        inode = await volume.lookup(volume.root, b"disk")
        for block in overwritten:
            assert await volume.read(inode, block * BLOCK_BYTES, BLOCK_BYTES) == b"y" * BLOCK_BYTES
        assert await pool.check(read_data=True) == []


async def test_segments_that_no_commit_names_are_made_anew(tmp_path: Path) -> None:
    """One that was made by somebody who never came to sync it looks like any other."""
    create_pool(tmp_path / "pool")
    segments = tmp_path / "pool" / "segments"
    async with open_pool(tmp_path / "pool", owner="life") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"a", 0o644, 0, 0)
        await volume.write(inode, 0, b"x")
        await volume.sync()
        pool.segments.create_next()
        pool.segments.create_next()
        assert len(list(segments.iterdir())) == 3
    async with open_pool(tmp_path / "pool", owner="next") as pool:
        assert [path.name for path in segments.iterdir()] == ["00000000"]
        assert await pool.check() == []
