"""Each operation on the disk fails in turn: that one call fails, or the pool latches read-only; nothing is ever wrong or lost.

ODXFS_LONG=1 fails every operation of many workloads; without it some of one.
"""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from odxfs.errors import UserError, VolumeError
from odxfs.volume import create_pool, open_pool
from tests.crash.disk.log import Failure, Fault, ReadFailure
from tests.crash.disk.recording import RecordingDisk
from tests.crash.disk.states import crashes
from tests.crash.soundness import assert_sound
from tests.crash.workload import Workload

LONG = bool(os.environ.get("ODXFS_LONG"))
SEEDS = range(20) if LONG else range(1)
STEPS = 40 if LONG else 30
SAMPLE = None if LONG else int(os.environ.get("SAMPLE", "20"))
"""Indices at which a fault is tried out; None is all."""

ANNOUNCED = (
    "the pool is read-only",
    "the disk is full",
    "disk space cannot be given back",
    "has to wait until the pool is opened again",
    "cannot be given back yet",
)


class Attempt:
    """One life of a pool during which something fails."""

    def __init__(self, disk: RecordingDisk, seed: int, *, reads_through: bool = False) -> None:
        self.disk = disk
        self.base = disk.start(reads_through=reads_through)
        self.directory = self.base / "pool"
        create_pool(self.directory)
        self.work = Workload(seed)
        self.work.may_fail = reads_through

    async def live(self, failure: Failure | ReadFailure | None) -> tuple[int, int]:
        """Open, work, close, whatever fails. Returns how many operations changed the disk and how many read."""
        self.disk.fail(failure)
        try:
            async with open_pool(self.directory, owner="life") as pool:
                await self.work.begin(pool)
                await self.work.run(STEPS)
                if self.work.may_fail:
                    self.disk.fail(None)
                await self.work.assert_same()
                assert await pool.check() == []
        except (VolumeError, UserError):
            assert failure is not None
        counts = self.disk.changes, self.disk.reads
        self.disk.fail(None)
        return counts

    async def assert_nothing_lost(self, states: Path, choose: random.Random) -> None:
        """The next owner finds a sound pool with all that was acknowledged, with the power gone in between or not.

        Where it stayed on, what that owner is told is durable stays when it goes then: a failed sync of before has left pages
        that look written and are not.
        """
        *_, last = crashes(self.disk.log(), choose)
        for number, (_, image) in enumerate(last.states(choose, 2)):
            if number < 4:
                image.write_out(self.base.stat().st_ino, states / f"state-{number}")
                await assert_sound(states / f"state-{number}" / "pool", self.work.possible)
        left = await assert_sound(self.directory, self.work.possible)
        *_, last = crashes(self.disk.log(), choose)
        last.durable.write_out(self.base.stat().st_ino, states / "after that")
        await assert_sound(states / "after that" / "pool", [left])


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.FULL], ids=lambda fault: fault.value)
async def test_a_pool_that_cannot_be_made_leaves_nothing_in_the_way(
    disk: RecordingDisk, fault: Fault
) -> None:
    """Whatever fails, mkfs says so in one line, and can be tried again in the same place."""
    create_pool(disk.start() / "pool")
    changes = disk.changes
    for at in range(1, changes + 1, 1 if LONG else 7):
        directory = disk.start() / "pool"
        disk.fail(Failure(at, fault))
        try:
            create_pool(directory)
        except UserError:
            disk.fail(None)
            create_pool(directory)
        disk.fail(None)
        await assert_sound(directory, [{}])


def indices(count: int, choose: random.Random) -> list[int]:
    """Which operations are to fail."""
    every = range(1, count + 1)
    return list(every) if SAMPLE is None else sorted(choose.sample(every, min(SAMPLE, count)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.value)
async def test_a_change_of_the_disk_that_fails(
    disk: RecordingDisk,
    states: Path,
    expect_log: Callable[[str], None],
    fault: Fault,
    lasting: bool,
    seed: int,
) -> None:
    for part in ANNOUNCED:
        expect_log(part)
    choose = random.Random(seed)
    changes, _ = await Attempt(disk, seed).live(None)
    for at in indices(changes, choose):
        attempt, place = Attempt(disk, seed), states / f"{at}"
        place.mkdir()
        failure = Failure(at, fault, lasting)
        try:
            await attempt.live(failure)
            await attempt.assert_nothing_lost(place, choose)
        except BaseException as error:
            error.add_note(f"seed {seed}, {failure}")
            raise
        shutil.rmtree(place)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_read_that_fails(
    disk: RecordingDisk, states: Path, expect_log: Callable[[str], None], seed: int
) -> None:
    for part in ANNOUNCED:
        expect_log(part)
    choose = random.Random(seed)
    _, reads = await Attempt(disk, seed, reads_through=True).live(None)
    for at in indices(reads, choose):
        attempt, place = Attempt(disk, seed, reads_through=True), states / f"{at}"
        place.mkdir()
        try:
            await attempt.live(ReadFailure(at))
            await attempt.assert_nothing_lost(place, choose)
        except BaseException as error:
            error.add_note(f"seed {seed}, read {at}")
            raise
        shutil.rmtree(place)
