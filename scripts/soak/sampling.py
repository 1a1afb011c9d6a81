"""What the server holds at a moment: memory, descriptors, threads, opens, sessions, tokens, pins, disk."""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from served import Server

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """One moment; `seconds` since the start."""

    seconds: float
    resident_mib: float
    descriptors: int
    threads: int
    connections: int
    sessions: int
    opens: int
    parked_opens: int
    tokens: int
    pins: int
    inodes: int
    pool_mib: float
    """Space of the pool on the disk."""
    processor_seconds: float
    """Of the server since it was started."""


def take_sample(server: Server, began: float) -> Sample:
    """Ask the server and the kernel. Raises CommandFailed when the server does not answer, OSError when it has gone."""
    status = server.status()
    process = Path(f"/proc/{server.pid}")
    fields = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    times = (process / "stat").read_text().rsplit(")", 1)[1].split()
    clients = status["smb_server"]
    return Sample(
        seconds=round(time.monotonic() - began, 1),
        resident_mib=int(fields["VmRSS"].split()[0]) / 1024,
        descriptors=len(os.listdir(process / "fd")),
        threads=int(fields["Threads"]),
        connections=clients["connections"],
        sessions=clients["sessions"],
        opens=clients["opens"],
        parked_opens=clients["parked_opens"],
        tokens=status["tokens"],
        pins=status["pool"]["pins"],
        inodes=status["pool"]["inodes"],
        pool_mib=_disk_mib(server.pool),
        processor_seconds=(int(times[11]) + int(times[12])) / _TICKS,
    )


def append(path: Path, sample: Sample) -> None:
    """Keep it as a line of JSON."""
    with path.open("a") as file:
        file.write(json.dumps(asdict(sample)) + "\n")


def _disk_mib(pool: Path) -> float:
    files = (path for path in pool.rglob("*") if path.is_file())
    return sum(path.stat().st_blocks for path in files) * 512 / 1024**2
