"""A disk that is written at random for long: does it keep its speed, and how does it read afterwards?"""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import trio
from child import in_child, peak_mib
from engine import BLOCK_BYTES, MEBIBYTE, TURN_WRITES
from rows import Row, Settings

from odxfs.volume import Inode, Volume, create_pool, open_pool

FILE_BYTES = 8 * 1024**3
PARTS = 8
"""The time is reported in so many parts."""
PART_SECONDS = 20.0
"""Of one part: writes turn the whole file over about twice in all."""

FRESH = "1 MiB sequential read of the fresh disk"
PART = "4 KiB random write, part {} of " + str(PARTS)
PART_CPU = "processor time of a write, part {} of " + str(PARTS)
"""Without what the disk below adds: at 150 MB/s of random writes that is most of the rate's ups and downs."""
AGED = "1 MiB sequential read afterwards"
PEAK = "peak of resident memory in all of that"
ON_DISK = "pool on the disk as a multiple of the file"
LABELS = (
    FRESH,
    *(PART.format(part) for part in range(1, PARTS + 1)),
    *(PART_CPU.format(part) for part in (1, PARTS)),
    AGED,
    PEAK,
    ON_DISK,
)


def measure(settings: Settings) -> Iterator[Row]:
    """One run; its parts are the rounds."""
    numbers = in_child(_measure, settings.work)
    units = {FRESH: "MB/s", AGED: "MB/s", PEAK: "MiB", ON_DISK: ""}
    units |= {label: "us" for label in LABELS if label.startswith("processor")}
    for label in LABELS:
        if settings.wanted(label):
            lower = units.get(label) in ("MiB", "us", "")
            yield Row(label, units.get(label, "ops/s"), numbers[label], higher_is_better=not lower)


async def _measure(work: Path) -> dict[str, float]:
    numbers: dict[str, float] = {}
    create_pool(work / "pool")
    async with open_pool(work / "pool", owner="bench") as pool:
        volume = pool.volume("main", "bench")
        file = await volume.create(volume.root, b"disk", 0o644, 0, 0)
        data = os.urandom(MEBIBYTE)
        for offset in range(0, FILE_BYTES, MEBIBYTE):
            await volume.write(file, offset, data)
        await volume.sync()
        numbers[FRESH] = await _read_all(volume, file)
        for part in range(1, PARTS + 1):
            numbers[PART.format(part)], numbers[PART_CPU.format(part)] = await _write_at_random(
                volume, file, part
            )
        await volume.sync()
        numbers[AGED] = await _read_all(volume, file)
        segments = (work / "pool" / "segments").iterdir()
        numbers[ON_DISK] = sum(segment.stat().st_blocks * 512 for segment in segments) / FILE_BYTES
    numbers[PEAK] = peak_mib()
    return numbers


async def _write_at_random(volume: Volume, file: Inode, seed: int) -> tuple[float, float]:
    """Writes a second, and microseconds of this thread for each."""
    choice, block = random.Random(seed), os.urandom(BLOCK_BYTES)
    done, begin, spent = 0, time.perf_counter(), time.thread_time()
    while time.perf_counter() < begin + PART_SECONDS:
        for _ in range(TURN_WRITES):
            offset = choice.randrange(FILE_BYTES // BLOCK_BYTES) * BLOCK_BYTES
            if not volume.write_nowait(file, offset, block):
                await volume.write(file, offset, block)
        done += TURN_WRITES
        await trio.lowlevel.checkpoint()
    return done / (time.perf_counter() - begin), (time.thread_time() - spent) / done * 1e6


async def _read_all(volume: Volume, file: Inode) -> float:
    """MB/s; the pages are cached as far as the host's memory goes."""
    begin = time.perf_counter()
    for offset in range(0, FILE_BYTES, MEBIBYTE):
        await volume.read(file, offset, MEBIBYTE)
    return FILE_BYTES / (time.perf_counter() - begin) / 1e6
