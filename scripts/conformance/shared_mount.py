"""A volume that is mounted and shared by one process: what a client does there is looked at from the server's side."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import ODXFS, PASSWORD, SHARE, USER

from odxfs.control.client import ask

Traffic = dict[tuple[str, str], int]
"""Requests by dialect and how they came: plain, signed or encrypted."""


@dataclass(frozen=True)
class SharedMount:
    """A running server; `mountpoint` is the share's volume as local programs see it."""

    pool: Path
    mountpoint: Path
    address: str
    port: int

    def status(self) -> dict[str, Any]:
        """What `odxfs status --json` says."""
        return ask(self.pool, "status")

    def traffic(self) -> Traffic:
        """The requests of sessions so far."""
        requests: dict[str, dict[str, int]] = self.status()["smb_server"]["requests"]
        return {
            (dialect, how): count for dialect, counts in requests.items() for how, count in counts.items()
        }

    def copied_bytes(self, mechanism: str) -> int:
        """How much has been copied by `mechanism` (offload, copychunk, duplicate_extents) so far."""
        counted = self.status()["offload"]["mechanisms"].get(mechanism, {})
        copied: int = counted.get("logical_bytes", 0)
        return copied

    def complaints(self) -> list[str]:
        """Lines of the log that no client should be able to cause."""
        lines = (self.pool / "odxfs.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if "level=error" in line or line.startswith("Traceback")]


@contextmanager
def shared_mount(base: Path, address: str, port: int, *options: str) -> Iterator[SharedMount]:
    """Mount and share a new pool below `base` until the context is left. `options` are those of `odxfs mount`. Needs root."""
    pool, mountpoint = base / "pool", base / "mount"
    mountpoint.mkdir(parents=True)
    _odxfs("mkfs", str(pool))
    _odxfs("user", "add", str(pool), USER, "--password-stdin", stdin=f"{PASSWORD}\n")
    place = ("--share", SHARE, "--smb-listen", f"{address}:{port}")
    _odxfs("mount", str(pool), str(mountpoint), *place, *options)
    try:
        yield SharedMount(pool, mountpoint, address, port)
    finally:
        _odxfs("umount", str(mountpoint))


def difference(after: Traffic, before: Traffic) -> Traffic:
    """What has been counted between the two, without zeros."""
    return {key: count - before.get(key, 0) for key, count in after.items() if count > before.get(key, 0)}


def protection_fault(came: Traffic, dialect: str, protection: str) -> str:
    """Why requests that `came` were not all of that dialect and protection; "" when they were. `protection` is as in Traffic."""
    if not came:
        return "no request has reached the server"
    strange = [
        f"{count} requests came {how} in {key}"
        for (key, how), count in came.items()
        if (key, how) != (dialect, protection)
    ]
    return ", ".join(strange)


def _odxfs(*words: str, stdin: str = "") -> None:
    subprocess.run([ODXFS, *words], input=stdin, text=True, check=True, stdout=subprocess.DEVNULL)
