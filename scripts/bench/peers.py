"""The servers under comparison, each started on a loopback port over a directory of the same disk."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

USER, PASSWORD, SHARE = "bench", "bench-Password-1", "bench"
ODXFS = Path(sys.executable).with_name("odxfs")
START_SECONDS = 30
_SESSION = 3
_PROCESSOR_TIMES = slice(11, 15)
"""Fields of /proc/PID/stat, counted from the one behind the name: session; utime, stime, cutime, cstime (proc(5))."""


@dataclass(frozen=True)
class Peer:
    """A running server; `pool` is the directory that ours serves."""

    name: str
    port: int
    process: int
    """Its process; what it starts is of the same session."""
    pool: str = ""

    def processor_seconds(self) -> float:
        """What the server has used so far of all processors, its ended children included."""
        return sum(map(_processor_seconds, _session(self.process)))


@contextmanager
def odxfs(directory: Path, port: int) -> Iterator[Peer]:
    """`odxfs serve` over a fresh pool; signing is offered, not required, so that unsigned requests can be measured."""
    pool = directory / "pool"
    run(str(ODXFS), "mkfs", str(pool))
    with serve_pool(pool, port, "--signing", "offered") as peer:
        yield peer


@contextmanager
def serve_pool(pool: Path, port: int, *options: str) -> Iterator[Peer]:
    """`odxfs serve` over a pool that is there; the user and the share are made where they are missing."""
    if not (pool / "users.json").exists():
        _make_user_and_share(pool)
    with _child(
        [str(ODXFS), "serve", str(pool), "--smb-listen", f"127.0.0.1:{port}", *options], port
    ) as process:
        yield Peer("odxfs", port, process, str(pool))


def _make_user_and_share(pool: Path) -> None:
    run(str(ODXFS), "user", "add", str(pool), USER, "--password-stdin", stdin=PASSWORD + "\n")
    run(str(ODXFS), "share", "add", str(pool), SHARE)


@contextmanager
def samba(directory: Path, port: int) -> Iterator[Peer]:
    """smbd with its defaults over a directory of its own."""
    root = directory / "samba"
    for name in ("data", "state", "private", "lock", "pid", "cache"):
        (root / name).mkdir(parents=True)
    config = root / "smb.conf"
    config.write_text(
        "\n".join(
            [
                "[global]",
                f"smb ports = {port}",
                "interfaces = 127.0.0.1",
                "bind interfaces only = yes",
                "server min protocol = SMB2_10",
                "disable netbios = yes",
                "load printers = no",
                f"state directory = {root}/state",
                f"private dir = {root}/private",
                f"lock directory = {root}/lock",
                f"pid directory = {root}/pid",
                f"cache directory = {root}/cache",
                f"log file = {root}/log",
                f"[{SHARE}]",
                f"path = {root}/data",
                "read only = no",
                "force user = root",
            ]
        )
    )
    made = not _user_exists()
    if made:
        run("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", USER)
    try:
        run("smbpasswd", "-c", str(config), "-s", "-a", USER, stdin=f"{PASSWORD}\n{PASSWORD}\n")
        with _child(["smbd", "--foreground", "--no-process-group", "-s", str(config)], port) as process:
            yield Peer("samba", port, process)
    finally:
        if made:
            run("userdel", USER)


@contextmanager
def reflink_disk(image: Path, size_bytes: int) -> Iterator[Path]:
    """An XFS file system with reflink in a loop-mounted image: one disk for every server."""
    mountpoint = image.with_suffix(".mnt")
    mountpoint.mkdir()
    with image.open("wb") as file:
        file.truncate(size_bytes)
    run("mkfs.xfs", "-q", "-m", "reflink=1", str(image))
    run("mount", "-o", "loop", str(image), str(mountpoint))
    try:
        yield mountpoint
    finally:
        run("umount", str(mountpoint))
        mountpoint.rmdir()
        image.unlink()


def run(*command: str, stdin: str | None = None, environment: dict[str, str] | None = None) -> str:
    """Run to the end and return what was printed; a failure ends the benchmark with its message."""
    done = subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@contextmanager
def _child(command: list[str], port: int) -> Iterator[int]:
    with tempfile.TemporaryFile() as log:  # a pipe that nobody reads would stop a server that logs
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # smbd ends its whole process group when it is terminated
        )
        try:
            _wait_for_port(port, process, log)
            yield process.pid
        finally:
            process.terminate()
            process.wait(START_SECONDS)
            _wait_for_group(process.pid)


def _session(leader: int) -> list[list[str]]:
    """The fields of /proc/PID/stat behind the name, of each process in the session that `leader` began."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # a process that has just ended
            fields = stat.read_text().rsplit(")", 1)[1].split()
            if int(fields[_SESSION]) == leader:
                found.append(fields)
    return found


def _processor_seconds(fields: list[str]) -> float:
    return sum(map(int, fields[_PROCESSOR_TIMES])) / os.sysconf("SC_CLK_TCK")


def _wait_for_group(group: int) -> None:
    """smbd's children end a moment after it; until then they keep its directory busy."""
    for _ in range(START_SECONDS * 20):
        try:
            os.killpg(group, signal.SIGTERM)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise SystemExit(f"processes of group {group} do not end")


def _wait_for_port(port: int, process: subprocess.Popen[bytes], log: BinaryIO) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            log.seek(0)
            raise SystemExit(f"{process.args!r}: {log.read().decode().strip()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port} after {START_SECONDS} s")


def _user_exists() -> bool:
    return subprocess.run(["id", USER], capture_output=True, check=False).returncode == 0


def missing_tools() -> list[str]:
    """Programs that the benchmark needs and that are not installed."""
    return [name for name in ("smbd", "smbclient", "mkfs.xfs") if shutil.which(name) is None] + (
        [] if os.geteuid() == 0 else ["root"]
    )
