"""The mount beside the least that pyfuse3 can serve: the same calls of the same program on both, in alternating rounds."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

from peers import ODXFS, run
from rows import Row, Settings, median_row

HERE = Path(__file__).resolve().parent
FILE_BYTES = 64 * 1024**2
MEBIBYTE = 1024**2
BLOCK_BYTES = 4096
NAMES = 500
START_SECONDS = 30
PEER = "pyfuse3"
GOAL = 0.9
"""Within 10 % of the peer."""


@dataclass(frozen=True)
class Load:
    """One row: what is done in a directory of the mount for so many seconds, and in which unit its result is."""

    label: str
    measure: Callable[[Path, float], float]
    unit: str = "ops/s"


def measure(settings: Settings) -> Iterator[Row]:
    """Every load on both mounts, round after round."""
    with ExitStack() as stack:
        mounts = {
            "odxfs": stack.enter_context(mounted(settings.work)),
            PEER: stack.enter_context(_memory(settings.work)),
        }
        for mountpoint in mounts.values():
            _fill(mountpoint / "disk")
            _fill(mountpoint / "stream")  # what was written at random would not be sequential on the disk
        for load in LOADS:
            if not settings.wanted(load.label):
                continue
            samples: dict[str, list[float]] = {peer: [] for peer in mounts}
            for turn in range(settings.rounds * 2):
                for peer, mountpoint in sorted(mounts.items(), reverse=bool(turn % 2)):
                    samples[peer].append(load.measure(mountpoint, settings.seconds / 2))
            yield median_row(load.label, load.unit, samples, goal_ratio=GOAL)


def _blocks(mountpoint: Path, seconds: float, *, write: bool, flags: int) -> float:
    """4 KiB reads or writes a second at random places of the file."""
    choice = random.Random(7)
    descriptor = os.open(mountpoint / "disk", os.O_RDWR | flags)
    try:
        with mmap(-1, BLOCK_BYTES) as buffer:  # O_DIRECT wants aligned memory
            buffer[:] = choice.randbytes(BLOCK_BYTES)
            call = os.pwritev if write else os.preadv
            done, begin = 0, time.perf_counter()
            while time.perf_counter() < begin + seconds:
                for _ in range(32):
                    call(descriptor, (buffer,), choice.randrange(FILE_BYTES // BLOCK_BYTES) * BLOCK_BYTES)
                done += 32
            return done / (time.perf_counter() - begin)
    finally:
        os.close(descriptor)


def _bulk(mountpoint: Path, seconds: float, *, write: bool, flags: int) -> float:
    """MB/s in calls of 1 MiB from beginning to end, again and again."""
    descriptor = os.open(mountpoint / "stream", os.O_RDWR | flags)
    try:
        with mmap(-1, MEBIBYTE) as buffer:
            buffer[:] = random.Random(7).randbytes(MEBIBYTE)
            call = os.pwritev if write else os.preadv
            done, begin = 0, time.perf_counter()
            while time.perf_counter() < begin + seconds:
                if not (write or flags):  # else the kernel answers from its pages and asks nobody
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                for offset in range(0, FILE_BYTES, MEBIBYTE):
                    call(descriptor, (buffer,), offset)
                done += FILE_BYTES
            return done / (time.perf_counter() - begin) / 1e6
    finally:
        os.close(descriptor)


def _create(mountpoint: Path, seconds: float) -> float:
    """Files made and closed a second."""
    return _names(mountpoint, seconds)[0]


def _unlink(mountpoint: Path, seconds: float) -> float:
    """Files removed a second."""
    return _names(mountpoint, seconds)[2]


def _names(mountpoint: Path, seconds: float) -> tuple[float, ...]:
    spent, turns, begin = [0.0, 0.0, 0.0], 0, time.perf_counter()
    directory = mountpoint / "names"
    directory.mkdir(exist_ok=True)
    paths = [str(directory / f"file-{number:04d}") for number in range(NAMES)]
    while time.perf_counter() < begin + seconds:
        for at, step in enumerate((make_file, os.stat, os.unlink)):
            start = time.perf_counter()
            for path in paths:
                step(path)
            spent[at] += time.perf_counter() - start
        turns += 1
    return tuple(turns * NAMES / part for part in spent)


def make_file(path: str) -> None:
    """Create a file and close it."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def _open_close(mountpoint: Path, seconds: float) -> float:
    """Opens and closes a second of one file."""
    path, done, begin = str(mountpoint / "disk"), 0, time.perf_counter()
    while time.perf_counter() < begin + seconds:
        os.close(os.open(path, os.O_RDONLY))
        done += 1
    return done / (time.perf_counter() - begin)


def _list(mountpoint: Path, seconds: float) -> float:
    """Entries a second of listing a directory of NAMES files with their attributes."""
    directory = mountpoint / "listed"
    if not directory.exists():
        directory.mkdir()
        for number in range(NAMES):
            make_file(str(directory / f"file-{number:04d}"))
    done, begin = 0, time.perf_counter()
    while time.perf_counter() < begin + seconds:
        done += sum(1 for _ in os.scandir(directory))
    return done / (time.perf_counter() - begin)


def _loads() -> Iterator[Load]:
    for name, flags in (("O_DIRECT", os.O_DIRECT), ("cached", 0)):
        for verb, write in (("read", False), ("write", True)):
            if flags or write:
                yield Load(
                    f"4 KiB random {verb}, {name}",
                    lambda mountpoint, seconds, write=write, flags=flags: _blocks(
                        mountpoint, seconds, write=write, flags=flags
                    ),
                )
            yield Load(
                f"1 MiB sequential {verb}, {name}",
                lambda mountpoint, seconds, write=write, flags=flags: _bulk(
                    mountpoint, seconds, write=write, flags=flags
                ),
                "MB/s",
            )
    yield Load("create and close", _create)
    yield Load("unlink", _unlink)
    yield Load("open and close", _open_close)
    yield Load("list with attributes", _list)


LOADS = tuple(_loads())
LABELS = tuple(load.label for load in LOADS)


def _fill(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(FILE_BYTES // MEBIBYTE):
            file.write(os.urandom(MEBIBYTE))
        os.fsync(file.fileno())


@contextmanager
def mounted(work: Path) -> Iterator[Path]:
    """A fresh pool in `work`, mounted by a process of its own."""
    mountpoint = work / "odxfs"
    mountpoint.mkdir()
    run(str(ODXFS), "mount", str(work / "pool"), str(mountpoint), "--create")
    try:
        yield mountpoint
    finally:
        run(str(ODXFS), "umount", str(mountpoint))


@contextmanager
def _memory(work: Path) -> Iterator[Path]:
    mountpoint = work / "memory"
    mountpoint.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(HERE / "memory_fs.py"), str(mountpoint)],
        start_new_session=True,  # as `odxfs mount` does: the scheduler shares time between sessions (sched(7), autogroup)
    )
    try:
        end = time.monotonic() + START_SECONDS
        while not os.path.ismount(mountpoint):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the peer does not mount")
            time.sleep(0.05)
        yield mountpoint
    finally:
        run("fusermount3", "-u", str(mountpoint))
        process.wait(START_SECONDS)
