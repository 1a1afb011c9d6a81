"""Where a client of the soak works: the share, the mount, its ledgers and its counts."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ledger import CELL_BYTES, Ledger

USER, PASSWORD, SHARE = "soak", "soak-Password-1", "soak"
ODXFS = Path(sys.executable).with_name("odxfs")
MEBIBYTE = 1024**2
CLIENTS = (
    "smbclient", "smbclient-2", "smbprotocol", "smbprotocol-2", "smbprotocol-3", "mount", "programs", "tokens", "tokens-2",
    "copies", "snapshots", "kernel",
)  # fmt: skip
"""Each with files of its own; what it does is told by the first word."""

KERNEL = "kernel"
"""The one that needs a virtual machine; a soak can be without it."""

Turns = Iterator[None]
"""What a client does, one operation a turn."""


class CommandFailed(Exception):
    """A program that must succeed did not."""


@dataclass
class Place:
    """`work` holds all of a soak; the client's files are in a folder of its own name."""

    work: Path
    port: int
    client: str
    choice: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self.ledgers.mkdir(parents=True, exist_ok=True)
        self.scratch.mkdir(exist_ok=True)
        self.counts = open_counts(self.work, self.client)

    @property
    def kind(self) -> str:
        """What the client does."""
        return self.client.split("-")[0]

    @property
    def pool(self) -> Path:
        """The pool's directory."""
        return self.work / "pool"

    @property
    def mountpoint(self) -> Path:
        """Where the pool is mounted."""
        return self.work / "volume"

    @property
    def folder(self) -> Path:
        """This client's folder on the mount."""
        return self.mountpoint / self.client

    @property
    def ledgers(self) -> Path:
        """Of this client's files."""
        return self.work / "ledgers" / self.client

    @property
    def scratch(self) -> Path:
        """Local files of this client, empty when it starts."""
        return self.work / f"scratch-{self.client}"

    @property
    def url(self) -> str:
        """This client's folder for `odxfs cp`."""
        return f"smb://{USER}@127.0.0.1:{self.port}/{SHARE}/{self.client}"

    def ledger(self, name: str, size: int) -> Ledger:
        """Of the client's file of that name."""
        return Ledger.of(self.ledgers, f"{self.client}/{name}", size)

    def pick(self, ledger: Ledger, most: int) -> tuple[int, int]:
        """Some cells of a file, at most so many: (first, count)."""
        count = self.choice.randint(1, min(most, ledger.cells))
        return self.choice.randrange(ledger.cells - count + 1), count

    def write_cells(self, ledger: Ledger, descriptor: int, first: int, count: int) -> None:
        """Write cells of a local file. Raises OSError, also for a short write."""
        data = ledger.intend(first, count)
        written = os.pwrite(descriptor, data, first * CELL_BYTES)
        if written != len(data):
            raise OSError(f"pwrite took {written} of {len(data)} bytes")
        ledger.acknowledge(first, count)
        self.count(written=len(data))

    def count(self, *, written: int = 0, verified: int = 0) -> None:
        """One operation more, and its bytes."""
        self.counts += np.array((1, written, verified))


def open_counts(work: Path, client: str) -> np.ndarray:
    """Operations, bytes written and bytes verified of a client, since the beginning; they outlive it."""
    path = work / f"counts-{client}"
    if not path.exists():
        path.write_bytes(bytes(24))
    return np.memmap(path, np.int64, "r+", shape=(3,))


def cells_of(size: int) -> int:
    """Cells of so many bytes."""
    return size // CELL_BYTES


def run(*command: str | Path, stdin: str | None = None, environment: dict[str, str] | None = None) -> str:
    """Run to the end; what was printed. Raises CommandFailed."""
    done = subprocess.run(
        list(map(str, command)), input=stdin, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = " ".join(map(str, command))
        raise CommandFailed(f"{words}: {done.returncode}: {done.stderr.strip()} {done.stdout.strip()}"[:2000])
    return done.stdout
