"""The share beside Samba: the same loads on the same disk."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from load import PROTECTIONS
from peers import ODXFS, PASSWORD, SHARE, USER, Peer, missing_tools, odxfs, reflink_disk, run, samba
from rows import Row, Settings, median_row

HERE = Path(__file__).resolve().parent
FILE_BYTES = 256 * 1024**2
COPY_BYTES = 1024**3
DISK_BYTES = 16 * 1024**3
MEBIBYTE = 1024**2
LISTED_FILES = 100_000
SMALL_PROTECTIONS = ("unsigned", "signed", "signed-cmac")


@dataclass(frozen=True)
class Load:
    """One row of the table; `better` says which way is good."""

    label: str
    measure: Callable[[Peer], float]
    unit: str
    higher_is_better: bool = True
    prepare: Callable[[Peer], object] = lambda _: None
    """What each server needs beforehand."""
    operations: float = 0.0
    """How many operations one of `unit` stands for, where the server's processor time for each is to be told; 0 elsewhere."""
    goal_ratio: float | None = None
    """What the project promises, times Samba."""


def measure(settings: Settings) -> Iterator[Row]:
    """All loads that are asked for, one row each."""
    if missing := missing_tools():
        raise SystemExit(f"bench: needs {', '.join(missing)}; scripts/setup --dev installs them")
    with (
        reflink_disk(settings.work / "disk.xfs", DISK_BYTES) as disk,
        samba(disk, 46901) as theirs,
        odxfs(disk, 46902) as ours,
    ):
        for peer in (theirs, ours):
            _put(peer, disk, "small.bin", FILE_BYTES)
            _put(peer, disk, "disk.bin", COPY_BYTES)
        for load in _loads(settings.seconds):
            if not settings.wanted(load.label):
                continue
            yield from _rows(load, (theirs, ours), settings.rounds)


def _rows(load: Load, peers: Sequence[Peer], rounds: int) -> Iterator[Row]:
    samples: dict[str, list[float]] = {peer.name: [] for peer in peers}
    processor: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for peer in peers:
        load.prepare(peer)
    for _ in range(rounds):
        for peer in peers:
            os.sync()  # neither pays for what was written before
            before = peer.processor_seconds()
            samples[peer.name].append(load.measure(peer))
            used = peer.processor_seconds() - before
            if load.operations:
                processor[peer.name].append(used / (samples[peer.name][-1] * load.operations) * 1e6)
    yield median_row(
        load.label, load.unit, samples, higher_is_better=load.higher_is_better, goal_ratio=load.goal_ratio
    )
    if load.operations:
        label = f"{load.label}: processor time of the server"
        yield median_row(label, "us each", processor, higher_is_better=False)


def _loads(seconds: float) -> Iterator[Load]:
    def bulk(mode: str, protection: str) -> Callable[[Peer], float]:
        return lambda peer: load(peer, mode, MEBIBYTE, 4, protection, seconds)["megabytes_per_second"]

    def small(mode: str, depth: int, protection: str) -> Callable[[Peer], float]:
        return lambda peer: load(peer, mode, 4096, depth, protection, seconds)["operations_per_second"]

    for protection in PROTECTIONS:
        goal = 1.0 if protection == "unsigned" else 1.5
        for mode, name in (("seqread", "read"), ("seqwrite", "write")):
            label = f"1 MiB sequential {name}, {protection}"
            operations = 1e6 / MEBIBYTE * seconds
            yield Load(label, bulk(mode, protection), "MB/s", operations=operations, goal_ratio=goal)
    for protection in SMALL_PROTECTIONS:
        for mode, name in (("randread", "read"), ("randwrite", "write")):
            for depth in (1, 16):
                label = f"4 KiB random {name}, {depth} in flight, {protection}"
                measure, promised = small(mode, depth, protection), 1.5 if depth > 1 else None
                yield Load(label, measure, "ops/s", operations=seconds, goal_ratio=promised)
    for depth in (1, 16, 64):
        label = f"4 KiB random write-through, {depth} in flight, signed"
        yield Load(label, small("randthrough", depth, "signed"), "ops/s", operations=seconds)
    yield Load("copy of 1 GiB on the share", _copy_seconds, "s", higher_is_better=False)
    yield Load("10,000 files of 4 KiB: open, write, close", _small_files, "files/s")
    yield Load("listing of 100,000 entries", _listing, "entries/s", prepare=_make_listed)


def load(
    peer: Peer, mode: str, block: int, depth: int, protection: str, seconds: float, file: str = "small.bin"
) -> dict[str, float]:
    """What load.py measured against a server."""
    options = ("--block", str(block), "--depth", str(depth), "--seconds", str(seconds))
    return _run_client("load.py", peer, file, mode, *options, "--protection", protection)


def _run_client(script: str, peer: Peer, *arguments: str) -> dict[str, float]:
    printed = run(
        sys.executable,
        str(HERE / script),
        "127.0.0.1",
        str(peer.port),
        SHARE,
        USER,
        *arguments,
        environment={**os.environ, "LOAD_PASSWORD": PASSWORD},
    )
    parsed: dict[str, float] = json.loads(printed)
    return parsed


def _small_files(peer: Peer) -> float:
    """Each round in a directory of its own, as a new directory is where a client copies files to."""
    directory = f"files-{time.monotonic_ns()}"
    made = _run_client("names.py", peer, directory, "create", "--count", "10000", "--size", "4096")
    return made["entries_per_second"]


def _make_listed(peer: Peer) -> None:
    _run_client("names.py", peer, "many", "create", "--count", str(LISTED_FILES), "--depth", "16")


def _listing(peer: Peer) -> float:
    listed = _run_client("names.py", peer, "many", "list")
    if listed["entries"] != LISTED_FILES + 2:
        raise SystemExit(f"{peer.name} lists {listed['entries']} entries")
    return listed["entries_per_second"]


def _put(peer: Peer, disk: Path, name: str, size: int) -> None:
    local = disk / "local.bin"
    if not local.exists() or local.stat().st_size != size:
        with local.open("wb") as file:
            for _ in range(size // MEBIBYTE):
                file.write(os.urandom(MEBIBYTE))
    _smbclient(peer, f"put {local} {name}")


def _smbclient(peer: Peer, commands: str) -> float:
    """Seconds that the commands took, the login included."""
    target = f"//127.0.0.1/{SHARE}"
    command = ["smbclient", target, "-p", str(peer.port), "-U", f"{USER}%{PASSWORD}", "-c", commands]
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - begin
    if done.returncode or "NT_STATUS" in done.stdout:
        raise SystemExit(f"smbclient {commands}: {done.stdout} {done.stderr}")
    return elapsed


def _copy_seconds(peer: Peer) -> float:
    """Token copy with our client, or smbclient's scopy (copychunk over reflink); the login is not counted in either."""
    if peer.name == "samba":
        return copy_by_samba(peer, "disk.bin")
    base = f"smb://{USER}@127.0.0.1:{peer.port}/{SHARE}"
    printed = run(
        str(ODXFS),
        "cp",
        "--json",
        "--require-offload",
        f"{base}/disk.bin",
        f"{base}/copy.bin",
        environment={**os.environ, "ODXFS_PASSWORD": PASSWORD},
    )
    _smbclient(peer, "del copy.bin")
    return float(json.loads(printed)["files"][0]["seconds"])


def copy_by_samba(peer: Peer, name: str) -> float:
    """Seconds of smbclient's scopy (copychunk), without the login's."""
    bare = min(_smbclient(peer, "pwd") for _ in range(3))
    elapsed = _smbclient(peer, f"scopy {name} copy.bin")
    _smbclient(peer, "del copy.bin")
    return max(elapsed - bare, 0.001)


LABELS = tuple(load.label for load in _loads(0.0))
