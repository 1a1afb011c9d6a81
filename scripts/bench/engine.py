"""The volume without any front end, driven by one thread as a front end would drive it."""

import os
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import trio
from child import in_child, peak_mib
from rows import Row, Settings, median_row

from odxfs.volume import Inode, Volume, create_pool, open_pool

FILE_BYTES = 1024**3
MEBIBYTE = 1024**2
BLOCK_BYTES = 4096
BURST_WRITES = 20_000
"""Writes between two syncs that are not timed: 80 MiB, below the bound that calls for a commit."""
TURN_WRITES = 64
"""Writes after which other tasks, the committer among them, get their turn."""

OVERWRITE = "4 KiB random overwrite of 1 GiB, not counting sync"
SUSTAINED = "4 KiB random overwrite, commits in the background"
PINNED = "4 KiB random overwrite, the first one after a pin of the file"
READ = "4 KiB random read, pages cached"
DURABLE_64 = "4 KiB random write and sync, 64 in flight"
DURABLE_1 = "4 KiB random write and sync, 1 in flight"
FIRST_WRITE = "1 MiB sequential write, new disk space"
REWRITE = "1 MiB sequential write over freed blocks"
BULK_READ = "1 MiB sequential read, pages cached"
CAPTURE = "capture and write_pin of 8 MiB"
PEAK = "peak of resident memory in all of that"

GOALS = {OVERWRITE: 20_000.0, DURABLE_64: 10_000.0, REWRITE: 1_000.0, CAPTURE: 100.0}
UNITS = {FIRST_WRITE: "MB/s", REWRITE: "MB/s", BULK_READ: "MB/s", CAPTURE: "us", PEAK: "MiB"}
LABELS = (
    FIRST_WRITE,
    REWRITE,
    BULK_READ,
    OVERWRITE,
    SUSTAINED,
    PINNED,
    READ,
    DURABLE_1,
    DURABLE_64,
    CAPTURE,
    PEAK,
)


def measure(settings: Settings) -> Iterator[Row]:
    """Each label's median; every round runs all of them on one file in turn."""
    wanted = frozenset(label for label in LABELS if settings.wanted(label))
    samples = in_child(_measure, settings.work, wanted, settings.rounds, settings.seconds)
    for label in LABELS:
        if label in samples:
            yield median_row(
                label,
                UNITS.get(label, "ops/s"),
                {"odxfs": samples[label]},
                higher_is_better=label not in (CAPTURE, PEAK),
                goal=GOALS.get(label),
            )


async def _measure(work: Path, wanted: frozenset[str], rounds: int, seconds: float) -> dict[str, list[float]]:
    samples: defaultdict[str, list[float]] = defaultdict(list)
    create_pool(work / "pool")
    async with open_pool(work / "pool", owner="bench") as pool:
        disk = Disk(pool.volume("main", "bench"), seconds)
        loads: dict[str, Callable[[], Awaitable[float]]] = {
            FIRST_WRITE: disk.first_write,
            REWRITE: disk.rewrite,
            BULK_READ: disk.bulk_read,
            OVERWRITE: disk.overwrite,
            SUSTAINED: disk.sustained,
            PINNED: disk.overwrite_pinned,
            READ: disk.read,
            DURABLE_1: lambda: disk.durable(1),
            DURABLE_64: lambda: disk.durable(64),
            CAPTURE: disk.capture,
        }
        await disk.first_write()
        for _ in range(rounds):
            for label, load in loads.items():
                if label in wanted:
                    await disk.settle()
                    samples[label].append(await load())
    if PEAK in wanted:
        samples[PEAK].append(peak_mib())
    return samples


class Disk:
    """One file of 1 GiB under load."""

    def __init__(self, volume: Volume, seconds: float) -> None:
        self._volume = volume
        self._seconds = seconds
        self._file: Inode | None = None
        self._files = 0
        self._choice = random.Random(7)
        self._block = self._choice.randbytes(BLOCK_BYTES)
        self._mebibyte = self._choice.randbytes(MEBIBYTE)

    @property
    def file(self) -> Inode:
        assert self._file is not None
        return self._file

    async def settle(self) -> None:
        """Have everything on the disk, so that no load pays for the one before it."""
        await self._volume.sync()
        await trio.to_thread.run_sync(os.sync)

    async def first_write(self) -> float:
        """A new file in address space that has no pages yet; it becomes the file under load."""
        self._files += 1
        old, name = self._file, b"disk%d" % self._files
        self._file = await self._volume.create(self._volume.root, name, 0o644, 0, 0)
        rate = await self.rewrite()
        if old is not None:
            await self._volume.unlink(self._volume.root, b"disk%d" % (self._files - 1))
        return rate

    async def rewrite(self) -> float:
        """MB/s of writing the whole file once more in order."""
        begin = time.perf_counter()
        for offset in range(0, FILE_BYTES, MEBIBYTE):
            await self._volume.write(self.file, offset, self._mebibyte)
        return FILE_BYTES / (time.perf_counter() - begin) / 1e6

    async def bulk_read(self) -> float:
        """MB/s of reading the whole file in order."""
        begin = time.perf_counter()
        for offset in range(0, FILE_BYTES, MEBIBYTE):
            await self._volume.read(self.file, offset, MEBIBYTE)
        return FILE_BYTES / (time.perf_counter() - begin) / 1e6

    async def overwrite(self) -> float:
        """Writes a second of one burst that no commit interrupts."""
        offsets = self._offsets(BURST_WRITES)
        begin = time.perf_counter()
        for offset in offsets:
            await self._write(offset)
        return len(offsets) / (time.perf_counter() - begin)

    async def sustained(self) -> float:
        """Writes a second while the pool commits whenever it likes."""
        done, begin = 0, time.perf_counter()
        while time.perf_counter() < begin + self._seconds:
            for offset in self._offsets(TURN_WRITES):
                await self._write(offset)
            done += TURN_WRITES
            await trio.lowlevel.checkpoint()
        return done / (time.perf_counter() - begin)

    async def overwrite_pinned(self) -> float:
        """As `overwrite`, with every leaf shared at the start."""
        pin = await self._volume.capture(self.file, 0, FILE_BYTES)
        try:
            return await self.overwrite()
        finally:
            self._volume.pool.release_pin(pin)

    async def read(self) -> float:
        """Reads a second."""
        offsets = self._offsets(BURST_WRITES)
        begin = time.perf_counter()
        for offset in offsets:
            if self._volume.read_nowait(self.file, offset, BLOCK_BYTES) is None:
                await self._volume.read(self.file, offset, BLOCK_BYTES)
        return len(offsets) / (time.perf_counter() - begin)

    async def durable(self, tasks: int) -> float:
        """Writes a second when each of so many tasks syncs after each of its writes."""
        begin = time.perf_counter()
        done = 0

        async def keep_writing() -> None:
            nonlocal done
            while time.perf_counter() < begin + self._seconds:
                await self._write(*self._offsets(1))
                await self._volume.sync(self.file)
                done += 1

        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(keep_writing)
        return done / (time.perf_counter() - begin)

    async def capture(self) -> float:
        """Microseconds for both halves of a token copy of 8 MiB, without the commit."""
        target = await self._volume.create(self._volume.root, b"target", 0o644, 0, 0)
        turns, length = FILE_BYTES // (8 * MEBIBYTE), 8 * MEBIBYTE
        begin = time.perf_counter()
        for offset in range(0, FILE_BYTES, length):
            pin = await self._volume.capture(self.file, offset, length)
            await self._volume.write_pin(target, offset, pin, 0, length)
            self._volume.pool.release_pin(pin)
        elapsed = time.perf_counter() - begin
        await self._volume.unlink(self._volume.root, b"target")
        return elapsed / turns * 1e6

    async def _write(self, offset: int) -> None:
        if not self._volume.write_nowait(self.file, offset, self._block):
            await self._volume.write(self.file, offset, self._block)

    def _offsets(self, count: int) -> list[int]:
        blocks = FILE_BYTES // BLOCK_BYTES
        return [self._choice.randrange(blocks) * BLOCK_BYTES for _ in range(count)]
