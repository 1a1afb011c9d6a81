"""The server under load: a fresh pool, mounted and shared by `odxfs mount` in the background."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from place import CLIENTS, ODXFS, PASSWORD, SHARE, USER, run

_BAD_LINE = re.compile(r"level=(warning|error|critical)|^Traceback|^\w*(Error|Exception|Warning)\b")


@dataclass(frozen=True)
class Server:
    """A running server: its process, its pool and where that is mounted."""

    pid: int
    pool: Path
    mountpoint: Path

    def status(self) -> dict[str, Any]:
        """What `odxfs status --json` says."""
        told: dict[str, Any] = json.loads(run(ODXFS, "status", "--json", self.pool))
        return told

    def stop(self) -> None:
        """Unmount; returns when the pool is closed and clean. Raises CommandFailed."""
        run(ODXFS, "umount", self.mountpoint)

    def alarms(self) -> list[str]:
        """Lines of the log that say warning or worse."""
        lines = (self.pool / "odxfs.log").read_text(errors="replace").splitlines()
        return [line for line in lines if _BAD_LINE.search(line)]


def start(work: Path, port: int) -> Server:
    """Make the pool when there is none, and serve it."""
    pool, mountpoint = work / "pool", work / "volume"
    mountpoint.mkdir(exist_ok=True)
    if not pool.exists():
        run(ODXFS, "mkfs", pool)
        run(ODXFS, "user", "add", pool, USER, "--password-stdin", stdin=PASSWORD + "\n")
        run(ODXFS, "share", "add", pool, SHARE)
    told = run(ODXFS, "mount", "--json", "--smb-listen", f"127.0.0.1:{port}", pool, mountpoint)
    for client in CLIENTS:
        (mountpoint / client).mkdir(exist_ok=True)
    return Server(json.loads(told)["pid"], pool, mountpoint)


def check_pool(pool: Path) -> str:
    """What `odxfs fsck --data` finds; empty when all is well."""
    from place import CommandFailed

    try:
        run(ODXFS, "fsck", "--data", pool)
    except CommandFailed as error:
        return str(error)
    return ""


def free_bytes(work: Path) -> int:
    """Of the disk below."""
    return shutil.disk_usage(work).free
