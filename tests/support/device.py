"""A disk with a file system on it, below which everything can fail or fall silent: as the kernel sees a disk that is ill.

A file behind FUSE, a loop device over it, ext4 or XFS on that. Device-mapper's error and suspend targets would do the same; the
kernels that tests run on need not have it.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATIENCE_SECONDS = 60


class FaultyDevice:
    """`path` is where its file system is mounted."""

    def __init__(self, control: Path, path: Path) -> None:
        self._control = control
        self.path = path

    def fail(self, *kinds: str) -> None:
        """Answer EIO to these kinds of requests ("read", "write", "sync") from now on; none: everything works again."""
        os.setxattr(self._control, "user.failing", json.dumps(kinds).encode())

    def silence(self) -> None:
        """Answer nothing from now on."""
        os.setxattr(self._control, "user.answers", b"false")

    def answer(self) -> None:
        """Answer again, all that waits included."""
        os.setxattr(self._control, "user.answers", b"true")

    def forget_pages(self, file: Path) -> None:
        """Have the kernel read a file from the device the next time."""
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


@contextmanager
def faulty_device(base: Path, kind: str = "ext4", size: int = 1 << 30) -> Iterator[FaultyDevice]:
    """A fresh one under `base`, until the block ends; by then nothing may use it."""
    control, path = base / "control", base / "disk"
    control.mkdir()
    path.mkdir()
    words = [sys.executable, "-m", "tests.support.device_server", str(control), str(size)]
    server = subprocess.Popen(words)
    device = FaultyDevice(control, path)
    try:
        _wait_for(control, server)
        loop = _run("losetup", "--find", "--show", str(control / "device")).strip()
        try:
            _run(f"mkfs.{kind}", "-q", *(["-E", "nodiscard"] if kind == "ext4" else ["-K"]), loop)
            _run("mount", loop, str(path))
            try:
                yield device
            finally:
                device.answer()
                device.fail()
                _unmount(path)
        finally:
            _run("losetup", "--detach", loop)
    finally:
        subprocess.run(["umount", "--lazy", control], check=False, stderr=subprocess.DEVNULL)
        server.wait(_PATIENCE_SECONDS)


@contextmanager
def mounted_again(device: FaultyDevice) -> Iterator[None]:
    """As after a restart of the machine: what only the kernel remembers is gone inside the block, and the device works."""
    device.answer()
    device.fail()
    source = _run("findmnt", "--noheadings", "--output", "SOURCE", str(device.path)).strip()
    _unmount(device.path)
    subprocess.run(["e2fsck", "-p", "-f", source], check=False, capture_output=True)
    _run("mount", source, str(device.path))
    yield


def _unmount(path: Path) -> None:
    """The kernel lets go of what an ended process had open a moment after that."""
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while subprocess.run(["umount", path], check=False, capture_output=True).returncode:
        assert time.monotonic() < give_up, f"{path} is in use"
        time.sleep(0.05)


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=_PATIENCE_SECONDS).stdout


def _wait_for(mountpoint: Path, server: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while not os.path.ismount(mountpoint):
        assert server.poll() is None, "the device's process has ended"
        assert time.monotonic() < give_up, "the device does not answer"
        time.sleep(0.01)
