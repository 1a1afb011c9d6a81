"""What a request costs beside many opens, files and tokens, and on large files: flat is what it should be.

Each level of an axis is a server of its own; all of an axis run at once and are asked in turn, call by call, so that a noisy
moment hits every level. A row says how the highest level compares with the lowest; `cost-of-size.svg` shows all levels.
"""

import os
import random
import socket
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
from chart import Chart, write_charts
from child import in_child
from peers import ODXFS, PASSWORD, SHARE, USER, Peer, run, serve_pool
from rows import Row, Settings, median_row

from odxfs.client.client import connect
from odxfs.client.file import SmbFile
from odxfs.client.session import expect_success
from odxfs.client.tree import Tree
from odxfs.volume import Volume, create_pool, open_pool
from odxfs.wire.access_mask import Access
from odxfs.wire.create import CreateDisposition
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.offload import OffloadReadInput

GIBIBYTE, WINDOW_BYTES, BLOCK_BYTES = 1024**3, 8 * 1024**2, 4096
FILES = int(os.environ.get("BENCH_SIZE_FILES", "100000"))
"""The highest number of files; 1000000 takes two minutes more."""
AXES = {
    "opens": (1, 10, 100, 1_000, 10_000),
    "files": tuple(count for count in (1, 100, 10_000, 100_000, 1_000_000) if count <= FILES),
    "live tokens": (1, 10, 100, 1_000),
    "GiB of file": (1, 16, 128, 1_024),
}
CALLS = ("read", "write", "open", "OFFLOAD_READ")
CALLS_A_TURN = 10
WINDOWS = 64
"""Of the disk that hold data, whatever its size."""
FOLDER_FILES = 1_000
ACCESS = Access.GENERIC_READ | Access.GENERIC_WRITE
OFFLOAD_BYTES = 1024 * 1024
SHORT_MILLISECONDS, LONG_MILLISECONDS = 1_000, 600_000
GOAL_RATIO = 0.83
"""Flat within 20 %."""
PICTURE = "cost-of-size.svg"

LABELS = tuple(f"{call} at {levels[-1]:,} {axis}" for axis, levels in AXES.items() for call in CALLS)
Latencies = dict[str, list[float]]


@dataclass
class Place:
    """One level: a client of its own server, with the disk open."""

    level: int
    tree: Tree
    disk: SmbFile
    choice: random.Random
    latencies: Latencies

    @property
    def offset(self) -> int:
        """Of a block that holds data, at random."""
        distance = self.level * GIBIBYTE // WINDOWS if self.disk.size > GIBIBYTE else WINDOW_BYTES
        window = self.choice.randrange(WINDOWS) * distance // WINDOW_BYTES * WINDOW_BYTES
        return window + self.choice.randrange(WINDOW_BYTES // BLOCK_BYTES) * BLOCK_BYTES


def measure(settings: Settings) -> Iterator[Row]:
    """Axis by axis."""
    charts = []
    for axis, levels in AXES.items():
        labels = {call: f"{call} at {levels[-1]:,} {axis}" for call in CALLS}
        if not any(map(settings.wanted, labels.values())):
            continue
        found = _measure_axis(settings, axis, levels)
        series = {
            call: [(level, statistics.median(found[level][call])) for level in levels] for call in CALLS
        }
        charts.append(Chart(f"Latency by {axis}", axis, "us", series, logarithmic_x=True))
        for call, label in labels.items():
            samples = {"odxfs": found[levels[-1]][call], f"at {levels[0]}": found[levels[0]][call]}
            yield _without_spread(
                median_row(label, "us", samples, higher_is_better=False, goal_ratio=GOAL_RATIO)
            )
    settings.pictures.mkdir(parents=True, exist_ok=True)
    write_charts(settings.pictures / PICTURE, charts)


def _without_spread(row: Row) -> Row:
    """Between single calls it says nothing."""
    return Row(row.label, row.unit, row.ours, row.others, row.higher_is_better, row.goal, row.goal_ratio)


def _measure_axis(settings: Settings, axis: str, levels: Sequence[int]) -> dict[int, Latencies]:
    with ExitStack() as stack:
        peers = []
        for level in levels:
            pool = settings.work / f"{axis.replace(' ', '-')}-{level}"
            in_child(build, pool, axis, level)
            peers.append(stack.enter_context(serve_pool(pool, _free_port())))
        return trio.run(_ask, settings, axis, dict(zip(levels, peers, strict=True)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def build(directory: Path, axis: str, level: int) -> None:
    """A pool with the disk, and with as many files as its level has."""
    create_pool(directory)
    async with open_pool(directory, owner="bench") as pool:
        volume = pool.volume("main", "bench")
        await _build_disk(volume, level * GIBIBYTE if axis == "GiB of file" else GIBIBYTE)
        await _build_files(volume, level if axis == "files" else 100)
        await volume.sync()


async def _build_disk(volume: Volume, size: int) -> None:
    disk = await volume.create(volume.root, b"disk", 0o666, 0, 0)
    await volume.truncate(disk, size)
    await volume.write(disk, 0, os.urandom(WINDOW_BYTES))
    distance = size // WINDOWS // WINDOW_BYTES * WINDOW_BYTES if size > GIBIBYTE else WINDOW_BYTES
    for window in range(1, WINDOWS):
        await volume.clone_range(disk, 0, disk, window * distance, WINDOW_BYTES)
        await volume.write(
            disk, window * distance, os.urandom(BLOCK_BYTES)
        )  # so that it has a leaf of its own


async def _build_files(volume: Volume, files: int) -> None:
    folder = volume.root
    for number in range(files):
        if number % FOLDER_FILES == 0:
            folder = (
                await volume.create(volume.root, b"folder-%d" % (number // FOLDER_FILES), 0o040777, 0, 0)
            ).number
        await volume.create(folder, b"file-%d" % (number % FOLDER_FILES), 0o666, 0, 0)
        if number % 64 == 0:
            await trio.lowlevel.checkpoint()


async def _ask(settings: Settings, axis: str, peers: dict[int, Peer]) -> dict[int, Latencies]:
    async with AsyncExitStack() as stack:
        places = []
        for level, peer in peers.items():
            client = await stack.enter_async_context(_client(peer))
            disk = await client.open("disk", ACCESS, disposition=CreateDisposition.OPEN)
            places.append(Place(level, client, disk, random.Random(level), {call: [] for call in CALLS}))
            await _hold(axis, level, await stack.enter_async_context(_client(peer)))
        end = time.perf_counter() + settings.seconds * settings.rounds * len(places)
        files = {place.level: place.level if axis == "files" else 100 for place in places}
        while time.perf_counter() < end:
            for call in CALLS:
                for place in sorted(places, key=lambda _: random.random()):
                    await _time(call, place, files[place.level])
        for place in places:
            run(str(ODXFS), "tokens", "cancel", peers[place.level].pool, "--all")
        return {place.level: place.latencies for place in places}


@asynccontextmanager
async def _client(peer: Peer) -> AsyncIterator[Tree]:
    async with connect("127.0.0.1", peer.port, USER, PASSWORD) as client:
        yield await client.tree(SHARE)


async def _hold(axis: str, level: int, tree: Tree) -> None:
    """What there is beside the calls that are timed."""
    if axis == "opens":
        for number in range(level):
            await tree.open(f"folder-0\\file-{number % 100}", ACCESS, disposition=CreateDisposition.OPEN)
    if axis == "live tokens":
        disk = await tree.open("disk", ACCESS, disposition=CreateDisposition.OPEN)
        for number in range(level):
            await _offload_read(disk, number % WINDOWS * WINDOW_BYTES, LONG_MILLISECONDS)


async def _time(call: str, place: Place, files: int) -> None:
    calls: dict[str, Callable[[Place, int], Awaitable[None]]] = {
        "read": _read, "write": _write, "open": _open, "OFFLOAD_READ": _capture,
    }  # fmt: skip
    for _ in range(CALLS_A_TURN):
        begin = time.perf_counter()
        await calls[call](place, files)
        place.latencies[call].append((time.perf_counter() - begin) * 1e6)


async def _read(place: Place, files: int) -> None:
    await place.disk.read(place.offset, BLOCK_BYTES)


async def _write(place: Place, files: int) -> None:
    await place.disk.write(place.offset, bytes(BLOCK_BYTES - 1) + b"x")


async def _open(place: Place, files: int) -> None:
    """And close: two requests."""
    number = place.choice.randrange(files)
    path = f"folder-{number // FOLDER_FILES}\\file-{number % FOLDER_FILES}"
    file = await place.tree.open(path, ACCESS, disposition=CreateDisposition.OPEN)
    await file.close()


async def _capture(place: Place, files: int) -> None:
    await _offload_read(place.disk, place.offset, SHORT_MILLISECONDS)


async def _offload_read(disk: SmbFile, offset: int, milliseconds: int) -> None:
    request = OffloadReadInput(
        file_offset=offset, copy_length=OFFLOAD_BYTES, token_time_to_live=milliseconds
    ).pack()
    expect_success(await disk.fsctl(Fsctl.OFFLOAD_READ, request, 528), disk.name)
