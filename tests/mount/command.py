"""The odxfs command as a process of its own, and a pool that it mounts for a test."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odxfs_mount.unmounting import find_mount, unmount
from tests.support.slowness import is_of_this_machine
from tests.support.starting import run_command

ODXFS = Path(sys.executable).with_name("odxfs")
TIMEOUT_SECONDS = 300
"""Ends a test whose mount hangs; no test takes a tenth of it."""


@dataclass(frozen=True)
class Result:
    """How one command line ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def odxfs(*words: str | Path, stdin: str = "", env: dict[str, str] | None = None) -> Result:
    """Run `odxfs WORDS`."""
    environment = {**os.environ, **(env or {})}
    code, out, err = run_command(
        list(map(str, words)), os.fsencode(stdin), environment, seconds=TIMEOUT_SECONDS
    )
    return Result(code, os.fsdecode(out), os.fsdecode(err))


def odxfs_ok(*words: str | Path, stdin: str = "") -> Result:
    """Run `odxfs WORDS` and insist that it succeeds."""
    result = odxfs(*words, stdin=stdin)
    assert result.code == 0, f"odxfs {' '.join(map(str, words))}: {result.code} {result.err}{result.out}"
    return result


def run(*words: str | Path, stdin: bytes = b"") -> bytes:
    """Run any program and insist that it succeeds; its stdout."""
    done = subprocess.run(
        list(map(str, words)), input=stdin, capture_output=True, timeout=TIMEOUT_SECONDS, check=False
    )
    assert done.returncode == 0, f"{words}: {done.returncode} {done.stderr.decode()} {done.stdout.decode()}"
    return done.stdout


@dataclass(frozen=True)
class MountedPool:
    """A pool and where it is mounted."""

    directory: Path
    mountpoint: Path


@contextmanager
def mounted_pool(base: Path, *options: str) -> Iterator[MountedPool]:
    """A fresh pool under `base`, mounted by a process of its own; afterwards it must unmount and be clean."""
    directory, mountpoint = base / "pool", base / "mnt"
    mountpoint.mkdir()
    try:
        odxfs_ok("mount", directory, mountpoint, "--create", *options)
        yield MountedPool(directory, mountpoint)
        odxfs_ok("umount", mountpoint)
        assert odxfs_ok("fsck", directory, "--json").json["found"] == []
        assert complaints(directory) == []
    finally:
        clear(mountpoint)


@contextmanager
def in_foreground(*words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """An `odxfs` that stays; the block begins when it has said that it is live."""
    with subprocess.Popen([str(ODXFS), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def wait_for_end(pid: int) -> None:
    """Until the process has ended; it is nobody's child here, and a zombie counts as ended."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} does not end")


def complaints(directory: Path) -> list[str]:
    """The warnings and worse in the log of the process that served the pool, but for what is this machine's."""
    lines = (directory / "odxfs.log").read_text().splitlines()
    return [line for line in lines if "level=info" not in line and not is_of_this_machine(line)]


def clear(mountpoint: Path) -> None:
    """Leave nothing mounted, whatever happened."""
    if find_mount(str(mountpoint)) is not None:
        odxfs("umount", mountpoint)
    if find_mount(str(mountpoint)) is not None:
        unmount(str(mountpoint), lazy=True)
