"""A million small files: made, listed, looked at, deleted; and fewer of them by a program on the mount."""

import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from child import in_child, peak_mib, resident_mib
from fuse import make_file, mounted
from rows import Row, Settings

from odxfs.types import InodeNumber
from odxfs.volume import Volume, check_directory, create_pool, open_pool

FILES = int(os.environ.get("BENCH_FILES", "1000000"))
"""A smaller number tries the benchmark itself."""
MOUNT_FILES = FILES // 10
DIRECTORY_FILES = 1_000
DATA_BYTES = 4096
TURN = 64
"""Operations after which other tasks get their turn, as between requests."""

SPREAD, FLAT, DATA = "in directories of 1,000", "in one directory", "with 4 KiB each"
SHAPES = (SPREAD, FLAT, DATA)
RATES = ("create", "list", "stat", "stat after reopening", "delete")
SIZES = (
    "catalog bytes a file",
    "peak of resident memory",
    "fsck",
    "fsck: peak of resident memory",
    "findings",
)
MOUNTED = f"on the mount, {MOUNT_FILES:,}"
MOUNT_RATES = ("create", "stat", "list", "delete")
LABELS = (
    *(f"{shape}: {what}" for shape in SHAPES for what in (*RATES, *SIZES)),
    *(f"{MOUNTED}: {what}" for what in (*MOUNT_RATES, "resident memory")),
)
UNITS = dict(zip(SIZES, ("bytes", "MiB", "s", "MiB", ""), strict=True))
MEMORY_GOAL = 600.0
"""What 1 TB in one file may take is a fair bound for this, too."""
GOALS = {"peak of resident memory": MEMORY_GOAL, "findings": 0.0}


def measure(settings: Settings) -> Iterator[Row]:
    """Each shape in a pool of its own; each part of its life in a process of its own."""
    for number, shape in enumerate(SHAPES):
        labels = [label for label in LABELS if label.startswith(f"{shape}:")]
        if not any(map(settings.wanted, labels)):
            continue
        pool = settings.work / f"pool{number}"
        numbers = in_child(_make, pool, shape)
        peak = numbers["peak of resident memory"]
        numbers |= in_child(_check, pool)
        numbers |= in_child(_use_again, pool, shape)
        numbers["peak of resident memory"] = max(peak, numbers["peak of resident memory"])
        for what in (*RATES, *SIZES):
            if settings.wanted(f"{shape}: {what}"):
                yield Row(
                    f"{shape}: {what}",
                    UNITS.get(what, "ops/s"),
                    numbers[what],
                    higher_is_better=what in RATES,
                    goal=GOALS.get(what),
                )
    if any(label.startswith(MOUNTED) and settings.wanted(label) for label in LABELS):
        yield from _measure_mount(settings)


def _measure_mount(settings: Settings) -> Iterator[Row]:
    with mounted(settings.work) as mountpoint:
        paths = [
            str(mountpoint / f"{number // DIRECTORY_FILES:04d}")
            for number in range(0, MOUNT_FILES, DIRECTORY_FILES)
        ]
        names = [f"{path}/file-{number:04d}.txt" for path in paths for number in range(DIRECTORY_FILES)]
        for path in paths:
            os.mkdir(path)
        steps = (make_file, os.stat, os.listdir, os.unlink)
        for what, step, over in zip(MOUNT_RATES, steps, (names, names, paths, names), strict=True):
            begin = time.perf_counter()
            for path in over:
                step(path)
            yield Row(f"{MOUNTED}: {what}", "ops/s", MOUNT_FILES / (time.perf_counter() - begin))
        owner = json.loads((settings.work / "pool" / "lock").read_text())["pid"]
        yield Row(f"{MOUNTED}: resident memory", "MiB", resident_mib(owner), {}, False, MEMORY_GOAL)


async def _make(pool_directory: Path, shape: str) -> dict[str, float]:
    create_pool(pool_directory)
    async with _volume(pool_directory) as volume:
        numbers = {
            "create": await _create(volume, shape),
            "list": await _list(volume),
            "stat": await _stat(volume, shape),
            "peak of resident memory": peak_mib(),
        }
    catalog = sum(path.stat().st_size for path in pool_directory.glob("catalog.db*"))
    return {**numbers, "catalog bytes a file": catalog / FILES}


async def _use_again(pool_directory: Path, shape: str) -> dict[str, float]:
    async with _volume(pool_directory) as volume:
        return {
            "stat after reopening": await _stat(volume, shape),
            "delete": await _delete(volume, shape),
            "peak of resident memory": peak_mib(),
        }


async def _check(pool_directory: Path) -> dict[str, float]:
    begin = time.perf_counter()
    findings = await check_directory(pool_directory)
    for finding in findings[:5]:
        print(finding)
    return {
        "fsck": time.perf_counter() - begin,
        "fsck: peak of resident memory": peak_mib(),
        "findings": float(len(findings)),
    }


async def _create(volume: Volume, shape: str) -> float:
    """Files a second, the last commit included."""
    data = os.urandom(DATA_BYTES)
    begin = time.perf_counter()
    parent = volume.root
    for number in range(FILES):
        if shape != FLAT and number % DIRECTORY_FILES == 0:
            parent = (await volume.create(volume.root, _directory(number), 0o040755, 0, 0)).number
        file = await volume.create(parent, _name(number), 0o644, 0, 0)
        if shape == DATA and not volume.write_nowait(file, 0, data):
            await volume.write(file, 0, data)
        if number % TURN == 0:
            await trio.lowlevel.checkpoint()
    await volume.sync()
    return FILES / (time.perf_counter() - begin)


async def _list(volume: Volume) -> float:
    """Entries a second, of the whole tree in pages of 1,000."""
    begin, found = time.perf_counter(), 0
    waiting = [volume.root]
    while waiting:
        directory, cookie = waiting.pop(), 0
        while page := await volume.list_directory(directory, cookie):
            waiting += [entry.number for entry in page if entry.kind == 0o040000]
            found += len(page)
            cookie = page[-1].cookie
            await trio.lowlevel.checkpoint()
    if found < FILES:
        raise SystemExit(f"{found} entries were listed")
    return found / (time.perf_counter() - begin)


async def _stat(volume: Volume, shape: str) -> float:
    """Lookups a second, of every tenth file."""
    begin, done = time.perf_counter(), 0
    async for parent, name in _each(volume, shape, 10):
        await volume.lookup(parent, name)
        done += 1
    return done / (time.perf_counter() - begin)


async def _delete(volume: Volume, shape: str) -> float:
    """Files a second, until the catalog is durably without them."""
    begin = time.perf_counter()
    async for parent, name in _each(volume, shape, 1):
        await volume.unlink(parent, name)
    await volume.sync()
    return FILES / (time.perf_counter() - begin)


async def _each(volume: Volume, shape: str, step: int) -> AsyncIterator[tuple[InodeNumber, bytes]]:
    parent = volume.root
    for turn, number in enumerate(range(0, FILES, step)):
        if shape != FLAT and number % DIRECTORY_FILES == 0:
            parent = (await volume.lookup(volume.root, _directory(number))).number
        yield parent, _name(number)
        if turn % TURN == 0:
            await trio.lowlevel.checkpoint()


def _name(number: int) -> bytes:
    return b"file-%07d.txt" % number


def _directory(number: int) -> bytes:
    return b"directory-%04d" % (number // DIRECTORY_FILES)


@asynccontextmanager
async def _volume(pool_directory: Path) -> AsyncIterator[Volume]:
    async with open_pool(pool_directory, owner="bench") as pool:
        yield pool.volume("main", "bench")
