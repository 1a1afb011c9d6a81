"""Speed side by side with Samba on the same disk in one run: medians and ratios, never a pass or fail.

Usage: scripts/bench/run [--rounds N] [--seconds S] [--work DIR] [--only WORD] [--no-history]
Every measurement of one server is followed by the same of the other, round after round, so that a noisy neighbour hits both.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from peers import ODXFS, PASSWORD, SHARE, USER, Peer, missing_tools, odxfs, reflink_disk, run, samba

HERE = Path(__file__).resolve().parent
HISTORY = HERE / "history.jsonl"
FILE_BYTES = 256 * 1024**2
COPY_BYTES = 1024**3
DISK_BYTES = 16 * 1024**3
MEBIBYTE = 1024**2


@dataclass(frozen=True)
class Load:
    """One row of the table; `better` says which way is good."""

    label: str
    measure: Callable[[Peer], float]
    unit: str
    higher_is_better: bool = True


def main() -> int:
    """Run all loads and print the table."""
    arguments = _arguments()
    if missing := missing_tools():
        print(f"bench: needs {', '.join(missing)}; scripts/setup --dev installs them", file=sys.stderr)
        return 2
    with (
        tempfile.TemporaryDirectory(prefix=".odxfs-bench-", dir=arguments.work) as scratch,
        reflink_disk(Path(scratch, "disk.xfs"), DISK_BYTES) as disk,
    ):
        rows = _measure(disk, arguments)
    _print(rows)
    if not arguments.no_history:
        _append_history(rows, arguments)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench/run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--only", default="", help="only rows whose label holds this word")
    parser.add_argument("--no-history", action="store_true")
    return parser.parse_args()


def _measure(disk: Path, arguments: argparse.Namespace) -> list[dict[str, object]]:
    rows = []
    with samba(disk, 46901) as theirs, odxfs(disk, 46902) as ours:
        for peer in (theirs, ours):
            _put(peer, disk, "small.bin", FILE_BYTES)
            _put(peer, disk, "disk.bin", COPY_BYTES)
        for load in _loads(arguments.seconds):
            if arguments.only not in load.label:
                continue
            samples: dict[str, list[float]] = {"odxfs": [], "samba": []}
            for _ in range(arguments.rounds):
                for peer in (theirs, ours):
                    os.sync()  # neither pays for what was written before
                    samples[peer.name].append(load.measure(peer))
            rows.append(_row(load, samples))
            print(f"{rows[-1]['label']}: {rows[-1]['odxfs']} / {rows[-1]['samba']}", file=sys.stderr)
    return rows


def _row(load: Load, samples: dict[str, list[float]]) -> dict[str, object]:
    ours, theirs = statistics.median(samples["odxfs"]), statistics.median(samples["samba"])
    ratio = ours / theirs if load.higher_is_better else theirs / ours
    return {
        "label": load.label,
        "unit": load.unit,
        "odxfs": round(ours, 3),
        "samba": round(theirs, 3),
        "times_samba": round(ratio, 2),
    }


def _loads(seconds: float) -> Iterator[Load]:
    def bulk(mode: str, protection: str) -> Callable[[Peer], float]:
        return lambda peer: _load(peer, mode, MEBIBYTE, 4, protection, seconds)["megabytes_per_second"]

    def small(mode: str, depth: int, protection: str) -> Callable[[Peer], float]:
        return lambda peer: _load(peer, mode, 4096, depth, protection, seconds)["operations_per_second"]

    for protection in ("unsigned", "signed", "encrypted"):
        for mode, name in (("seqread", "read"), ("seqwrite", "write")):
            yield Load(f"1 MiB sequential {name}, {protection}", bulk(mode, protection), "MB/s")
    for protection in ("unsigned", "signed"):
        for mode, name in (("randread", "read"), ("randwrite", "write")):
            for depth in (1, 16):
                label = f"4 KiB random {name}, {depth} in flight, {protection}"
                yield Load(label, small(mode, depth, protection), "ops/s")
    yield Load("copy of 1 GiB on the share", _copy_seconds, "s", higher_is_better=False)


def _load(peer: Peer, mode: str, block: int, depth: int, protection: str, seconds: float) -> dict[str, float]:
    printed = run(
        sys.executable,
        str(HERE / "load.py"),
        "127.0.0.1",
        str(peer.port),
        SHARE,
        USER,
        "small.bin",
        mode,
        "--block",
        str(block),
        "--depth",
        str(depth),
        "--seconds",
        str(seconds),
        "--protection",
        protection,
        environment={**os.environ, "LOAD_PASSWORD": PASSWORD},
    )
    parsed: dict[str, float] = json.loads(printed)
    return parsed


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
        bare = min(_smbclient(peer, "pwd") for _ in range(3))
        elapsed = _smbclient(peer, "scopy disk.bin copy.bin")
        _smbclient(peer, "del copy.bin")
        return max(elapsed - bare, 0.001)
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
    return float(json.loads(printed)["seconds"])


def _print(rows: list[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="odxfs beside Samba, same disk, same run: medians")
    for heading in ("", "odxfs", "Samba", "unit", "times Samba"):
        table.add_column(heading, justify="left" if heading in ("", "unit") else "right")
    for row in rows:
        table.add_row(*(str(row[key]) for key in ("label", "odxfs", "samba", "unit", "times_samba")))
    Console().print(table)


def _append_history(rows: list[dict[str, object]], arguments: argparse.Namespace) -> None:
    revision = run("git", "-C", str(HERE), "rev-parse", "--short", "HEAD").strip()
    entry = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision,
        "machine": f"{os.cpu_count()} x {platform.machine()}, Linux {platform.release()}",
        "rounds": arguments.rounds,
        "rows": rows,
    }
    with HISTORY.open("a") as file:
        file.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    sys.exit(main())
