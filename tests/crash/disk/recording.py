"""A recording disk as a test uses it."""

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.crash.disk.log import Failure, ReadFailure, Record

_PATIENCE_SECONDS = 60


class RecordingDisk:
    """A mounted disk; `path` is where."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._runs = 0

    def mark(self, note: str) -> None:
        """Have a note in the log, behind all that was done before the call."""
        self._tell("mark", note)

    def start(self, *, reads_through: bool = False) -> Path:
        """Begin a new log and an empty directory, which is returned; what was there before is gone and must not be open.

        With `reads_through` no read is answered by the kernel's page cache.
        """
        self._runs += 1
        name = f"run-{self._runs}"
        self._tell("start", (name, reads_through))
        return self.path / name

    def fail(self, failure: Failure | ReadFailure | None) -> None:
        """Have an operation fail, counted from now on; None: nothing fails any more."""
        match failure:
            case ReadFailure(at, lasting):
                self._tell("fail_read", (at, lasting))
            case Failure(at, fault, lasting):
                self._tell("fail", (at, fault.value, lasting))
            case None:
                self._tell("fail", None)

    @property
    def changes(self) -> int:
        """Changing operations since `fail` or `start`."""
        return int(os.getxattr(self.path, "user.changes"))

    @property
    def reads(self) -> int:
        """Reads since `fail` or `start`."""
        return int(os.getxattr(self.path, "user.reads"))

    def log(self) -> list[Record]:
        """All that was done since `start`."""
        with tempfile.NamedTemporaryFile(prefix="odxfs-disk-") as file:
            self._tell("save", file.name)
            found: list[Record] = pickle.loads(Path(file.name).read_bytes())
            return found

    def _tell(self, command: str, argument: object) -> None:
        os.setxattr(self.path, f"user.{command}", json.dumps(argument).encode())


@contextmanager
def recording_disk(mountpoint: Path) -> Iterator[RecordingDisk]:
    """A fresh disk on `mountpoint` (made if need be), until the block ends."""
    mountpoint.mkdir(exist_ok=True)
    server = subprocess.Popen([sys.executable, "-m", "tests.crash.disk.server", str(mountpoint)])
    try:
        _wait_for_mount(mountpoint, server)
        yield RecordingDisk(mountpoint)
    finally:
        subprocess.run(["umount", "--lazy", mountpoint], check=False, stderr=subprocess.DEVNULL)
        try:
            server.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise


def _wait_for_mount(mountpoint: Path, server: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while not os.path.ismount(mountpoint):
        assert server.poll() is None, "the disk's process has ended"
        assert time.monotonic() < give_up, "the disk does not answer"
        time.sleep(0.01)
