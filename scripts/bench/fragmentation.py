"""What writing in small pieces does to a disk's leaves and to reading it, and what re-packing makes of it."""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import trio
from child import in_child
from engine import BLOCK_BYTES, MEBIBYTE, TURN_WRITES
from rows import Row, Settings

from odxfs.types import BLOCKS_PER_LEAF
from odxfs.volume import Inode, Pool, Volume, create_pool, open_pool
from odxfs.volume.allocation.repack import QUIET_NS

FILE_BYTES = 256 * MEBIBYTE
BLOCKS = FILE_BYTES // BLOCK_BYTES
TIMES = 4
"""Writes of each block, on average."""

PATTERNS = ("at random", "by 16 streams in turns")
STATES = (f"written {TIMES} times", "re-packed")
_KINDS = {
    "pieces in a leaf": ("", False),
    "1 MiB sequential read, not cached": ("MB/s", True),
    "1 MiB sequential read, cached": ("MB/s", True),
}
LABELS = tuple(f"{kind}, {state} {pattern}" for pattern in PATTERNS for state in STATES for kind in _KINDS)


def measure(settings: Settings) -> Iterator[Row]:
    """One run a pattern."""
    for pattern in PATTERNS:
        wanted = [label for label in LABELS if label.endswith(pattern) and settings.wanted(label)]
        if wanted:
            numbers = in_child(_measure, settings.work / pattern.replace(" ", "-"), pattern)
            for label in wanted:
                unit, higher = next(kind for name, kind in _KINDS.items() if label.startswith(name + ", "))
                yield Row(label, unit, numbers[label], higher_is_better=higher)


async def _measure(directory: Path, pattern: str) -> dict[str, float]:
    numbers: dict[str, float] = {}
    create_pool(directory)
    async with open_pool(directory, owner="bench") as pool:
        volume = pool.volume("main", "bench")
        file = await volume.create(volume.root, b"disk", 0o644, 0, 0)
        for offset in range(0, FILE_BYTES, MEBIBYTE):
            await volume.write(file, offset, os.urandom(MEBIBYTE))
        await _write(volume, file, _blocks(pattern))
        numbers |= await _look(volume, file, f"{STATES[0]} {pattern}")
        await _repack(pool)
        numbers |= await _look(volume, file, f"{STATES[1]} {pattern}")
    return numbers


def _blocks(pattern: str) -> Iterator[int]:
    """Which block is written next."""
    choice = random.Random(1)
    if pattern == PATTERNS[0]:
        while True:
            yield choice.randrange(BLOCKS)
    ends = [choice.randrange(BLOCKS) for _ in range(16)]
    while True:
        stream = choice.randrange(16)
        goes_on = choice.random() < 0.99
        ends[stream] = (ends[stream] + 1) % BLOCKS if goes_on else choice.randrange(BLOCKS)
        yield ends[stream]


async def _write(volume: Volume, file: Inode, blocks: Iterator[int]) -> None:
    data = os.urandom(BLOCK_BYTES)
    for _ in range(TIMES * BLOCKS // TURN_WRITES):
        for _ in range(TURN_WRITES):
            offset = next(blocks) * BLOCK_BYTES
            if not volume.write_nowait(file, offset, data):
                await volume.write(file, offset, data)
        await trio.lowlevel.checkpoint()


async def _repack(pool: Pool) -> None:
    """As if a minute had passed without a write."""
    repacker, now = pool.repacker, pool.clock()
    rounds, before = repacker.survey.rounds, -1
    while repacker.survey.rounds < rounds + 2:
        await repacker.note_fragmented(now)
    while repacker.leaves != before:
        before = repacker.leaves
        await repacker.turn(now + 2 * QUIET_NS)


async def _look(volume: Volume, file: Inode, state: str) -> dict[str, float]:
    await volume.sync()
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
    windows = volume.pool.windows
    extents = await windows.load_extents(file, 0, (FILE_BYTES - 1) // (BLOCKS_PER_LEAF * BLOCK_BYTES))
    leaves = [await windows.leaves.load(reference) for reference in extents.windows.values()]
    pieces = sum(len(leaf.pieces(0, BLOCKS_PER_LEAF)) for leaf in leaves) / len(leaves)
    values = (pieces, await _read_all(volume, file), await _read_all(volume, file))
    return {f"{kind}, {state}": value for kind, value in zip(_KINDS, values, strict=True)}


async def _read_all(volume: Volume, file: Inode) -> float:
    begin = time.perf_counter()
    for offset in range(0, FILE_BYTES, MEBIBYTE):
        await volume.read(file, offset, MEBIBYTE)
    return FILE_BYTES / (time.perf_counter() - begin) / 1e6
