"""Copies by token at the sizes of real disks: beside Samba where it can do the same, else against what the project promises.

The disks share most of their blocks with themselves, so that no disk of their size is needed; their maps are real: each window of
8 MiB has a leaf of its own, and where a disk is "in pieces" no two neighbouring blocks lie beside each other. Samba's is made the
same way with FICLONERANGE on XFS.
"""

import fcntl
import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import big_file
import trio
from child import in_child
from peers import ODXFS, PASSWORD, SHARE, USER, Peer, missing_tools, reflink_disk, run, samba, serve_pool
from rows import Row, Settings, median_row
from smb import copy_by_samba, load

from odxfs.client.client import connect
from odxfs.volume import create_pool, open_pool
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.offload import OffloadReadInput

GIBIBYTE = 1024**3
MEBIBYTE = 1024**2
LEAF_BYTES = big_file.LEAF_BYTES
PIECES_BYTES = int(os.environ.get("BENCH_PIECES_GIB", "10")) * GIBIBYTE
SPARSE_BYTES = 1024 * GIBIBYTE
PLAIN_BYTES = GIBIBYTE
HELD_TOKENS = 1000
FICLONERANGE = 0x4020940D
READ_OUTPUT_BYTES = 528
HELD_MILLISECONDS = 600_000
PORTS = {"samba": 46911, "small": 46912, "large": 46913, "far": 46914}

COPY_OF_PIECES = "copy of 10 GiB cut up at every 4 KiB, 8 MiB tokens"
WIRE_SMALL = "the same: bytes on the wire"
WIRE_LARGE = "bytes on the wire of the same at 256 MiB tokens"
SPARSE_SMALL = "copy of a 1 TiB disk with 10 GiB of data, 8 MiB tokens"
SPARSE_LARGE = "the same at 256 MiB tokens"
BETWEEN = "copy of 1 GiB between two servers, encrypted"
READS_BESIDE = "4 KiB random read, 16 in flight, signed, beside 1,000 live tokens"
LABELS = (COPY_OF_PIECES, WIRE_SMALL, WIRE_LARGE, SPARSE_SMALL, SPARSE_LARGE, BETWEEN, READS_BESIDE)


def measure(settings: Settings) -> Iterator[Row]:
    """Every copy, round after round."""
    if missing := missing_tools():
        raise SystemExit(f"bench: needs {', '.join(missing)}; scripts/setup --dev installs them")
    with reflink_disk(settings.work / "disk.xfs", 40 * GIBIBYTE) as disk:
        near, far = disk / "near", disk / "far"
        in_child(build_near, near)
        in_child(build_far, far)
        with pool_served(near, "small") as small:
            yield from _beside_samba(settings, disk, small)
            yield from _between(settings, near, small, far)
            yield from _beside_tokens(settings, small)
        with pool_served(near, "large", "--token-size", "256") as large:
            yield from _large_tokens(settings, large)


def _beside_samba(settings: Settings, disk: Path, small: Peer) -> Iterator[Row]:
    wire: list[float] = []
    if settings.wanted(COPY_OF_PIECES) or settings.wanted(WIRE_SMALL):
        with samba(disk, PORTS["samba"]) as theirs:
            cut_up(disk / "samba" / "data" / "pieces", PIECES_BYTES)
            samples: dict[str, list[float]] = {"odxfs": [], "samba": []}
            for _ in range(settings.rounds):
                os.sync()
                samples["samba"].append(copy_by_samba(theirs, "pieces"))
                os.sync()
                told = copy_by_token(small, "pieces")
                samples["odxfs"].append(told["seconds"])
                wire.append(float(told["wire_sent_bytes"] + told["wire_received_bytes"]))
        yield median_row(COPY_OF_PIECES, "s", samples, higher_is_better=False, goal_ratio=10.0)
        yield median_row(WIRE_SMALL, "bytes", {"odxfs": wire}, higher_is_better=False, goal=3.0 * MEBIBYTE)
    if settings.wanted(SPARSE_SMALL):
        seconds = [copy_by_token(small, "sparse")["seconds"] for _ in range(settings.rounds)]
        yield median_row(SPARSE_SMALL, "s", {"odxfs": seconds}, higher_is_better=False, goal=60.0)


def _large_tokens(settings: Settings, large: Peer) -> Iterator[Row]:
    if settings.wanted(WIRE_LARGE):
        told = [copy_by_token(large, "pieces") for _ in range(settings.rounds)]
        wire = [float(each["wire_sent_bytes"] + each["wire_received_bytes"]) for each in told]
        yield median_row(WIRE_LARGE, "bytes", {"odxfs": wire}, higher_is_better=False, goal=120.0 * 1024)
    if settings.wanted(SPARSE_LARGE):
        seconds = [copy_by_token(large, "sparse")["seconds"] for _ in range(settings.rounds)]
        yield median_row(SPARSE_LARGE, "s", {"odxfs": seconds}, higher_is_better=False, goal=4.0)


def _between(settings: Settings, near: Path, small: Peer, far: Path) -> Iterator[Row]:
    if not settings.wanted(BETWEEN):
        return
    run(
        str(ODXFS),
        "user",
        "add",
        str(near),
        "far-server",
        "--peer",
        "--password-stdin",
        stdin=f"{PASSWORD}\n",
    )
    with pool_served(far, "far") as other:
        run(
            str(ODXFS), "peer", "add", str(far), "near", f"127.0.0.1:{small.port}", "--user", "far-server",
            "--password-stdin", stdin=f"{PASSWORD}\n",
        )  # fmt: skip
        rates = []
        for _ in range(settings.rounds):
            os.sync()
            rates.append(PLAIN_BYTES / copy_by_token(small, "plain", to=other)["seconds"] / 1e6)
    yield median_row(BETWEEN, "MB/s", {"odxfs": rates}, goal=500.0)


def _beside_tokens(settings: Settings, small: Peer) -> Iterator[Row]:
    if not settings.wanted(READS_BESIDE):
        return
    without, beside = [], []
    for _ in range(settings.rounds):
        run(str(ODXFS), "tokens", "cancel", small.pool, "--all")
        without.append(_reads(small, settings.seconds))
        trio.run(_hold_tokens, small)
        beside.append(_reads(small, settings.seconds))
    yield median_row(READS_BESIDE, "ops/s", {"odxfs": beside, "without": without}, goal_ratio=0.9)


def _reads(peer: Peer, seconds: float) -> float:
    return load(peer, "randread", 4096, 16, "signed", seconds, file="plain")["operations_per_second"]


async def _hold_tokens(peer: Peer) -> None:
    async with connect("127.0.0.1", peer.port, USER, PASSWORD) as client:
        file = await (await client.tree(SHARE)).open_to_read("plain")
        for number in range(HELD_TOKENS):
            offset = number * MEBIBYTE % PLAIN_BYTES
            request = OffloadReadInput(
                file_offset=offset, copy_length=MEBIBYTE, token_time_to_live=HELD_MILLISECONDS
            )
            answer = await file.fsctl(Fsctl.OFFLOAD_READ, request.pack(), READ_OUTPUT_BYTES)
            assert not answer.header.status, hex(answer.header.status)
        await file.close()


def copy_by_token(source: Peer, name: str, to: Peer | None = None) -> dict[str, float]:
    """What `odxfs cp` says of a copy that must go by token."""
    destination = to or source
    urls = [f"smb://{USER}@127.0.0.1:{peer.port}/{SHARE}" for peer in (source, destination)]
    printed = run(
        str(ODXFS), "cp", "--json", "--require-offload", f"{urls[0]}/{name}", f"{urls[1]}/{name}.copy",
        environment={**os.environ, "ODXFS_PASSWORD": PASSWORD},
    )  # fmt: skip
    told: dict[str, float] = json.loads(printed)["files"][0]
    return told


@contextmanager
def pool_served(pool: Path, port: str, *options: str) -> Iterator[Peer]:
    """`odxfs serve` over a pool that is there."""
    with serve_pool(pool, PORTS[port], *options) as peer:
        yield peer


async def build_near(directory: Path) -> None:
    """The pool with the disks to copy, a user and a share."""
    create_pool(directory)
    async with open_pool(directory, owner="bench") as pool:
        volume = pool.volume("main")
        pieces = await volume.create(volume.root, b"pieces", 0o644, 0, 0)
        await big_file.build_windows(volume, pieces, PIECES_BYTES // LEAF_BYTES)
        sparse = await volume.create(volume.root, b"sparse", 0o644, 0, 0)
        await volume.truncate(sparse, SPARSE_BYTES)
        windows = 10 * GIBIBYTE // LEAF_BYTES
        for number in range(windows):
            offset = number * (SPARSE_BYTES // windows) // LEAF_BYTES * LEAF_BYTES
            await volume.clone_range(pieces, number * LEAF_BYTES % PIECES_BYTES, sparse, offset, LEAF_BYTES)
        plain = await volume.create(volume.root, b"plain", 0o644, 0, 0)
        for offset in range(0, PLAIN_BYTES, LEAF_BYTES):
            await volume.write(plain, offset, os.urandom(LEAF_BYTES))
            await trio.lowlevel.checkpoint()
        await volume.sync()


async def build_far(directory: Path) -> None:
    """An empty pool."""
    create_pool(directory)


def cut_up(path: Path, size: int) -> None:
    """A file whose blocks lie beside none of their neighbours, by FICLONERANGE: one window, doubled until it is long enough."""
    ordered = path.with_suffix(".ordered")
    ordered.write_bytes(os.urandom(LEAF_BYTES))
    with ordered.open("rb") as source, path.open("w+b") as file:
        os.fsync(source.fileno())
        for block in range(big_file.BLOCKS):
            _clone(
                source.fileno(),
                block * big_file.STEP % big_file.BLOCKS * 4096,
                file.fileno(),
                block * 4096,
                4096,
            )
        done = LEAF_BYTES
        while done < size:
            more = min(done, size - done)
            _clone(file.fileno(), 0, file.fileno(), done, more)
            done += more


def _clone(source: int, source_offset: int, file: int, offset: int, length: int) -> None:
    fcntl.ioctl(file, FICLONERANGE, struct.pack("<qQQQ", source, source_offset, length, offset))
