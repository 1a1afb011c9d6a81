"""One file of 1 TB in which no two neighbouring blocks lie beside each other.

The disk for 1 TB of blocks is not asked for, only for its map: 131,072 dense leaves of 24 KiB. A first window of 2048 blocks
is put together in an order that joins no neighbours, clones of it double the file until it is 1 TB long, and one write into
each window makes each leaf the window's own. So every leaf is different, names 2047 blocks that others name too and one of its
own, and has to be paged in like the leaf of any disk that was written at random.
"""

import os
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from child import Report, forget_peak, in_child, killed_after_report, peak_mib
from rows import Row, Settings

from odxfs.volume import Inode, Volume, check_directory, create_pool, open_pool

BLOCK_BYTES = 4096
LEAF_BYTES = 8 * 1024**2
BLOCKS = LEAF_BYTES // BLOCK_BYTES
WINDOWS = int(os.environ.get("BENCH_WINDOWS", "131072"))
"""8 MiB each: 1 TiB; a smaller number tries the benchmark itself."""
STEP = 389
"""Odd, so that block -> block * STEP goes through all 2048; far from 1, so that neighbours part."""
READS = 2_000

BUILD = "build: peak of resident memory"
BUILD_SECONDS = "build: time"
CATALOG = "catalog"
OPEN = "open after a good end, until the first read is answered"
COLD_CAPTURE = "capture of 8 MiB, nothing of it cached"
COLD_CAPTURE_WORST = "the same, worst of 50"
UNALIGNED_CAPTURE = "capture of 8 MiB across two leaves, not cached"
WARM_CAPTURE = "capture of 8 MiB, again"
CAPTURE_256 = "capture of 256 MiB"
SHARE = "write_pin of 8 MiB"
COLD_READ = "4 KiB random read, all of the file"
COLD_WRITE = "4 KiB random write, all of the file"
CLONE = "clone of the whole file and its commit"
USE = "use: peak of resident memory"
REMOUNT = "open after kill -9 under load, until the first read is answered"
REMOUNT_MEMORY = "the same: resident memory"
DELETE = "delete the clone, until its leaves are given back"
CHECK = "fsck: time"
CHECK_MEMORY = "fsck: peak of resident memory"
FINDINGS = "fsck: findings"

GOALS = {BUILD: 600.0, USE: 600.0, REMOUNT_MEMORY: 600.0, REMOUNT: 3.0, FINDINGS: 0.0}
GOALS |= dict.fromkeys((COLD_CAPTURE, UNALIGNED_CAPTURE, WARM_CAPTURE, CAPTURE_256), 1000.0)
UNITS = {
    **dict.fromkeys((BUILD, CATALOG, USE, REMOUNT_MEMORY, CHECK_MEMORY), "MiB"),
    **dict.fromkeys((BUILD_SECONDS, OPEN, CLONE, REMOUNT, DELETE, CHECK), "s"),
    **dict.fromkeys((COLD_CAPTURE, COLD_CAPTURE_WORST, UNALIGNED_CAPTURE, WARM_CAPTURE, CAPTURE_256, SHARE), "us"),
    **dict.fromkeys((COLD_READ, COLD_WRITE), "ops/s"),
    FINDINGS: "",
}  # fmt: skip
LABELS = (
    BUILD_SECONDS, BUILD, CATALOG, OPEN, COLD_CAPTURE, COLD_CAPTURE_WORST, UNALIGNED_CAPTURE, WARM_CAPTURE, CAPTURE_256,
    SHARE, COLD_READ, COLD_WRITE, CLONE, USE, REMOUNT, REMOUNT_MEMORY, DELETE, CHECK, CHECK_MEMORY, FINDINGS,
)  # fmt: skip


def measure(settings: Settings) -> Iterator[Row]:
    """One run of the life of the file: built, used, killed, opened again, checked; each part in a process of its own."""
    pool = settings.work / "pool"
    phases: tuple[Callable[[], dict[str, float]], ...] = (
        lambda: in_child(_build, pool),
        lambda: killed_after_report(_use, pool),
        lambda: in_child(_open_again, pool),
        lambda: in_child(_check, pool),
    )
    for phase in phases:
        for label, number in phase().items():
            if settings.wanted(label):
                higher = UNITS[label] == "ops/s"
                yield Row(label, UNITS[label], number, higher_is_better=higher, goal=GOALS.get(label))


async def _build(pool_directory: Path) -> dict[str, float]:
    begin = time.perf_counter()
    create_pool(pool_directory)
    async with _volume(pool_directory) as volume:
        file = await volume.create(volume.root, b"disk", 0o644, 0, 0)
        await build_windows(volume, file, WINDOWS)
    peak = peak_mib()
    return {
        BUILD_SECONDS: time.perf_counter() - begin,
        BUILD: peak,
        CATALOG: sum(path.stat().st_size for path in pool_directory.glob("catalog.db*")) / 1024**2,
    }


async def build_windows(volume: Volume, file: Inode, windows: int) -> None:
    """Give an empty file so many windows, each with a leaf of its own in which no neighbours lie beside each other."""
    await _build_first_window(volume, file)
    done = 1
    while done < windows:
        more = min(done, windows - done)
        await volume.clone_range(file, 0, file, done * LEAF_BYTES, more * LEAF_BYTES)
        done += more
    for window in range(windows):
        await volume.write(file, window * LEAF_BYTES + _own_block(window) * BLOCK_BYTES, _own_bytes(window))


async def _build_first_window(volume: Volume, file: Inode) -> None:
    """Block b of the window is block b * STEP of a file that was written in order; cut up whatever the allocator does."""
    ordered = await volume.create(volume.root, b"ordered", 0o644, 0, 0)
    await volume.write(ordered, 0, b"".join(_shared_bytes(block) for block in range(BLOCKS)))
    for block in range(BLOCKS):
        source = block * STEP % BLOCKS * BLOCK_BYTES
        await volume.clone_range(ordered, source, file, block * BLOCK_BYTES, BLOCK_BYTES)


async def _use(report: Report, pool_directory: Path) -> None:
    begin = time.perf_counter()
    async with _volume(pool_directory) as volume:
        file = await _file(volume)
        await _check_block(volume, file, WINDOWS // 3)
        numbers = {OPEN: time.perf_counter() - begin}
        choice = random.Random(3)
        numbers |= await _captures(volume, file, choice)
        numbers[COLD_READ] = await _reads(volume, file, choice)
        numbers[COLD_WRITE] = await _writes(volume, file, choice)
        begin = time.perf_counter()
        clone = await volume.create(volume.root, b"clone", 0o644, 0, 0)
        await volume.clone_range(file, 0, clone, 0, WINDOWS * LEAF_BYTES)
        await volume.sync()
        numbers[CLONE] = time.perf_counter() - begin
        numbers[COLD_WRITE] = min(numbers[COLD_WRITE], await _writes(volume, file, choice))
        numbers[USE] = peak_mib()
        # A pin of everything and writes under way are what a kill may leave at worst.
        await volume.capture(file, 0, WINDOWS * LEAF_BYTES)
        await volume.sync()
        with trio.move_on_after(60):
            await _write_until_killed(report, numbers, volume, file, choice)


async def _write_until_killed(
    report: Report, numbers: dict[str, float], volume: Volume, file: Inode, choice: random.Random
) -> None:
    begin, told = time.perf_counter(), False
    while True:
        await volume.write(file, _random_own_block(choice) * BLOCK_BYTES, os.urandom(BLOCK_BYTES))
        await trio.lowlevel.checkpoint()
        if not told and time.perf_counter() > begin + 5:
            told = True
            report(numbers)


async def _open_again(pool_directory: Path) -> dict[str, float]:
    forget_peak()
    begin = time.perf_counter()
    async with _volume(pool_directory) as volume:
        file = await _file(volume)
        await _check_block(volume, file, WINDOWS // 2)
        numbers = {REMOUNT: time.perf_counter() - begin, REMOUNT_MEMORY: peak_mib()}
        begin = time.perf_counter()
        await volume.unlink(volume.root, b"clone")
        while volume.pool.references.dead or not volume.pool.namespace.orphans.is_settled:
            await trio.sleep(0.05)
        await volume.sync()
        numbers[DELETE] = time.perf_counter() - begin
        numbers[REMOUNT_MEMORY] = max(numbers[REMOUNT_MEMORY], peak_mib())
        choice = random.Random(5)
        for _ in range(200):
            await _check_block(volume, file, choice.randrange(WINDOWS))
    return numbers


async def _check(pool_directory: Path) -> dict[str, float]:
    begin = time.perf_counter()
    findings = await check_directory(pool_directory)
    for finding in findings[:5]:
        print(finding)
    return {CHECK: time.perf_counter() - begin, CHECK_MEMORY: peak_mib(), FINDINGS: float(len(findings))}


async def _captures(volume: Volume, file: Inode, choice: random.Random) -> dict[str, float]:
    """Medians of 50, at places each of which has a row of the extent map of its own if the file is long enough."""
    windows = [choice.randrange(WINDOWS // 50 - 40) + turn * (WINDOWS // 50) for turn in range(50)]

    async def times(skew: int, length: int) -> list[float]:
        spent = []
        for window in windows:
            begin = time.perf_counter()
            pin = await volume.capture(file, window * LEAF_BYTES + skew, length)
            spent.append((time.perf_counter() - begin) * 1e6)
            volume.pool.release_pin(pin)
        return spent

    cold = await times(0, LEAF_BYTES)

    target = await volume.create(volume.root, b"target", 0o644, 0, 0)
    pin = await volume.capture(file, windows[0] * LEAF_BYTES, LEAF_BYTES)
    begin = time.perf_counter()
    await volume.write_pin(target, 0, pin, 0, LEAF_BYTES)
    share = (time.perf_counter() - begin) * 1e6
    volume.pool.release_pin(pin)
    return {
        COLD_CAPTURE: statistics.median(cold),
        COLD_CAPTURE_WORST: max(cold),
        UNALIGNED_CAPTURE: statistics.median(await times(LEAF_BYTES // 2, LEAF_BYTES)),
        WARM_CAPTURE: statistics.median(await times(0, LEAF_BYTES)),
        CAPTURE_256: statistics.median(await times(0, 32 * LEAF_BYTES)),
        SHARE: share,
    }


async def _reads(volume: Volume, file: Inode, choice: random.Random) -> float:
    begin = time.perf_counter()
    for _ in range(READS):
        await volume.read(file, choice.randrange(WINDOWS * BLOCKS) * BLOCK_BYTES, BLOCK_BYTES)
    return READS / (time.perf_counter() - begin)


async def _writes(volume: Volume, file: Inode, choice: random.Random) -> float:
    """Writes a second, each to a leaf that is most likely not cached, with the commit at the end."""
    data = os.urandom(BLOCK_BYTES)
    begin = time.perf_counter()
    for _ in range(READS):
        await volume.write(file, _random_own_block(choice) * BLOCK_BYTES, data)
        await trio.lowlevel.checkpoint()
    await volume.sync()
    return READS / (time.perf_counter() - begin)


def _random_own_block(choice: random.Random) -> int:
    """A block of the file whose content `_check_block` does not look at."""
    window = choice.randrange(WINDOWS)
    return window * BLOCKS + (_own_block(window) + 3) % BLOCKS


async def _check_block(volume: Volume, file: Inode, window: int) -> None:
    """The window's own block and the ones beside it hold what was written."""
    own = _own_block(window)
    base = window * LEAF_BYTES
    for block, expected in (
        (own, _own_bytes(window)),
        ((own + 1) % BLOCKS, _shared_bytes((own + 1) * STEP % BLOCKS)),
    ):
        found = await volume.read(file, base + block * BLOCK_BYTES, BLOCK_BYTES)
        if bytes(found) != expected:
            raise SystemExit(f"wrong bytes in block {block} of window {window}")


def _own_block(window: int) -> int:
    return window * 7 % BLOCKS


def _own_bytes(window: int) -> bytes:
    return b"w%015d" % window * (BLOCK_BYTES // 16)


def _shared_bytes(block: int) -> bytes:
    return b"b%015d" % block * (BLOCK_BYTES // 16)


@asynccontextmanager
async def _volume(pool_directory: Path) -> AsyncIterator[Volume]:
    async with open_pool(pool_directory, owner="bench") as pool:
        yield pool.volume("main", "bench")


async def _file(volume: Volume) -> Inode:
    return await volume.lookup(volume.root, b"disk")
